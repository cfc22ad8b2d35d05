import type { SubscriptionTier, TakeoverReport } from 'weighbridge'

/** What the parent tells a server process; it answers each command, in order. */
export type Command =
  | { name: 'open'; dir: string; now: number; tiers?: SubscriptionTier[] }
  /** Makes the customers and a key for each. */
  | { name: 'enrol'; customers: { id: string; tier: string }[] }
  /** From now on the clock runs from this instant. */
  | { name: 'clock'; now: number }
  | { name: 'close' }

export interface Answers {
  open: { port: number; takeover: TakeoverReport }
  enrol: { keys: Record<string, string> }
  clock: object
  /** How often which failure was logged. */
  close: { failures: Record<string, number> }
}

export interface Answer {
  result?: unknown
  error?: string
}
