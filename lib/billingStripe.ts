import type { Engine } from './engine.js'
import { type ReconcileOptions, reconcileInput, type Reconciliation } from './reconciliation.js'
import { StripeOutbox } from './stripeOutbox.js'
import { StripeService, type StripeServiceOptions } from './stripeService.js'
import { meterTargets, type UsageExport, type UsageExportOptions } from './usageExport.js'

/** How a {@link Billing} reaches Stripe, how it knows Stripe, and what it tells it. */
export interface BillingStripeOptions extends StripeServiceOptions {
  /** Of the webhook (`whsec_…`), or several while it is rolled: by default `STRIPE_WEBHOOK_SECRET`, read with each event. */
  webhookSecret?: string | string[]
  /**
   * Reports usage to Stripe, see {@link UsageExportOptions}: `true` with all its defaults. Which usage is reported belongs to
   * the store: it holds for every process on it, and `false` ends it for all. Left out, what the store has stays, and this
   * process sends nothing.
   */
  exportUsage?: boolean | UsageExportOptions
}

/** Stripe, and the usage on its way there. */
export class BillingStripe extends StripeService {
  /** Usage on its way to Stripe. */
  readonly outbox: StripeOutbox
  readonly #engine: () => Engine
  readonly #meters: UsageExport['sender']['meters']

  /** @internal */
  constructor(
    options: StripeServiceOptions,
    outbox: StripeOutbox,
    engine: () => Engine,
    exported: UsageExport | null | undefined,
  ) {
    super(options)
    this.outbox = outbox
    this.#engine = engine
    this.#meters = exported?.sender.meters ?? meterTargets()
  }

  /**
   * Compares events, the sums they were counted into, the outbox, and what Stripe's meters have counted. Every difference is
   * told with its cause; with `repair`, mended as far as that is possible: docs/stripe-usage.md has the table.
   *
   * ```ts
   * const hour = 3_600_000
   * const to = Math.floor(Date.now() / hour) * hour
   * const { agrees, differences } = await billing.stripe.reconcile({ from: to - 24 * hour, to })
   * ```
   *
   * @throws BillingError `invalid_argument` for bad options, or where Stripe has no such meter; `stripe_key_missing`; a
   * `store_*` code. StripeError.
   */
  async reconcile(options: ReconcileOptions): Promise<Reconciliation> {
    const input = reconcileInput(options, this.#meters)
    const engine = this.#engine()
    await engine.call<void>((native, ticket) => native.flush(ticket))
    return this.perform<Reconciliation>(
      'Reconcile usage',
      options.repair === true ? 'Comparing usage with Stripe, and mending it' : 'Comparing usage with Stripe',
      (stripe, ticket) => engine.attach((native) => stripe.reconcile(ticket, engine.now(), native, input)),
      ({ differences }) => `Differences: ${differences.length}`,
    )
  }
}
