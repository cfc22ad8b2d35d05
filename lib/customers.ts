import type { Customer } from './binding.js'
import type { EngineSource } from './defaultEngine.js'
import { invalidArgument } from './errors.js'
import { checkOptions, checkString } from './options.js'

/** What to change of a customer: what is left out stays, `null` clears. */
export interface CustomerUpdate {
  /** 1 to 255 bytes. A customer never seen comes into being. */
  id: string
  /** The id of a tier. With a catalog, whoever gets a tier that he does not have signs up to its latest version. */
  tier?: string | null
  /** The version of the catalog to move to: it must have his tier. `null` moves him to the latest. */
  catalogVersion?: string | null
  /**
   * Stripe's id of the subscription, 1 to 255 bytes: kept with the customer's events. What webhooks have told of it takes
   * effect at once, in the place of `tier`.
   */
  subscriptionId?: string | null
  /**
   * Stripe's id of the customer, 1 to 255 bytes. What webhooks have told of his subscriptions takes effect at once, in the
   * place of `tier`.
   */
  stripeCustomerId?: string | null
  /**
   * An instant at which one of his billing periods begins, milliseconds since the epoch: limits are then for a month from it
   * on, in UTC, on the same day of each month and on the last day of shorter ones. Without it, which is the default, they are for
   * calendar months in the time zone of the store. Webhooks set it to that of the subscription. What he has used is sorted into
   * the new periods.
   */
  billingCycleAnchor?: number | null
  /**
   * The most that what is admitted may cost in a billing period, on all meters together: a decimal in the currency's major
   * unit, such as `'100.00'`. What would pass it is refused: requests are answered 402. What has happened (`recordEvent`, a
   * settlement) counts past it. `null`, the default: no cap.
   */
  spendCap?: number | string | null
  /**
   * Whether he pays beforehand: what his credit does not cover is refused, requests are answered 402. What has happened
   * (`recordEvent`, a settlement) is counted all the same, and owed. `false`, the default: what no credit covers goes on as overage.
   */
  prepaid?: boolean
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
const FIELDS = [
  'id',
  'tier',
  'catalogVersion',
  'subscriptionId',
  'stripeCustomerId',
  'billingCycleAnchor',
  'spendCap',
  'prepaid',
  'suspended',
]

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
    checkOptions('customers.upsert', update, FIELDS)
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
