import type { Contents } from '../store.js'
import { type Violation, violation } from '../violation.js'

/** After the last process has closed nobody holds units, and nobody has a journal. */
export function checkLeftovers({ leases = [], journals = [] }: Contents): Violation[] {
  const held = leases.filter(({ units }) => units !== 0)
  return violation('leftovers', [
    ...held.map(({ holder, customerId, meter, units }) => `${holder} holds ${units} ${meter} of ${customerId}`),
    ...journals.map((name) => `the journal ${name} is still there`),
  ])
}
