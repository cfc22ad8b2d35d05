import { AsyncResource } from 'node:async_hooks'
import type { Complete } from './actionLog.js'
import { type PricingOptions, checkRequiredTiers, priceInputs } from './catalog.js'
import { type DecisionTuple, quotaOf } from './decision.js'
import type { EngineSource } from './defaultEngine.js'
import type { Engine, Gate } from './engine.js'
import { type BillingError, fromNative, invalidArgument } from './errors.js'
import {
  type BillingHandler,
  type BillingRequest,
  type BillingResponse,
  bearerToken,
  fullPath,
  type Next,
  type RequestBilling,
  routingRules,
} from './express.js'
import { setLegacyHeaders, setRefusalHeaders, setStandardHeaders } from './headers.js'
import { checkBoolean, checkFunction, checkOptions, checkString } from './options.js'
import { problem, type Refusal, type RefusalCode, refusal } from './refusals.js'
import type { Tickets } from './tickets.js'

/** How a middleware behaves. Every function may also return a promise. */
export interface MiddlewareOptions {
  /** Requests for which it returns true go on unseen: no key needed, nothing counted. */
  skip?: (req: BillingRequest, res: BillingResponse) => boolean | Promise<boolean>
  /** Where the API key is. By default in `Authorization: Bearer …`. */
  keyGenerator?: (req: BillingRequest) => string | undefined | Promise<string | undefined>
  /** How many units a request takes: a whole number from 1, which is the default. Its price is multiplied by them. */
  units?: (req: BillingRequest) => number | Promise<number>
  /** Answers a request that is not let through, in the place of the built-in answer; headers are set already. */
  handler?: (req: BillingRequest, res: BillingResponse, next: Next, refusal: Refusal) => void
  /** The price list of this middleware, in the place of the engine's. */
  pricing?: PricingOptions
  /** What becomes of a path without a price: it passes unbilled (the default), or it is answered 403. */
  unpriced?: 'pass' | 'refuse'
  /**
   * Whether a request with an `Idempotency-Key` header that was counted before passes uncounted: on by default. A retry
   * is then charged once; turn it off where clients could reuse one key for many requests that each cost you something.
   */
  idempotencyKey?: boolean
  /** `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10): on by default. */
  standardHeaders?: boolean
  /** `X-RateLimit-Limit`, `-Remaining` and `-Reset`: off by default. */
  legacyHeaders?: boolean
  /** Refusals as `application/problem+json` (RFC 9457) in the place of the seed's bodies: off by default. */
  problemDetails?: boolean
  /** Where on the request the quota is left: `billing` by default. */
  requestPropertyName?: string
  /** Where failures of Weighbridge itself are reported, once per outage: `console` by default. */
  logger?: { error(error: unknown): void }
  /** Whether paths that differ in case differ in price. By default as the app's `case sensitive routing` says. */
  caseSensitive?: boolean
  /** Whether a slash at the end makes another path. By default as the app's `strict routing` says. */
  strict?: boolean
}

const OPTIONS: (keyof MiddlewareOptions)[] = [
  'skip',
  'keyGenerator',
  'units',
  'handler',
  'pricing',
  'unpriced',
  'idempotencyKey',
  'standardHeaders',
  'legacyHeaders',
  'problemDetails',
  'requestPropertyName',
  'logger',
  'caseSensitive',
  'strict',
]
const FUNCTIONS = ['skip', 'keyGenerator', 'units', 'handler'] as const
const SWITCHES = [
  'idempotencyKey',
  'standardHeaders',
  'legacyHeaders',
  'problemDetails',
  'caseSensitive',
  'strict',
] as const
const MAX_ID_BYTES = 255

/** An Express handler over an engine. */
export function createMiddleware(engine: Engine, options: MiddlewareOptions = {}): BillingHandler {
  checkMiddlewareOptions(options)
  const middleware = new Middleware(engine, options)
  return function billingMiddleware(req, res, next) {
    middleware.handle(req, res, next)
  }
}

/** The same over an engine that `source` gives when the first request comes. */
export function createLazyMiddleware(source: EngineSource, options: MiddlewareOptions = {}): BillingHandler {
  checkMiddlewareOptions(options)
  let middleware: Middleware | undefined
  return function billingMiddleware(req, res, next) {
    try {
      middleware ??= new Middleware(source(), options)
    } catch (error) {
      const { logger = console } = options
      logger.error(error)
      const { status, body } = refusal('internal')
      res.status(status).json(body)
      return
    }
    middleware.handle(req, res, next)
  }
}

function checkMiddlewareOptions(options: MiddlewareOptions): void {
  checkOptions('middleware', options, OPTIONS)
  for (const name of FUNCTIONS) checkFunction(name, options[name])
  for (const name of SWITCHES) checkBoolean(name, options[name])
  if (options.logger !== undefined) checkFunction('logger.error', options.logger?.error ?? null)
  if (options.requestPropertyName !== undefined) checkString('requestPropertyName', options.requestPropertyName)
  if (options.unpriced !== undefined && options.unpriced !== 'pass' && options.unpriced !== 'refuse') {
    throw invalidArgument('`unpriced` must be "pass" or "refuse"')
  }
  if (options.pricing !== undefined) priceInputs(options.pricing)
}

class Middleware {
  readonly #engine: Engine
  readonly #options: MiddlewareOptions
  readonly #gate: Gate
  readonly #tickets: Tickets
  readonly #property: 'billing'
  /** The code of the failure that was logged last, until a request succeeds. */
  #failing: string | undefined

  constructor(engine: Engine, options: MiddlewareOptions) {
    this.#engine = engine
    this.#options = options
    if (options.pricing !== undefined) checkRequiredTiers(options.pricing, engine.tiers)
    const pricing = options.pricing && priceInputs(options.pricing)
    const { gate, tickets } = engine.gate(pricing, options.unpriced === 'refuse')
    this.#gate = gate
    this.#tickets = tickets
    this.#property = (options.requestPropertyName ?? 'billing') as 'billing'
  }

  /** The warm path makes no promise: everything up to the ticket happens at once, everything after it in its answer. */
  handle(req: BillingRequest, res: BillingResponse, next: Next): void {
    const exchange = { req, res, next }
    const { skip, keyGenerator, units } = this.#options
    if (skip === undefined && keyGenerator === undefined && units === undefined) {
      this.#admit(exchange, bearerToken(req), 1)
      return
    }
    // Back out of the promise, so that what a later handler throws is not taken for ours.
    this.#ask(req, res).then(
      (answer) => queueMicrotask(() => (answer === 'skip' ? next() : this.#admit(exchange, answer.key, answer.units))),
      (error) => queueMicrotask(() => this.#fail(exchange, error)),
    )
  }

  async #ask(req: BillingRequest, res: BillingResponse): Promise<'skip' | { key: string | undefined; units: number }> {
    const { skip, keyGenerator, units } = this.#options
    if (skip !== undefined && (await skip(req, res))) return 'skip'
    return {
      key: keyGenerator === undefined ? bearerToken(req) : await keyGenerator(req),
      units: units === undefined ? 1 : await units(req),
    }
  }

  #admit({ req, res, next }: Exchange, key: string | undefined, units: number): void {
    const path = fullPath(req)
    const complete = this.#engine.actionLog.start(
      'BillingMiddleware',
      'Process API billing',
      `Processing billing for ${path}`,
    )
    const exchange = { req, res, next, path, complete }
    if (key === undefined || key === '') return this.#refuse(exchange, 'api_key_required')
    const id = this.#options.idempotencyKey === false ? undefined : req.headers['idempotency-key']
    if (id !== undefined && !isEventId(id)) return this.#refuse(exchange, 'invalid_idempotency_key')

    // The answer comes from outside of the request's asynchronous context; AsyncLocalStorage must not notice.
    const context = new AsyncResource('WeighbridgeRequest')
    const ticket = this.#tickets.issue((error, decision) =>
      context.runInAsyncScope(() =>
        error === undefined ? this.#settle(exchange, decision as DecisionTuple) : this.#fail(exchange, error),
      ),
    )
    let decision: unknown[] | null
    try {
      const { caseSensitive, strict } = this.#options
      const rules = routingRules(req, caseSensitive, strict)
      const userAgent = req.headers['user-agent']
      decision = this.#gate(ticket, this.#engine.now(), key, req.method ?? '', path, rules, userAgent, id, units)
    } catch (error) {
      this.#tickets.withdraw(ticket)
      return this.#fail(exchange, fromNative(error))
    }
    if (decision !== null) {
      this.#tickets.withdraw(ticket)
      this.#settle(exchange, decision as DecisionTuple)
    }
  }

  #settle(exchange: Exchange, decision: DecisionTuple): void {
    const { req, res, next } = exchange
    const [code, customerId, subscriptionId, tier] = decision
    if (customerId != null) req.customerId = customerId
    if (subscriptionId != null) req.subscriptionId = subscriptionId
    if (tier != null) req.billingTier = tier
    if (!res.headersSent) {
      if (this.#options.standardHeaders !== false) setStandardHeaders(res, decision, this.#engine.now())
      if (this.#options.legacyHeaders === true) setLegacyHeaders(res, decision)
    }
    if (code !== 'recorded' && code !== 'duplicate' && code !== 'unpriced') {
      return this.#refuse(exchange, code, decision)
    }
    this.#failing = undefined
    req[this.#property] = { code, ...quotaOf(decision) } satisfies RequestBilling
    exchange.complete?.(`Billing processed for ${exchange.path}`)
    next()
  }

  #refuse({ req, res, next, path, complete }: Exchange, code: RefusalCode, decision?: DecisionTuple): void {
    const answer = refusal(code, decision)
    complete?.(`Billing refused for ${path}: ${answer.body['error']}`)
    if (res.headersSent) return
    setRefusalHeaders(res, code, decision, this.#engine.now())
    if (this.#options.handler !== undefined) return this.#options.handler(req, res, next, answer)
    if (this.#options.problemDetails === true) {
      res.setHeader('Content-Type', 'application/problem+json')
      res.status(answer.status).json(problem(answer))
    } else {
      res.status(answer.status).json(answer.body)
    }
  }

  /** We cannot decide: 500. The first failure of its kind is logged; the log is not for every request of an outage. */
  #fail(exchange: Exchange, error: unknown): void {
    const { code, message } = error as Partial<BillingError>
    exchange.complete?.(`Billing failed: ${message}`)
    if (this.#failing !== (code ?? message)) {
      this.#failing = code ?? message
      const logger = this.#options.logger ?? console
      logger.error(error)
    }
    this.#refuse({ ...exchange, complete: undefined }, 'internal')
  }
}

/** One request on its way through. */
interface Exchange {
  req: BillingRequest
  res: BillingResponse
  next: Next
  path?: string
  complete?: Complete
}

function isEventId(id: string | string[]): id is string {
  return typeof id === 'string' && id !== '' && Buffer.byteLength(id) <= MAX_ID_BYTES
}
