import type { DecisionTuple, Quota } from './decision.js'
import { quotaOf } from './decision.js'
import type { Engine } from './engine.js'
import { invalidArgument } from './errors.js'
import { checkOptions } from './options.js'
import { checkMetadata, metadataText } from './usageTracker.js'

/** What a handler learns when it is done. */
export interface Settlement {
  /** How many units the request took, all in all: a whole number from 0. By default what was counted and held. */
  units?: number
  /**
   * What they cost, in the place of the price list's price for each: see `UsageEvent.cost`. With `billOn: 'request'` it is
   * the cost of those units that go beyond what was counted before.
   */
  cost?: number | string
  /** Kept with the event, beside the method and the user agent. */
  metadata?: Record<string, any>
}

/**
 * What a middleware leaves on the request: where the customer stands, and how to bill what is only known later.
 *
 * ```ts
 * app.post('/api/assistant', async (req, res) => {
 *   if (!(await req.billing.hold(4000))) return res.status(429).end()
 *   const answer = await assistant(req.body)
 *   await req.billing.settle({ units: answer.tokens })
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
   * Sets units apart, so many all in all, and answers whether the limit has room for them. What is not settled goes back.
   */
  hold(units: number): Promise<boolean>
  /**
   * Bills what the request really took. More units than were held have been used all the same, and are counted past the
   * limit. Resolves, when that is durable, with `true`; with `false` where the request's billing had ended before, or there
   * is nothing to bill (`duplicate`, `unpriced`, `unrecorded`).
   *
   * @throws BillingError `invalid_argument` for bad values, also for fewer units than were counted before the handler ran
   * (with `billOn: 'request'`), `metadata_too_large`, `amount_overflow`; then it has not ended.
   */
  settle(settlement?: Settlement): Promise<boolean>
  /** Bills nothing of what is held. Answers `false` where the request's billing had ended before. */
  void(): boolean
}

/** What a request's billing needs of its surroundings. */
export interface Surroundings {
  engine: Engine
  /** Asks for units to be held. */
  hold(units: number): Promise<DecisionTuple>
  /** Calls back once at the end of the response, after whoever else listens for it; at once where it has ended. */
  onEnd(ended: (isSuccess: boolean) => void): void
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
    if (beyond === 0 && cost !== undefined && this.#counted > 0) {
      throw invalidArgument("`cost`: these units were counted at their price before; use billOn: 'success'")
    }
    this.#hasEnded = true
    const { engine } = this.#surroundings
    if (beyond === 0) {
      engine.void(this.#holds)
      return true
    }
    try {
      if (this.#holds.length === 0) {
        const decision = await this.#surroundings.hold(0)
        if (decision[9] == null) return false
        this.#holds.push(decision[9])
      }
      return await engine.call<boolean>((native, ticket) =>
        native.settle(ticket, engine.now(), this.#holds, {
          units: beyond,
          ...(cost !== undefined && { cost }),
          ...(text !== undefined && { metadata: text }),
        }),
      )
    } catch (error) {
      // What is still held can be settled again, rightly, or else at the end of the response.
      this.#hasEnded = false
      throw error
    }
  }

  void(): boolean {
    if (this.#hasEnded || !this.#isBilled) return false
    this.#hasEnded = true
    this.#surroundings.engine.void(this.#holds)
    return true
  }

  get #isBilled(): boolean {
    return this.code === 'recorded' || this.code === 'held'
  }

  #watch(): void {
    if (this.#isWatched) return
    this.#isWatched = true
    this.#surroundings.onEnd((isSuccess) => {
      if (isSuccess) this.settle().catch((error: unknown) => this.#surroundings.report(error))
      else this.void()
    })
  }
}
