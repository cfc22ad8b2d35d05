import { EventEmitter } from 'node:events'
import { setImmediate } from 'node:timers'
import type { NoticeOutput } from './binding.js'
import type { BillingErrorCode } from './errors.js'
import type { UsageRejection } from './usageRejections.js'
import type { EventType } from './usageTracker.js'
import type { StripeEvent } from './webhookSignatures.js'

/** What a Billing tells by itself, and with what. */
export interface BillingEvents {
  /**
   * The store has failed, or not answered in time. Requests go on within what is leased to this process, and wait in its
   * journal to be recorded; what needs the store is answered as the middleware's `passOnStoreError` says.
   */
  degraded: [failure: { code: BillingErrorCode; message: string }]
  /** The store works again. */
  recovered: []
  /**
   * Lines of a dead process's journal could not be read and were set aside in `file`, each with its reason. A torn last line
   * is normal after a crash: nobody was told that it is there. With 0 `lines`, `file` is a whole journal that cannot be read
   * or removed; it stays where it is and is tried again.
   */
  rejected: [lines: { lines: number; file: string }]
  /**
   * A customer has used up a share of a limit, his spend cap or his credit: see `BillingOptions.thresholds`. Of all processes on
   * the store the one tells whose transaction has counted the event that reaches it, once in a billing period. Events are
   * counted about a second after they were admitted; those of a process that was killed, by the process that takes over its
   * journal. Nobody is told by this event where a process is killed in the instant between counting and telling: it is in
   * `billing.alerts.list()` all the same, and is sent to the receiver of `BillingOptions.alerts`. Of another limit or cap, and
   * of credit to which more was given, shares are told anew.
   */
  threshold: [reached: ThresholdReached]
  /**
   * This process has given an alert up: its receiver answered 410, or did not take it for three days. It is in
   * `billing.alerts.list({ state: 'failed' })`, and `billing.alerts.retry(id)` sends it again.
   */
  alertFailed: [failure: { id: string; reason: string }]
  /**
   * An event of Stripe's has come to this process for the first time, and what it says has taken effect. Not told again
   * where the process dies meanwhile.
   */
  stripeEvent: [event: StripeEvent]
  /**
   * Stripe has found usage wrong after it took it, and told so by a webhook: `v1.billing.meter.error_report_triggered` or
   * `v1.billing.meter.no_meter_found`. Told once for each report that the event names; it names a sample of them, and
   * `billing.stripe.reconcile()` finds the others. Not told again where the process dies meanwhile: the report is `dead`.
   */
  usageRejected: [rejection: UsageRejection]
}

/** What was reached, and by whom. */
export type ThresholdReached = LimitReached | SpendCapReached | CreditReached

interface Reached {
  customerId: string
  /** The threshold, in per cent. */
  percent: number
  /** The billing period, `[periodStart, periodEnd)` in milliseconds since the epoch. */
  periodStart: number
  periodEnd: number
}

/** A share of a limit in the billing period. */
export interface LimitReached extends Reached {
  /** `soft_limit`: it never refuses. */
  of: 'limit' | 'soft_limit'
  eventType: EventType
  /** In units of the meter. */
  limit: number
  /** With a soft limit. */
  soft?: true
  /** What is used, with the events that have reached it. */
  used: number
}

/** A share of a spend cap. */
export interface SpendCapReached extends Reached {
  of: 'spend_cap'
  /** A decimal, in the currency of the prices. */
  spendCap: string
  /** What all usage of the period has cost, with the events that have reached it: a decimal. */
  spent: string
}

/** A share of the credit that there was for the billing period: what is left of it, and what was used in the period. */
export interface CreditReached extends Reached {
  of: 'credit'
  /** `money`, or the meter whose units it is. */
  unit: 'money' | EventType
  /** What is left and what was used together: a decimal. */
  available: string
  /** In the period: a decimal. */
  used: string
}

/** Tells listeners what happens by itself, and remembers whether the store is away. */
export class Notices {
  readonly emitter = new EventEmitter()
  degraded = false

  /** What a listener throws is no failure of the webhook. */
  stripeEvent(event: StripeEvent, rejections: UsageRejection[]): void {
    setImmediate(() => this.emitter.emit('stripeEvent', event))
    for (const rejection of rejections) setImmediate(() => this.emitter.emit('usageRejected', rejection))
  }

  readonly receive = (notice: unknown): void => {
    const { kind, code, message, lines, file, threshold } = notice as NoticeOutput
    switch (kind) {
      case 'degraded':
        this.degraded = true
        this.emitter.emit('degraded', { code: code as BillingErrorCode, message: message ?? '' })
        break
      case 'recovered':
        this.degraded = false
        this.emitter.emit('recovered')
        break
      case 'rejected':
        this.emitter.emit('rejected', { lines: lines ?? 0, file: file ?? '' })
        break
      case 'threshold':
        this.emitter.emit('threshold', JSON.parse(threshold ?? '') as ThresholdReached)
    }
  }
}
