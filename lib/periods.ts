import { checkOptions } from './options.js'
import type { DecimalInput } from './prices.js'
import { ask, json } from './question.js'

/** What a billing period is counted in. */
export type Interval = 'day' | 'week' | 'month' | 'year'

/** The billing periods of a subscription, and an instant in one of them. Instants are milliseconds since 1970, UTC. */
export interface BillingCycle {
  /**
   * From where periods are counted, as Stripe's `billing_cycle_anchor`: the start of one of them. Each begins so many
   * intervals after the anchor, never after the period before it, so that an anchor on the 31st keeps its day: 31 January,
   * 28 February, 31 March.
   */
  anchor: number
  interval: Interval
  /** How many intervals a period has: 1 by default, three years at most. */
  intervalCount?: number
  /**
   * The IANA time zone on whose clock intervals are counted: by default UTC, as Stripe has it. A period that would begin at a
   * time which the clocks skip begins as much later as they skip (02:30 is 03:30 where 02:00 is followed by 03:00), and at
   * one that they show twice at the earlier.
   */
  timeZone?: string
  /** A trial from here to the anchor, which is one period however long it is. */
  trialStart?: number
  /** The instant whose period is asked for, from 1970 on. It may be before the anchor. */
  at: number
}

/** A half-open span of time: it holds its start and not its end. In milliseconds since 1970, UTC. */
export interface Period {
  start: number
  end: number
}

/**
 * The billing period in which an instant lies. Every instant lies in exactly one, and each period begins where the one before
 * it ends.
 *
 * ```ts
 * periodContaining({ anchor: Date.UTC(2026, 0, 31), interval: 'month', at: Date.UTC(2026, 2, 1) })
 * // { start: Date.UTC(2026, 1, 28), end: Date.UTC(2026, 2, 31) }
 * ```
 *
 * A period that began before 1970 begins with 1970. The clocks' changes are known up to the year 2100.
 *
 * @throws BillingError `invalid_argument` where something is missing, unknown or out of range.
 * @see https://docs.stripe.com/billing/subscriptions/billing-cycle
 */
export function periodContaining(cycle: BillingCycle): Period {
  checkOptions('periodContaining', cycle, ['anchor', 'interval', 'intervalCount', 'timeZone', 'trialStart', 'at'])
  return ask(({ periodContaining }) => periodContaining(json('a billing cycle', cycle)))
}

/** A part of a billing period, of which an amount is due. */
export interface ProrationQuestion {
  /** What the whole period costs. */
  amount: DecimalInput
  /** The ISO 4217 code of its currency. */
  currency: string
  /** It lies in the whole period. */
  part: Period
  whole: Period
  /** `'second'` (the default), as Stripe prorates, or `'day'`, as Lago does: then the day of a change belongs to what follows. */
  by?: 'second' | 'day'
  /** The IANA time zone of the days: by default UTC. */
  timeZone?: string
}

/**
 * What a part of a billing period costs: the same part of the amount, an exact ratio, rounded to the currency's minor unit so that
 * the parts of a period cost together what the whole costs, however often it was cut.
 *
 * ```ts
 * const [start, change, end] = [Date.UTC(2026, 3, 1), Date.UTC(2026, 3, 11), Date.UTC(2026, 4, 1)]
 * prorate({ amount: '99', currency: 'USD', part: { start, end: change }, whole: { start, end } }) // '33.00'
 * ```
 *
 * @throws BillingError `invalid_argument` where something is missing or unknown, or the part does not lie in the whole.
 * @see https://docs.stripe.com/billing/subscriptions/prorations
 */
export function prorate(question: ProrationQuestion): string {
  checkOptions('prorate', question, ['amount', 'currency', 'part', 'whole', 'by', 'timeZone'])
  return ask(({ prorate }) => prorate(json('a proration', question)))
}
