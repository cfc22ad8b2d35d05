import { ActionLog, type ActionLogger } from './actionLog.js'
import type { NativeStripe, StripeFailure } from './binding.js'
import { type SubscriptionTier, subscriptionTiers, tierInputs } from './catalog.js'
import { checkClock, type Clock } from './clock.js'
import { BillingError, fromNative, StripeError } from './errors.js'
import { native } from './native.js'
import { checkOptions, checkString } from './options.js'
import { catalogInput, type StripeCatalogStep, type SyncCatalogOptions } from './stripeCatalog.js'
import {
  callOptions,
  type CheckoutSessionParams,
  encodeParams,
  type InvoicePreviewParams,
  type PortalSessionParams,
  REQUEST_OPTIONS,
  stripeId,
  type StripeObject,
  type StripeParams,
  type StripeRequestOptions,
} from './stripeRequests.js'
import { Tickets } from './tickets.js'

/** How to reach Stripe. Everything has a default. */
export interface StripeServiceOptions {
  /** By default `STRIPE_SECRET_KEY`, read on the first call. */
  secretKey?: string
  /** By default `https://api.stripe.com`. */
  baseUrl?: string
  /** Where the stream of meter events goes: by default `https://meter-events.stripe.com`. */
  meterEventsBaseUrl?: string
  /** The `Stripe-Version` of every request: by default the one that this version of Weighbridge was built for. */
  apiVersion?: string
  /** For each attempt, in milliseconds: by default 80,000, as in Stripe's own package. */
  timeoutMs?: number
  /**
   * How often to try again, by Stripe's rule, after the first attempt: by default 2, as in Stripe's own package. After 180
   * seconds a call is not tried again, whatever this says.
   */
  maxNetworkRetries?: number
  /** Whose price ids `createSubscription` takes: by default {@link subscriptionTiers}. */
  tiers?: SubscriptionTier[]
  /** Is told of every operation. */
  actionLogger?: ActionLogger
  /** Replaces the machine's clock. */
  clock?: Clock
}

const OPTIONS: (keyof StripeServiceOptions)[] = [
  'secretKey',
  'baseUrl',
  'meterEventsBaseUrl',
  'apiVersion',
  'timeoutMs',
  'maxNetworkRetries',
  'tiers',
  'actionLogger',
  'clock',
]

/** How {@link StripeService.changeTier} changes it. */
export interface ChangeTierOptions extends StripeRequestOptions {
  /**
   * What becomes of the rest of the period: by default, as Stripe's own, `create_prorations` puts the difference on the next
   * invoice; `always_invoice` bills it at once; `none` does not bill it.
   */
  prorationBehavior?: 'always_invoice' | 'create_prorations' | 'none'
}

/**
 * Customers, subscriptions and usage at Stripe, under the names and with the parameters of Stripe's own package. Making one reads nothing and connects to nothing; the first call rejects
 * with `STRIPE_SECRET_KEY environment variable is required` where there is no key. POSTs carry an idempotency key that
 * stays the same over all attempts.
 */
export class StripeService {
  readonly #options: StripeServiceOptions
  readonly #clock: Clock
  readonly #actionLog: ActionLog
  readonly #tickets = new Tickets()
  #native: NativeStripe | undefined

  /** @throws BillingError `invalid_argument` for bad options, where a `secretKey` is among them; else the first call rejects. */
  constructor(options: StripeServiceOptions = {}) {
    checkOptions('new StripeService', options, OPTIONS)
    if (options.tiers !== undefined) tierInputs(options.tiers)
    this.#options = options
    this.#clock = checkClock(options.clock)
    this.#actionLog = new ActionLog(options.actionLogger)
    // Without a key, an empty one included, it is the first call that rejects.
    if (options.secretKey !== undefined && options.secretKey !== '') this.#connect()
  }

  /**
   * Makes a customer.
   *
   * @param name By default what stands before the `@` of the e-mail address.
   * @returns Stripe's customer object; its metadata hold `created_by: 'UBOS_API'` and an ISO `timestamp`. Under an
   * `idempotencyKey` of yours there is no timestamp, because a call that is made again must say the same.
   * @throws StripeError what Stripe answered. BillingError `invalid_argument`, `stripe_key_missing`.
   */
  async createCustomer(email: string, name?: string, options: StripeRequestOptions = {}): Promise<StripeObject> {
    const complete = this.#actionLog.start('StripeService', 'Create Stripe customer', `Creating customer for ${email}`)
    return this.#actionLog.report(
      complete,
      async () => {
        checkString('email', email)
        const call = callOptions('createCustomer', options)
        return this.#call<StripeObject>((stripe, ticket) =>
          stripe.createCustomer(ticket, this.#clock.now(), email, name, call),
        )
      },
      ({ id }) => `Customer created: ${id}`,
      'Failed to create customer',
    )
  }

  /**
   * Subscribes a customer to a tier. The subscription is incomplete until its first invoice is paid; the client secret for
   * that is in `latest_invoice.payment_intent` on API versions before 2025-03-31, in
   * `latest_invoice.confirmation_secret` on newer ones.
   *
   * @param customerId Stripe's id of the customer.
   * @param tierId The id of a tier: its `priceId` is subscribed to.
   * @throws BillingError `unknown_tier` (`Invalid subscription tier: …`) and sends nothing. StripeError.
   */
  async createSubscription(
    customerId: string,
    tierId: string,
    options: StripeRequestOptions = {},
  ): Promise<StripeObject> {
    const complete = this.#actionLog.start(
      'StripeService',
      'Create Stripe subscription',
      `Subscribing ${customerId} to ${tierId}`,
    )
    return this.#actionLog.report(
      complete,
      async () => {
        checkString('customerId', customerId)
        const { priceId } = this.#tier(tierId)
        const call = callOptions('createSubscription', options)
        return this.#call<StripeObject>((stripe, ticket) =>
          stripe.createSubscription(ticket, customerId, priceId, call),
        )
      },
      ({ id }) => `Subscription created: ${id}`,
      'Failed to create subscription',
    )
  }

  /**
   * A subscription and the usage of its first item in the current period: meter event summaries where its price has a
   * meter, usage record summaries where the API version has them.
   *
   * @throws StripeError. BillingError `invalid_argument`, `stripe_key_missing`.
   */
  async getUsage(
    customerId: string,
    subscriptionId: string,
  ): Promise<{ subscription: StripeObject; usage: StripeObject[] }> {
    const complete = this.#actionLog.start(
      'StripeService',
      'Get Stripe usage',
      `Getting usage of ${subscriptionId} for ${customerId}`,
    )
    return this.#actionLog.report(
      complete,
      async () => {
        checkString('subscriptionId', subscriptionId)
        return this.#call<{ subscription: StripeObject; usage: StripeObject[] }>((stripe, ticket) =>
          stripe.getUsage(ticket, this.#clock.now(), subscriptionId),
        )
      },
      ({ usage }) => `Usage retrieved: ${usage.length} entries`,
      'Failed to get usage',
    )
  }

  /**
   * Adds usage to a subscription's first item. What its price says decides how: a price with a meter gets a meter event;
   * one without gets a usage record, on API versions that have them (up to 2025-02-24.acacia).
   *
   * @param quantity Whole units from 0.
   * @param timestamp Seconds since the epoch: by default now.
   * @param options An `idempotencyKey` keeps usage from being added twice where you try again yourself; it is the meter
   * event's identifier too, of at most 100 characters then.
   * @returns Stripe's meter event or usage record.
   * @throws BillingError `stripe_price_not_metered` where the price takes no usage on this API version: it is never
   * silently dropped. StripeError.
   */
  async recordUsage(
    subscriptionId: string,
    quantity: number,
    timestamp?: number,
    options: { idempotencyKey?: string } = {},
  ): Promise<StripeObject> {
    const complete = this.#actionLog.start(
      'StripeService',
      'Record Stripe usage',
      `Recording ${quantity} for ${subscriptionId}`,
    )
    return this.#actionLog.report(
      complete,
      async () => {
        checkString('subscriptionId', subscriptionId)
        checkOptions('recordUsage', options, ['idempotencyKey'])
        // A timestamp of 0 means now, as it did in the seed.
        const seconds = timestamp || undefined
        return this.#call<StripeObject>((stripe, ticket) =>
          stripe.recordUsage(ticket, this.#clock.now(), subscriptionId, quantity, seconds, options.idempotencyKey),
        )
      },
      () => `Usage recorded: ${quantity}`,
      'Failed to record usage',
    )
  }

  /**
   * A customer, as Stripe has him; one that was deleted has `deleted: true`.
   *
   * @param params Such as `{ expand: ['subscriptions'] }`.
   * @throws StripeError, `resource_missing` where there is none. BillingError `invalid_argument`, `stripe_key_missing`.
   * @see https://docs.stripe.com/api/customers/retrieve
   */
  retrieveCustomer(
    customerId: string,
    params: StripeParams = {},
    options: StripeRequestOptions = {},
  ): Promise<StripeObject> {
    const path = (): string => `/v1/customers/${stripeId('customerId', customerId)}`
    return this.#request('Retrieve Stripe customer', 'GET', path, params, options)
  }

  /**
   * A subscription, as Stripe has it.
   *
   * @param params Such as `{ expand: ['latest_invoice'] }`.
   * @throws StripeError, `resource_missing` where there is none. BillingError `invalid_argument`, `stripe_key_missing`.
   * @see https://docs.stripe.com/api/subscriptions/retrieve
   */
  retrieveSubscription(
    subscriptionId: string,
    params: StripeParams = {},
    options: StripeRequestOptions = {},
  ): Promise<StripeObject> {
    const path = (): string => `/v1/subscriptions/${stripeId('subscriptionId', subscriptionId)}`
    return this.#request('Retrieve Stripe subscription', 'GET', path, params, options)
  }

  /**
   * Ends a subscription at once. To end it with its period, `raw('POST', '/v1/subscriptions/sub_…', { cancel_at_period_end:
   * true })`.
   *
   * @param params Such as `{ invoice_now: true, prorate: true }`.
   * @returns The subscription, `canceled` now.
   * @throws StripeError, `resource_missing` where there is none or it has ended. BillingError `invalid_argument`,
   * `stripe_key_missing`.
   * @see https://docs.stripe.com/api/subscriptions/cancel
   */
  cancelSubscription(
    subscriptionId: string,
    params: StripeParams = {},
    options: StripeRequestOptions = {},
  ): Promise<StripeObject> {
    const path = (): string => `/v1/subscriptions/${stripeId('subscriptionId', subscriptionId)}`
    return this.#request('Cancel Stripe subscription', 'DELETE', path, params, options)
  }

  /**
   * Moves a subscription to another tier: the one item that has a tier's price gets the new tier's, and keeps its id and
   * quantity. Other items, such as metered ones, stay as they are. A subscription that is on that tier already is answered as
   * it is.
   *
   * @returns The subscription.
   * @throws BillingError `unknown_tier`; `stripe_tier_not_found` where no item has a tier's price, or several have.
   * StripeError.
   * @see https://docs.stripe.com/billing/subscriptions/change-price
   */
  async changeTier(subscriptionId: string, tierId: string, options: ChangeTierOptions = {}): Promise<StripeObject> {
    const complete = this.#actionLog.start(
      'StripeService',
      'Change Stripe tier',
      `Changing ${subscriptionId} to ${tierId}`,
    )
    return this.#actionLog.report(
      complete,
      async () => {
        checkOptions('changeTier', options, ['prorationBehavior', ...REQUEST_OPTIONS])
        const { prorationBehavior, ...call } = options
        checkString('subscriptionId', subscriptionId)
        const { priceId } = this.#tier(tierId)
        const tierPrices = this.#tiers.map((tier) => tier.priceId)
        return this.#call<StripeObject>((stripe, ticket) =>
          stripe.changeTier(ticket, subscriptionId, priceId, tierPrices, prorationBehavior, call),
        )
      },
      ({ id }) => `Tier changed: ${id}`,
      'Failed to change tier',
    )
  }

  /**
   * A page of Stripe's on which somebody pays or subscribes; its `url` is where to send the browser.
   *
   * @throws StripeError. BillingError `invalid_argument`, `stripe_key_missing`.
   * @see https://docs.stripe.com/api/checkout/sessions/create
   */
  createCheckoutSession(params: CheckoutSessionParams, options: StripeRequestOptions = {}): Promise<StripeObject> {
    return this.#request('Create Stripe checkout session', 'POST', () => '/v1/checkout/sessions', params, options)
  }

  /**
   * A page of Stripe's on which a customer sees his bills and changes his card; its `url` is where to send the browser.
   *
   * @throws StripeError. BillingError `invalid_argument`, `stripe_key_missing`.
   * @see https://docs.stripe.com/api/customer_portal/sessions/create
   */
  createPortalSession(params: PortalSessionParams, options: StripeRequestOptions = {}): Promise<StripeObject> {
    return this.#request('Create Stripe portal session', 'POST', () => '/v1/billing_portal/sessions', params, options)
  }

  /**
   * The next invoice of a customer or subscription, or what it would be after a change. Nothing is changed.
   *
   * @throws StripeError. BillingError `invalid_argument`, `stripe_key_missing`.
   * @see https://docs.stripe.com/api/invoices/create_preview
   */
  previewInvoice(params: InvoicePreviewParams, options: StripeRequestOptions = {}): Promise<StripeObject> {
    return this.#request('Preview Stripe invoice', 'POST', () => '/v1/invoices/create_preview', params, options)
  }

  /**
   * Makes sure that Stripe has a product and a monthly price for each tier, and each meter with its price. What is there,
   * found by the lookup key of its price or by the meter's event name, is kept; what is missing is made; nothing is ever
   * changed or deleted. So it may be run again, after a failure too. It is meant for one process at a time, such as a
   * deployment.
   *
   * Write the `id`s of the tiers' prices into your tiers as `priceId`.
   *
   * @returns What was kept and made, in order; with `dryRun`, what would be.
   * @throws BillingError `stripe_catalog_conflict` where Stripe has a price or meter of that name which differs (prices
   * cannot be changed at Stripe): then nothing was made. `invalid_argument`, `stripe_key_missing`. StripeError.
   */
  async syncCatalog(options: SyncCatalogOptions = {}): Promise<StripeCatalogStep[]> {
    const complete = this.#actionLog.start(
      'StripeService',
      'Sync Stripe catalog',
      options?.dryRun === true ? 'Comparing the catalog with Stripe' : 'Bringing the catalog to Stripe',
    )
    return this.#actionLog.report(
      complete,
      async () => {
        const catalog = catalogInput(options, this.#tiers)
        return this.#call<StripeCatalogStep[]>((stripe, ticket) =>
          stripe.syncCatalog(ticket, catalog, options.dryRun ?? false),
        )
      },
      (steps) => `Catalog: ${steps.filter(({ action }) => action === 'create').length} of ${steps.length} to create`,
      'Failed to sync the catalog',
    )
  }

  /**
   * Any request: `raw('GET', '/v1/prices', { lookup_keys: ['pro'] })`. Parameters become the query of a GET or DELETE, the
   * form of a POST to `/v1/` and the JSON of one to `/v2/`. It has the same retries, keys and errors as all others.
   *
   * @param path From `/v1/` or `/v2/` on.
   * @returns What Stripe answered.
   * @throws StripeError. BillingError `invalid_argument`, `stripe_key_missing`.
   */
  raw(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    params: StripeParams = {},
    options: StripeRequestOptions = {},
  ): Promise<any> {
    return this.#request('Send Stripe request', method, () => path, params, options)
  }

  /** @internal */
  protected async perform<T>(
    action: string,
    description: string,
    operation: (stripe: NativeStripe, ticket: number) => void,
    summary: (result: T) => string,
  ): Promise<T> {
    const complete = this.#actionLog.start('StripeService', action, description)
    return this.#actionLog.report(complete, () => this.#call<T>(operation), summary, `Failed: ${action}`)
  }

  async #request(
    action: string,
    method: string,
    path: () => string,
    params: StripeParams,
    options: StripeRequestOptions,
  ): Promise<StripeObject> {
    const complete = this.#actionLog.start('StripeService', action, `${action} (${method})`)
    return this.#actionLog.report(
      complete,
      async () => {
        const where = path()
        checkString('method', method)
        checkString('path', where)
        const json = encodeParams(where, where, params)
        const call = callOptions(where, options)
        return this.#call<StripeObject>((stripe, ticket) => stripe.request(ticket, method, where, json, call))
      },
      ({ object, id }) => `Stripe answered: ${object ?? 'an object'} ${id ?? ''}`.trimEnd(),
      `Failed: ${action}`,
    )
  }

  get #tiers(): SubscriptionTier[] {
    return this.#options.tiers ?? subscriptionTiers
  }

  #tier(tierId: string): SubscriptionTier {
    const tier = this.#tiers.find(({ id }) => id === tierId)
    if (tier === undefined) throw new BillingError('unknown_tier', `Invalid subscription tier: ${tierId}`)
    return tier
  }

  async #call<T>(operation: (stripe: NativeStripe, ticket: number) => void): Promise<T> {
    const stripe = this.#connect()
    const answer = await this.#tickets.promise<string | StripeFailure>((ticket) => operation(stripe, ticket))
    if (typeof answer !== 'string') throw new StripeError(answer)
    return JSON.parse(answer) as T
  }

  #connect(): NativeStripe {
    if (this.#native !== undefined) return this.#native
    const { baseUrl, meterEventsBaseUrl, apiVersion, timeoutMs, maxNetworkRetries } = this.#options
    const secretKey = this.#options.secretKey || process.env['STRIPE_SECRET_KEY'] || ''
    try {
      const options = { secretKey, baseUrl, meterEventsBaseUrl, apiVersion, timeoutMs, maxNetworkRetries }
      this.#native = new (native().NativeStripe)(options, this.#tickets.deliver)
      return this.#native
    } catch (error) {
      throw error instanceof BillingError ? error : fromNative(error)
    }
  }
}
