import { StripeOutbox } from './stripeOutbox.js'
import { StripeService, type StripeServiceOptions } from './stripeService.js'
import type { UsageExportOptions } from './usageExport.js'

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

  /** @internal */
  constructor(options: StripeServiceOptions, outbox: StripeOutbox) {
    super(options)
    this.outbox = outbox
  }
}
