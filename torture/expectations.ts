import type { Service } from './service.js'
import { type Violation, violation } from './violation.js'

/** That the engine has what most checks are about. */
export function checkExpected({ watch }: Service, expectLeases: boolean): Violation[] {
  if (!expectLeases) return []
  return violation('leases expected', [
    ...(watch.leases ? [] : ['the database has no table `leases`']),
    ...(watch.journals ? [] : ['no directory of journals was seen']),
  ])
}
