import type { GrantBalance, GrantRecurrence, GrantRollover, InstantInput } from './credits.js'
import type { EngineSource } from './defaultEngine.js'
import { checkOptions, checkString } from './options.js'
import type { DecimalInput } from './prices.js'
import { json } from './question.js'

/** Credit that is to be given to a customer. It counts in `[effectiveAt, end)`: the end is the earlier of expiry and voiding. */
export interface CreditGrantInput {
  /**
   * Yours, 1 to 255 bytes, without control characters: each grant of a customer has another one. The same request under the
   * same id does nothing again, so it can be retried; another one is an `idempotency_conflict`.
   */
  id: string
  /** `'money'` (the default), in the currency of your prices, or the name of a meter, whose units are given then. */
  unit?: string
  /** How much, above 0. */
  amount: DecimalInput
  /** Lower ones are burnt first: 0 to 255, 50 by default. */
  priority?: number
  /** The first instant at which it counts: now by default. One of the past means now. */
  effectiveAt?: InstantInput
  /** The first instant at which it does not count any more. Left out, it does not expire. */
  expiresAt?: InstantInput
  /** When it is given again, whole. What was left of it has expired then. */
  recurrence?: GrantRecurrence
  /** What is left of it when the customer's next billing period begins; without a rollover, all. */
  rollover?: GrantRollover
}

/** Credit that was given. Instants are milliseconds since the epoch, amounts decimal strings. */
export interface CreditGrant {
  id: string
  /** `money`, or the name of a meter. */
  unit: string
  amount: string
  priority: number
  /** The first instant at which it counts. */
  effectiveAt: number
  expiresAt: number | null
  /** When it was given, for the burning order. */
  createdAt: number
  /** From when on it is worth nothing, if it was voided. */
  voidedAt: number | null
  recurrence: { every: 'hour' | 'day' | 'month'; timeZone: string } | { at: number[] } | null
  rollover: { minimum: string; maximum: string | null } | null
}

/** Something to be given back. */
export interface CreditRefundInput {
  /** Yours, 1 to 255 bytes. The same refund under the same id does nothing again; another one is an `idempotency_conflict`. */
  id: string
  /** `'money'` (the default) or the name of a meter. */
  unit?: string
  /** How much of what was used, above 0. */
  amount: DecimalInput
}

/** Something that was given back. */
export interface CreditRefund {
  id: string
  unit: string
  /** A decimal. */
  amount: string
  /** From when on it counts, milliseconds since the epoch. */
  at: number
}

/** Which balance: of what, and of when. */
export interface CustomerCreditQuestion {
  /** `'money'` (the default) or the name of a meter. */
  unit?: string
  /** An instant, also of the past: the balance has the grants of it, and the usage before it. By default all that is counted. */
  at?: InstantInput
}

/** What is left of a customer's credit in one unit, in decimal strings. */
export interface CustomerCredit {
  unit: string
  /** Of which instant, milliseconds since the epoch. */
  at: number
  /** What is left of all grants. */
  balance: string
  /** What was used, is owed, and no grant has covered so far. Above 0 only where the balance is 0. */
  overage: string
  /** What was owed when billing periods ended, and is to be paid by other means than credit. */
  billed: string
  /** Those that have taken effect, in the order in which they are burnt. */
  grants: GrantBalance[]
}

/**
 * What customers are given beforehand: money, or units of a meter. Their usage burns it in the very transaction that counts it,
 * exact over all processes. See docs/credits.md.
 */
export class CustomerCredits {
  readonly #engine: EngineSource

  /** @internal */
  constructor(engine: EngineSource) {
    this.#engine = engine
  }

  /**
   * Gives credit. A customer never seen comes into being. From the first grant in a unit on, what is used of it and no grant covers
   * is owed, and paid by the next one.
   *
   * ```ts
   * await billing.credits.grant('acme', { id: 'order-1001', amount: '100.00' })
   * ```
   *
   * @throws BillingError `invalid_argument`, `idempotency_conflict`, `closed`, or a `store_*` code.
   */
  async grant(customerId: string, grant: CreditGrantInput): Promise<CreditGrant> {
    checkOptions('credits.grant', grant, [
      'id',
      'unit',
      'amount',
      'priority',
      'effectiveAt',
      'expiresAt',
      'recurrence',
      'rollover',
    ] satisfies (keyof CreditGrantInput)[])
    const engine = this.#engine()
    return this.#call(customerId, (native, ticket) =>
      native.grantCredit(ticket, engine.now(), customerId, json('a grant', grant)),
    )
  }

  /**
   * Ends a grant: what is left of it is void; what was burnt stays burnt. One that has ended stays as it is.
   *
   * @param options `at`: when it ends, by default now. An instant of the past means now.
   * @throws BillingError `unknown_grant`, `invalid_argument`, `closed`, or a `store_*` code.
   */
  async void(customerId: string, grantId: string, options: { at?: InstantInput } = {}): Promise<CreditGrant> {
    checkOptions('credits.void', options, ['at'])
    checkString('grantId', grantId)
    const engine = this.#engine()
    return this.#call(customerId, (native, ticket) =>
      native.voidGrant(ticket, engine.now(), customerId, json('a void', { ...options, grantId })),
    )
  }

  /**
   * Gives back what was used last: first what is owed, then what was burnt, to the grants that it was burnt from.
   *
   * @throws BillingError `invalid_argument` where it is more than was used, `idempotency_conflict`, `closed`, or a `store_*` code.
   */
  async refund(customerId: string, refund: CreditRefundInput): Promise<CreditRefund> {
    checkOptions('credits.refund', refund, ['id', 'unit', 'amount'] satisfies (keyof CreditRefundInput)[])
    const engine = this.#engine()
    return this.#call(customerId, (native, ticket) =>
      native.refundCredit(ticket, engine.now(), customerId, json('a refund', refund)),
    )
  }

  /** All grants of a customer, by id: those that have ended too. */
  async list(customerId: string): Promise<CreditGrant[]> {
    return this.#call(customerId, (native, ticket) => native.creditGrants(ticket, customerId))
  }

  /**
   * What is left, now or at an instant of the past: then it is what was enforced at that instant, to the last digit.
   *
   * @throws BillingError `invalid_argument`, `closed`, or a `store_*` code.
   */
  async balance(customerId: string, question: CustomerCreditQuestion = {}): Promise<CustomerCredit> {
    checkOptions('credits.balance', question, ['unit', 'at'] satisfies (keyof CustomerCreditQuestion)[])
    const engine = this.#engine()
    return this.#call(customerId, (native, ticket) =>
      native.customerCredit(ticket, engine.now(), customerId, json('a question', question)),
    )
  }

  async #call<Answer>(customerId: string, call: Parameters<ReturnType<EngineSource>['call']>[0]): Promise<Answer> {
    checkString('customerId', customerId)
    return JSON.parse(await this.#engine().call<string>(call)) as Answer
  }
}
