import type { Customer } from '../customers.js'
import type { Ledger } from '../ledger.js'
import type { Contents } from '../store.js'
import type { Violation } from '../violation.js'
import { checkAnswers } from './answers.js'
import { checkLeftovers } from './leftovers.js'
import { checkLimits, checkStranded } from './limits.js'
import { checkOnce } from './once.js'
import { checkSums } from './sums.js'
import { checkTimes } from './times.js'

/** What is known of a round beside what is on its disk. */
export interface Known {
  customers: Customer[]
  ledger: Ledger
  /** What the clocks were told. */
  told: number[]
  /** The periods in which limits were used up. */
  filled: number[]
  /** Markers of which the record was destroyed on purpose. */
  lost?: ReadonlySet<string>
}

/** Everything that holds after the last process has closed. */
export function checkAll(contents: Contents, { customers, ledger, told, filled, lost }: Known): Violation[] {
  return [
    ...checkAnswers(ledger, contents.events, lost),
    ...checkOnce(contents.events),
    ...checkSums(contents),
    ...checkLimits(contents, customers, ledger),
    ...checkStranded(contents, customers, filled),
    ...checkLeftovers(contents),
    ...checkTimes(contents.events, ledger, told),
  ]
}
