import type { Customer } from './binding.js'
import type { EngineSource } from './defaultEngine.js'
import { invalidArgument } from './errors.js'
import { checkOptions, checkString } from './options.js'

/** What to change of a customer: what is left out stays, `null` clears. */
export interface CustomerUpdate {
  /** 1 to 255 bytes. A customer never seen comes into being. */
  id: string
  /** The id of a tier. */
  tier?: string | null
  /** At Stripe. What webhooks have told of it takes effect at once, in the place of `tier`. */
  subscriptionId?: string | null
  /** At Stripe. What webhooks have told of his subscriptions takes effect at once, in the place of `tier`. */
  stripeCustomerId?: string | null
  /** A suspended customer's requests are answered 403. */
  suspended?: boolean
}

/** One page of customers. */
export interface CustomerPage {
  data: Customer[]
  /** Whether more follow: ask on with `startingAfter` the last id of this page. */
  hasMore: boolean
}

const MAX_PAGE = 1000

/** The customers. One comes into being with the first key, event or `upsert`. */
export class Customers {
  readonly #engine: EngineSource

  /** @internal */
  constructor(engine: EngineSource) {
    this.#engine = engine
  }

  /**
   * Makes or changes a customer. A new tier's limits hold from the next check on; what was used in the period stays used.
   *
   * @throws BillingError `invalid_argument`, or `unknown_tier`.
   */
  async upsert(update: CustomerUpdate): Promise<Customer> {
    checkOptions('customers.upsert', update, ['id', 'tier', 'subscriptionId', 'stripeCustomerId', 'suspended'])
    const engine = this.#engine()
    return engine.call((native, ticket) =>
      native.upsertCustomer(ticket, engine.now(), update as Parameters<typeof native.upsertCustomer>[2]),
    )
  }

  /** `null` for a customer never seen. */
  async get(id: string): Promise<Customer | null> {
    checkString('id', id)
    return this.#engine().call((native, ticket) => native.customer(ticket, id))
  }

  /**
   * The customers in the order of their ids, a page at a time.
   *
   * @param options `limit`: how many, 1 to 1,000, by default 100. `startingAfter`: the id after which the page begins.
   */
  async list(options: { limit?: number; startingAfter?: string } = {}): Promise<CustomerPage> {
    checkOptions('customers.list', options, ['limit', 'startingAfter'])
    const { limit = 100, startingAfter } = options
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_PAGE) {
      throw invalidArgument(`\`limit\` must be a whole number from 1 to ${MAX_PAGE}, got ${limit}`)
    }
    if (startingAfter !== undefined) checkString('startingAfter', startingAfter)
    // One more than asked for tells whether there is another page.
    const found = await this.#engine().call<Customer[]>((native, ticket) =>
      native.customers(ticket, startingAfter, limit + 1),
    )
    return { data: found.slice(0, limit), hasMore: found.length > limit }
  }
}
