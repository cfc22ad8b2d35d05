import type { SettlementInput } from './binding.js'
import type { DecisionTuple, Quota } from './decision.js'
import { quotaOf } from './decision.js'
import type { Engine } from './engine.js'
import { invalidArgument, isOutage } from './errors.js'
import { checkOptions } from './options.js'
import { checkMetadata, metadataText } from './usageTracker.js'

/** What a handler learns when it is done. */
export interface Settlement {
  /**
   * How many units the request took, all in all: a whole number from 0. By default what was counted and held. With 0 nothing
   * is billed, as by `void()`.
   */
  units?: number
  /**
   * What they cost, in the place of the price list's price for each: see `UsageEvent.cost`. With `billOn: 'request'` it is
   * the cost of those units that go beyond what was counted before.
   */
  cost?: number | string
  /**
   * Kept with the event, beside the method and the user agent: at most 16 KiB of JSON. With `billOn: 'request'` it is kept
   * with those units that go beyond what was counted before.
   */
  metadata?: Record<string, any>
}

/**
 * What a middleware leaves on the request: where the customer stands, and how to bill what is only known later.
 *
 * ```ts
 * app.post('/api/assistant', async (req, res) => {
 *   if (!(await req.billing!.hold(4000))) return res.status(429).end()
 *   const answer = await assistant(req.body)
 *   await req.billing!.settle({ units: answer.tokens })
 *   res.json(answer)
 * })
 * ```
 *
 * A request's billing ends once: the first `settle()` or `void()`, or else, where something is held, the end of the response: it is
 * settled if the response was finished with a status below 400, and void otherwise. Of a stream that the client broke off,
 * only the handler knows what was delivered: it may settle that in its own `close` listener, which comes first.
 */
export interface RequestBilling extends Quota {
  /**
   * `recorded`: counted. `held`: counted when the response is finished (`billOn: 'success'`). `duplicate`: its idempotency
   * key was counted before. `unpriced`: it costs nothing. `unrecorded`: the store is away, and it passed uncounted
   * (`passOnStoreError`).
   */
  code: 'recorded' | 'held' | 'duplicate' | 'unpriced' | 'unrecorded'
  /** Whether the store was away when the request was let through. */
  degraded: boolean
  /**
   * Sets units apart, so many all in all (a whole number from 1), and answers whether the limit has room for them. What is
   * not settled goes back, at the latest after an hour. Where nothing is billed (`duplicate`, `unpriced`, `unrecorded`) it
   * answers `true` and sets nothing apart; where the request's billing has ended, `false`.
   *
   * @throws BillingError `invalid_argument`, `closed`, or a `store_*` code where the store is away and what is leased to
   * this process does not suffice (`store_timeout` after `storeDeadlineMs`), also with `passOnStoreError`.
   */
  hold(units: number): Promise<boolean>
  /**
   * Bills what the request really took. More units than were held have been used all the same, and are counted past the
   * limit. Resolves, when that is durable, with `true`; with `false` where the request's billing had ended before, or there
   * is nothing to bill (`duplicate`, `unpriced`, `unrecorded`).
   *
   * @throws BillingError `invalid_argument` for bad values, also for fewer units than were counted before the handler ran
   * (with `billOn: 'request'`), and for a cost or metadata of no units; `metadata_too_large`, `amount_overflow`; `closed`,
   * `overloaded` or a `store_*` code where it could not be written. Then it has not ended: it can be settled again, and
   * otherwise ends with the response.
   */
  settle(settlement?: Settlement): Promise<boolean>
  /**
   * Bills nothing of what is held; units that were counted before (`billOn: 'request'`) stay counted. Answers `false` where
   * nothing was held, or the request's billing had ended before.
   */
  void(): boolean
}

/** What a request's billing needs of its surroundings. */
export interface Surroundings {
  engine: Engine
  /** Asks for units to be held. */
  hold(units: number): Promise<DecisionTuple>
  /** Calls back once at the end of the response, after whoever else listens for it; at once where it has ended. */
  onEnd(ended: (isSuccess: boolean) => Promise<void>): void
  /** Is told what went wrong while nobody waited for it. */
  report(error: unknown): void
  /** What is kept with the event. */
  metadata(): Record<string, unknown>
}

const SETTLEMENT = ['units', 'cost', 'metadata']

/** The billing of one request that may be priced, held and settled. */
export class Charge implements RequestBilling {
  readonly code: RequestBilling['code']
  readonly degraded: boolean
  limit: number | null
  used: number
  remaining: number | null
  resetAt: number
  readonly #surroundings: Surroundings
  /** Units that were counted before the handler ran. */
  readonly #counted: number
  #held: number
  #holds: number[]
  /** The last `hold()` that was asked for. */
  #holding: Promise<unknown> | undefined
  #hasEnded = false
  #isWatched = false
  /** Whether the response was a success, once it has ended. */
  #response: boolean | undefined

  constructor(surroundings: Surroundings, decision: DecisionTuple, units: number) {
    const code = decision[0] as RequestBilling['code']
    const quota = quotaOf(decision)
    this.code = code
    this.degraded = surroundings.engine.notices.degraded
    this.limit = quota.limit
    this.used = quota.used
    this.remaining = quota.remaining
    this.resetAt = quota.resetAt
    this.#surroundings = surroundings
    const hold = decision[9]
    this.#counted = code === 'recorded' ? units : 0
    this.#held = hold == null ? 0 : units
    this.#holds = hold == null ? [] : [hold]
    if (hold != null) this.#watch()
  }

  async hold(units: number): Promise<boolean> {
    if (!Number.isSafeInteger(units) || units < 1) {
      throw invalidArgument(`\`units\` must be a whole number from 1, got ${units}`)
    }
    // One after another: what is missing depends on what the others have got.
    const before = this.#holding ?? Promise.resolve()
    const answer = before.then(() => this.#hold(units))
    this.#holding = answer.catch(() => {})
    return answer
  }

  async #hold(units: number): Promise<boolean> {
    if (this.#isBilled) this.#watch()
    if (this.#hasEnded) return false
    const missing = units - this.#counted - this.#held
    if (missing <= 0 || !this.#isBilled) return true
    const decision = await this.#surroundings.hold(missing)
    const hold = decision[9]
    if (hold == null) return false
    // The response may have ended meanwhile.
    if (this.#hasEnded) {
      this.#surroundings.engine.void([hold])
      return false
    }
    this.#held += missing
    this.#holds.push(hold)
    Object.assign(this, quotaOf(decision))
    return true
  }

  async settle(settlement: Settlement = {}): Promise<boolean> {
    checkOptions('settle', settlement, SETTLEMENT)
    const { units, cost, metadata } = settlement
    if (units !== undefined && (!Number.isSafeInteger(units) || units < 0)) {
      throw invalidArgument(`\`units\` must be a whole number from 0, got ${units}`)
    }
    if (this.#hasEnded || !this.#isBilled) return false
    const beyond = units === undefined ? this.#held : units - this.#counted
    if (beyond < 0) {
      throw invalidArgument(
        `\`units\`: ${this.#counted} were counted before the handler ran; use billOn: 'success' where it may be fewer`,
      )
    }
    checkMetadata(metadata)
    const text = metadata == null ? undefined : metadataText({ ...this.#surroundings.metadata(), ...metadata })
    if (beyond === 0) {
      for (const [name, value] of Object.entries({ cost, metadata })) {
        if (value == null) continue
        throw invalidArgument(
          this.#counted > 0
            ? `\`${name}\`: these units were counted before the handler ran; use billOn: 'success'`
            : `\`${name}\` without units: give \`units\`, or nothing for those that were held`,
        )
      }
    }
    this.#hasEnded = true
    if (beyond === 0) {
      this.#surroundings.engine.void(this.#holds)
      return true
    }
    try {
      return await this.#record({
        units: beyond,
        ...(cost !== undefined && { cost }),
        ...(text !== undefined && { metadata: text }),
      })
    } catch (error) {
      this.#hasEnded = false
      // What could not be written is held no more.
      if (isOutage(error)) this.#holds = []
      // The response has ended meanwhile, and found it settled.
      if (this.#response !== undefined) this.#surroundings.engine.await(this.#conclude(this.#response))
      throw error
    }
  }

  /** What is held no more, because that was an hour ago, was used all the same: it is counted past the limit. */
  async #record(settlement: SettlementInput): Promise<boolean> {
    const { engine } = this.#surroundings
    for (const isHeld of [true, false]) {
      if (!isHeld || this.#holds.length === 0) {
        const decision = await this.#surroundings.hold(0)
        if (decision[9] == null) return false
        this.#holds = [decision[9]]
      }
      const settled = await engine.call<boolean>((native, ticket) =>
        native.settle(ticket, engine.now(), this.#holds, settlement),
      )
      if (settled) return true
    }
    return false
  }

  void(): boolean {
    if (this.#hasEnded || !this.#isBilled) return false
    this.#hasEnded = true
    return this.#surroundings.engine.void(this.#holds)
  }

  get #isBilled(): boolean {
    return this.code === 'recorded' || this.code === 'held'
  }

  #watch(): void {
    if (this.#isWatched) return
    this.#isWatched = true
    this.#surroundings.onEnd((isSuccess) => {
      this.#response = isSuccess
      return this.#conclude(isSuccess)
    })
  }

  /** By the default rule, unless the handler has said otherwise. */
  async #conclude(isSuccess: boolean): Promise<void> {
    if (!isSuccess) {
      this.void()
      return
    }
    try {
      await this.settle()
    } catch (error) {
      this.#surroundings.report(error)
    }
  }
}
