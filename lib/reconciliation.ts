import type { ReconcileInput } from './binding.js'
import { invalidArgument } from './errors.js'
import { checkBoolean, checkOptions, checkString } from './options.js'
import { type MeterExport, meterTargets } from './usageExport.js'
import type { EventType } from './usageTracker.js'

/** What to compare with Stripe. */
export interface ReconcileOptions {
  /** From this instant on, in milliseconds since the epoch: a whole UTC hour, within the past 40 days. */
  from: number
  /** Before this one: a whole UTC hour. */
  to: number
  /** By default all. With one also those who have the same `stripeCustomerId`, as Stripe knows their sum alone. */
  customerId?: string
  /** Mends what differs, as far as that is possible: by default nothing is changed. */
  repair?: boolean
  /** The meters at Stripe: by default those of `stripe.exportUsage`. */
  meters?: Partial<Record<EventType, string | MeterExport>>
}

/** What all books say of a span of time, in units. */
export interface Reconciliation {
  /** In milliseconds since the epoch, as it was asked. */
  from: number
  /** The same, and not included. */
  to: number
  /** Whether there is no difference. After a repair it is asked again. */
  agrees: boolean
  /** The store's books. */
  customers: {
    customerId: string
    eventType: EventType
    events: number
    /** The sum of the hourly sums. */
    rollups: number
    /** What is in reports, by their state: see {@link UsageReport}. */
    reported: Record<string, number>
  }[]
  /** Stripe's. */
  stripe: {
    stripeCustomerId: string
    eventType: EventType
    customerIds: string[]
    /** What was sent, by the timestamps that Stripe was told. */
    sent: number
    /** What Stripe's meter has counted: a decimal. */
    counted: string
  }[]
  differences: UsageDifference[]
}

/** A difference, its cause, and what mends it. docs/stripe-usage.md has the table. */
export interface UsageDifference {
  cause:
    | 'on_its_way'
    | 'late'
    | 'dead'
    | 'uncertain'
    | 'frozen'
    | 'before_export'
    | 'no_stripe_customer'
    | 'not_exported'
    | 'counters_differ'
    | 'events_missing'
    | 'missing_at_stripe'
    | 'counted_at_stripe_only'
  eventType: EventType
  units: number
  customerId: string | null
  stripeCustomerId: string | null
  /** When the hour, or the billing period of a counter, begins in which it lies: milliseconds since the epoch. */
  at: number | null
  /** What mends it; nothing where that takes time, or a decision. */
  repairs: ('settle' | 'resend' | 'cancel' | 'carry_forward')[]
  /** Whether that was done. */
  repaired: boolean
  /** Why it was not, or not wholly. */
  reason: string | null
}

/** What the native side wants to know. */
export function reconcileInput(options: ReconcileOptions, configured: ReconcileInput['meters']): ReconcileInput {
  checkOptions('reconcile', options, ['from', 'to', 'customerId', 'repair', 'meters'])
  const { from, to, customerId, repair = false, meters } = options
  for (const [name, value] of Object.entries({ from, to })) {
    if (typeof value !== 'number') throw invalidArgument(`\`${name}\` must be milliseconds since the epoch`)
  }
  if (customerId !== undefined) checkString('customerId', customerId)
  checkBoolean('repair', repair)
  const targets = meters === undefined ? configured : meterTargets(meters)
  return { from, to, repair, meters: targets, ...(customerId !== undefined && { customerId }) }
}
