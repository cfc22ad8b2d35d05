import type { Ledger } from '../ledger.js'
import type { StoredEvent } from '../store.js'
import { type Violation, violation } from '../violation.js'

/** How long a clock runs on from what it was told. */
const RUNNING = 120_000

/** Every event happened when a server's clock could have said so, or when its caller said. */
export function checkTimes(events: StoredEvent[], ledger: Ledger, told: number[]): Violation[] {
  const strange = events.filter(({ marker = '', timestamp }) => {
    const said = ledger.get(marker)?.call.timestamp
    if (said !== undefined) return timestamp !== said
    return !told.some((instant) => timestamp >= instant && timestamp <= instant + RUNNING)
  })
  return violation(
    'times',
    strange.map(({ marker, timestamp }) => `${marker} is of ${new Date(timestamp).toISOString()}`),
  )
}
