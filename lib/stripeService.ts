import { ActionLog, type ActionLogger } from './actionLog.js'
import type { NativeStripe, StripeFailure } from './binding.js'
import { type SubscriptionTier, subscriptionTiers, tierInputs } from './catalog.js'
import { checkClock, type Clock } from './clock.js'
import { BillingError, fromNative, StripeError } from './errors.js'
import { native } from './native.js'
import { checkOptions, checkString } from './options.js'
import { Tickets } from './tickets.js'

/** How to reach Stripe. Everything has a default. */
export interface StripeServiceOptions {
  /** By default `STRIPE_SECRET_KEY`, read on the first call. */
  secretKey?: string
  /** By default `https://api.stripe.com`. */
  baseUrl?: string
  /** The `Stripe-Version` of every request: by default the one that this version of Weighbridge was built for. */
  apiVersion?: string
  /** For each attempt, in milliseconds: by default 80,000, as in Stripe's own package. */
  timeoutMs?: number
  /** How often to try again, by Stripe's rule, after the first attempt: by default 2, as in Stripe's own package. */
  maxNetworkRetries?: number
  /** Whose price ids `createSubscription` takes: by default {@link subscriptionTiers}. */
  tiers?: SubscriptionTier[]
  /** Is told of every operation. */
  actionLogger?: ActionLogger
  /** Replaces the machine's clock. */
  clock?: Clock
}

/** An object of Stripe's API, as Stripe sent it. */
export interface StripeObject {
  id: string
  object: string
  [property: string]: any
}

const OPTIONS: (keyof StripeServiceOptions)[] = [
  'secretKey',
  'baseUrl',
  'apiVersion',
  'timeoutMs',
  'maxNetworkRetries',
  'tiers',
  'actionLogger',
  'clock',
]

/**
 * Customers, subscriptions and usage at Stripe. Making one reads nothing and connects to nothing; the first call rejects
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
   * @returns Stripe's customer object; its metadata hold `created_by: 'UBOS_API'` and an ISO `timestamp`.
   * @throws StripeError what Stripe answered. BillingError `invalid_argument`, `stripe_key_missing`.
   */
  async createCustomer(email: string, name?: string): Promise<StripeObject> {
    const complete = this.#actionLog.start('StripeService', 'Create Stripe customer', `Creating customer for ${email}`)
    return this.#actionLog.report(
      complete,
      async () => {
        checkString('email', email)
        return this.#call<StripeObject>((stripe, ticket) =>
          stripe.createCustomer(ticket, this.#clock.now(), email, name),
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
  async createSubscription(customerId: string, tierId: string): Promise<StripeObject> {
    const complete = this.#actionLog.start(
      'StripeService',
      'Create Stripe subscription',
      `Subscribing ${customerId} to ${tierId}`,
    )
    return this.#actionLog.report(
      complete,
      async () => {
        checkString('customerId', customerId)
        const tier = (this.#options.tiers ?? subscriptionTiers).find(({ id }) => id === tierId)
        if (tier === undefined) throw new BillingError('unknown_tier', `Invalid subscription tier: ${tierId}`)
        return this.#call<StripeObject>((stripe, ticket) => stripe.createSubscription(ticket, customerId, tier.priceId))
      },
      ({ id }) => `Subscription created: ${id}`,
      'Failed to create subscription',
    )
  }

  /**
   * A subscription as it is now.
   *
   * @param subscriptionId Stripe's id of it.
   * @throws StripeError. BillingError `invalid_argument`, `stripe_key_missing`.
   */
  async retrieveSubscription(subscriptionId: string): Promise<StripeObject> {
    const complete = this.#actionLog.start(
      'StripeService',
      'Retrieve Stripe subscription',
      `Retrieving ${subscriptionId}`,
    )
    return this.#actionLog.report(
      complete,
      async () => {
        checkString('subscriptionId', subscriptionId)
        return this.#call<StripeObject>((stripe, ticket) => stripe.retrieveSubscription(ticket, subscriptionId))
      },
      ({ id }) => `Subscription retrieved: ${id}`,
      'Failed to retrieve subscription',
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
   * @returns Stripe's meter event or usage record.
   * @throws BillingError `stripe_price_not_metered` where the price takes no usage on this API version: it is never
   * silently dropped. StripeError.
   */
  async recordUsage(subscriptionId: string, quantity: number, timestamp?: number): Promise<StripeObject> {
    const complete = this.#actionLog.start(
      'StripeService',
      'Record Stripe usage',
      `Recording ${quantity} for ${subscriptionId}`,
    )
    return this.#actionLog.report(
      complete,
      async () => {
        checkString('subscriptionId', subscriptionId)
        return this.#call<StripeObject>((stripe, ticket) =>
          // A timestamp of 0 means now, as it did in the seed.
          stripe.recordUsage(ticket, this.#clock.now(), subscriptionId, quantity, timestamp || undefined),
        )
      },
      () => `Usage recorded: ${quantity}`,
      'Failed to record usage',
    )
  }

  async #call<T>(operation: (stripe: NativeStripe, ticket: number) => void): Promise<T> {
    const stripe = this.#connect()
    const answer = await this.#tickets.promise<string | StripeFailure>((ticket) => operation(stripe, ticket))
    if (typeof answer !== 'string') throw new StripeError(answer)
    return JSON.parse(answer) as T
  }

  #connect(): NativeStripe {
    if (this.#native !== undefined) return this.#native
    const { baseUrl, apiVersion, timeoutMs, maxNetworkRetries } = this.#options
    const secretKey = this.#options.secretKey || process.env['STRIPE_SECRET_KEY'] || ''
    try {
      const options = { secretKey, baseUrl, apiVersion, timeoutMs, maxNetworkRetries }
      this.#native = new (native().NativeStripe)(options, this.#tickets.deliver)
      return this.#native
    } catch (error) {
      throw error instanceof BillingError ? error : fromNative(error)
    }
  }
}
