/** The checks, by the names that the report uses. */
export type CheckName =
  /** What was admitted is recorded, and nothing else is. */
  | 'answers'
  /** No event is there twice. */
  | 'once'
  /** Counters are the sums of the events. */
  | 'sums'
  /** No counter is past its limit. */
  | 'limits'
  /** Counted and leased were never past the limit while the servers ran. */
  | 'limits meanwhile'
  /** A limit that was reached was used up. */
  | 'stranded'
  /** No leased units and no journals are left over. */
  | 'leftovers'
  /** Every event has a time that a clock had. */
  | 'times'
  /** Whole lines of a damaged journal are recorded, broken ones set aside. */
  | 'journal lines'
  /** The engine has leases and journals, where that is expected. */
  | 'leases expected'
  /** What should happen at all did not. */
  | 'progress'
  /** Memory, and how processes end. */
  | 'process'
  /** Sabotage was noticed. */
  | 'sabotage'

export interface Violation {
  check: CheckName
  message: string
}

const SHOWN = 5

/** One violation for all that went wrong in the same way. */
export function violation(check: CheckName, messages: string[]): Violation[] {
  if (messages.length === 0) return []
  const more = messages.length > SHOWN ? [`and ${messages.length - SHOWN} more`] : []
  return [{ check, message: [...messages.slice(0, SHOWN), ...more].join('; ') }]
}
