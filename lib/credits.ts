import { checkOptions } from './options.js'
import type { DecimalInput } from './prices.js'
import { ask, json } from './question.js'

/**
 * An instant, to the millisecond, from 1970 to 9999: milliseconds since the epoch, a Date, or a string of ISO 8601 with `Z` or
 * an offset, such as `'2026-01-31T00:00:00Z'`.
 */
export type InstantInput = number | string | Date

/** Credit given to a customer. It counts in `[effectiveAt, end)`, where the end is the earlier of expiry and voiding. */
export interface Grant {
  /** Yours, 1 to 255 bytes, without control characters. Each grant has another one. */
  id: string
  /** How much, from 0: units of one meter, or money of one currency. All grants of a question are of the same kind. */
  amount: DecimalInput
  /** Lower ones are burnt first: 0 to 255, 50 by default, as Stripe has it. */
  priority?: number
  /** The first instant at which it counts. */
  effectiveAt: InstantInput
  /** The first instant at which it does not count any more. Left out, it does not expire. */
  expiresAt?: InstantInput
  /** When it was made, for the burning order; by default `effectiveAt`. */
  createdAt?: InstantInput
  /** From here on it is worth nothing. What was burnt before stays burnt. */
  voidedAt?: InstantInput
  /** When it is given again, whole. What was left of it has expired then. */
  recurrence?: GrantRecurrence
  /** What a reset leaves of it; without a rollover, all. */
  rollover?: GrantRollover
}

/**
 * With each hour, day or month of a time zone's calendar that begins after `effectiveAt` (UTC by default); or at instants of
 * your own, such as the beginnings of a subscription's periods.
 */
export type GrantRecurrence = { every: 'hour' | 'day' | 'month'; timeZone?: string } | { at: readonly InstantInput[] }

/** After a reset there is `min(maximum, max(minimum, left))`, as OpenMeter has it. */
export interface GrantRollover {
  /** At least so much, given anew where less is left; 0 by default. */
  minimum?: DecimalInput
  /** At most so much; without one, all that is left. */
  maximum?: DecimalInput
}

/** So much was used, or refunded, at an instant. */
export interface CreditActivity {
  at: InstantInput
  /** From 0. */
  amount: DecimalInput
}

/** What {@link creditBalance} is asked. No list has to be in any order. */
export interface CreditQuestion {
  grants: readonly Grant[]
  usage?: readonly CreditActivity[]
  /** Each undoes the newest usage before it, and at its own instant. */
  refunds?: readonly CreditActivity[]
  /** When usage begins anew, such as with each billing period: rollovers apply, and what is owed is billed or carried. */
  resets?: readonly InstantInput[]
  /** What a reset does with what is still owed: `bill` (by default) settles it outside of credit, `carry` goes on owing it. */
  overageAtReset?: 'bill' | 'carry'
  /** The balance has the grants of this instant, and the usage before it. Whatever is later is left aside. */
  at: InstantInput
}

/** What is left, and how that came about. All amounts are decimal strings in their shortest form. */
export interface CreditBalance {
  /** What is left of all grants. */
  balance: string
  /** What was used, is owed, and no grant has covered so far. Above 0 only where the balance is 0. */
  overage: string
  /** What was owed at resets and is to be paid by other means than credit. */
  billed: string
  /** Those that have taken effect, in the order in which they are burnt. */
  grants: GrantBalance[]
  /** Without gap from the first grant or usage up to the instant. A new segment begins wherever time changes the grants. */
  history: CreditSegment[]
}

/** What has become of a grant: `granted` is `left` + `burnt` + `expired` + `voided`. */
export interface GrantBalance {
  id: string
  /** With its recurrences, and with what rollover minimums have added. */
  granted: string
  left: string
  /** Less what was refunded. */
  burnt: string
  expired: string
  voided: string
  /** How it ended, if it has. */
  ended: 'expired' | 'voided' | null
}

/** A time in which nothing but usage and refunds has changed the grants. */
export interface CreditSegment {
  /** Milliseconds since the epoch, the first one. */
  start: number
  /** Milliseconds since the epoch, no longer in it. */
  end: number
  /** What happened when it began, in this order. */
  changes: CreditChange[]
  used: string
  refunded: string
  /** From which grants was burnt what, by id, less what came back to them. */
  burnt: Record<string, string>
  /** What was left at the end of the grants that count, by id. */
  left: Record<string, string>
  /** What was owed at the end. */
  overage: string
}

/** What time has done. `forfeited` is what was left until then. */
export type CreditChange =
  | { type: 'given'; grant: string; amount: string; forfeited: string }
  | { type: 'expired' | 'voided'; grant: string; forfeited: string }
  | { type: 'rolled_over'; grant: string; before: string; after: string }
  | { type: 'reset'; billed: string }

/**
 * What is left of a customer's credit at an instant, now or ever, to the last digit. Nothing is rounded and nothing is
 * remembered: the same question always has the same answer.
 *
 * ```ts
 * creditBalance({
 *   grants: [
 *     { id: 'trial', amount: '10', effectiveAt: '2026-01-01T00:00:00Z', expiresAt: '2026-02-01T00:00:00Z' },
 *     { id: 'bought', amount: '100', effectiveAt: '2026-01-01T00:00:00Z' },
 *   ],
 *   usage: [{ at: '2026-01-20T12:00:00Z', amount: '12.5' }],
 *   at: '2026-01-31T00:00:00Z',
 * }).balance // '97.5'
 * ```
 *
 * Grants burn by priority, then expiry (earliest first, none last), then creation, then id. What no grant covers is owed, and
 * paid by the next grant that has something. Usage at the very instant of a change comes after it.
 *
 * @throws BillingError `invalid_argument` where something is missing, unknown or cannot be read, where two grants have the same
 * id, and where more is refunded than was used. The message names the place: `grants[1].expiresAt`.
 * @see https://openmeter.io/docs/billing/entitlements/grant
 */
export function creditBalance(question: CreditQuestion): CreditBalance {
  checkOptions('creditBalance', question, [
    'grants',
    'usage',
    'refunds',
    'resets',
    'overageAtReset',
    'at',
  ] satisfies (keyof CreditQuestion)[])
  return JSON.parse(ask(({ creditBalance }) => creditBalance(json('a question', question)))) as CreditBalance
}
