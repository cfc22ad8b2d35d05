import type { UsageBacklog, UsageReport } from './binding.js'
import type { Engine } from './engine.js'
import { invalidArgument } from './errors.js'
import { checkNumber, checkOptions, checkString } from './options.js'
import type { UsageSender } from './usageSender.js'

/** One page of reports. */
export interface UsageReportPage {
  data: UsageReport[]
  /** Whether more follow: ask on with `startingAfter` the last id of this page. */
  hasMore: boolean
}

const MAX_PAGE = 1000
const FLUSH_TIMEOUT_MS = 30_000

/**
 * Usage on its way to Stripe. What is counted for a customer with a `stripeCustomerId` is written here in the same
 * transaction, and sent in the background by every process whose `stripe.exportUsage` says so.
 */
export class StripeOutbox {
  readonly #engine: () => Engine
  readonly #sender: () => UsageSender | undefined

  /** @internal */
  constructor(engine: () => Engine, sender: () => UsageSender | undefined) {
    this.#engine = engine
    this.#sender = sender
  }

  /**
   * Sends what was counted before, without waiting for the end of its window, and resolves when nothing is left to be sent,
   * by whichever process. What Stripe has refused stays: see {@link StripeOutbox.backlog}.
   *
   * @param options `timeoutMs`: by default 30,000.
   * @throws BillingError `export_timeout` where it takes longer; it goes on in the background. `invalid_argument` where this
   * Billing has no `stripe.exportUsage`. A `store_*` code.
   */
  async flush(options: { timeoutMs?: number } = {}): Promise<void> {
    checkOptions('outbox.flush', options, ['timeoutMs'])
    const { timeoutMs = FLUSH_TIMEOUT_MS } = options
    checkNumber('timeoutMs', timeoutMs)
    const sender = this.#sender()
    if (sender === undefined) {
      throw invalidArgument('this Billing does not report usage: open it with `stripe: { exportUsage: true }`')
    }
    const engine = this.#engine()
    await engine.call<void>((native, ticket) => native.flush(ticket))
    return sender.flush(engine.now(), timeoutMs)
  }

  /** How much is where, except what was sent: nothing is `dead`, `uncertain` or `frozen` where all is well. */
  async backlog(): Promise<UsageBacklog[]> {
    return this.#engine().call((native, ticket) => native.usageBacklog(ticket))
  }

  /**
   * The reports in the order of their ids, which is that of their making, a page at a time. Those that were sent are kept for
   * 40 days.
   *
   * @param options `limit`: how many, 1 to 1,000, by default 100. `startingAfter`: the id after which the page begins.
   */
  async list(
    options: { state?: UsageReport['state']; customerId?: string; limit?: number; startingAfter?: string } = {},
  ): Promise<UsageReportPage> {
    checkOptions('outbox.list', options, ['state', 'customerId', 'limit', 'startingAfter'])
    const { limit = 100, ...query } = options
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_PAGE) {
      throw invalidArgument(`\`limit\` must be a whole number from 1 to ${MAX_PAGE}, got ${limit}`)
    }
    for (const [name, value] of Object.entries(query)) if (value !== undefined) checkString(name, value)
    // One more than asked for tells whether there is another page.
    const found = await this.#engine().call<UsageReport[]>((native, ticket) =>
      native.usageReports(ticket, { ...query, limit: limit + 1 }),
    )
    return { data: found.slice(0, limit), hasMore: found.length > limit }
  }

  /**
   * Sends again what Stripe has refused, when the cause is mended: as a new report, with another id.
   *
   * @returns Whether a `dead` report has this id.
   */
  async retry(id: string): Promise<boolean> {
    checkString('id', id)
    const engine = this.#engine()
    return engine.call((native, ticket) => native.retryUsageReport(ticket, engine.now(), id))
  }

  /**
   * Tells that Stripe has rejected a report after it took it, as its event `v1.billing.meter.error_report_triggered` says:
   * it becomes `dead`, with the reason.
   *
   * @param id The identifier that the event names.
   * @returns The report, and so the customer; `null` where no report has this id.
   */
  async reject(id: string, reason: string): Promise<UsageReport | null> {
    checkString('id', id)
    checkString('reason', reason)
    const engine = this.#engine()
    return engine.call((native, ticket) => native.rejectUsageReport(ticket, engine.now(), id, reason))
  }
}
