import { AsyncResource } from 'node:async_hooks'
import type { Complete } from './actionLog.js'
import { type PricingOptions, checkRequiredTiers, priceInputs } from './catalog.js'
import type { DecisionTuple } from './decision.js'
import type { EngineSource } from './defaultEngine.js'
import type { Engine } from './engine.js'
import { type BillingError, fromNative, invalidArgument, isOutage } from './errors.js'
import {
  type BillingHandler,
  type BillingRequest,
  type BillingResponse,
  bearerToken,
  fullPath,
  type Next,
  onResponseEnd,
  routingRules,
} from './express.js'
import type { Gate } from './gate.js'
import { setLegacyHeaders, setRefusalHeaders, setStandardHeaders } from './headers.js'
import { checkBoolean, checkFunction, checkOptions, checkString } from './options.js'
import { problem, type Refusal, type RefusalCode, refusal } from './refusals.js'
import { Charge, type Surroundings } from './requestBilling.js'
import { requestDigest } from './requestDigest.js'
import type { Tickets } from './tickets.js'

/** Where failures of Weighbridge itself are reported. */
export interface Logger {
  error(error: unknown): void
}

/** How a middleware behaves. Every function may also return a promise. */
export interface MiddlewareOptions {
  /** Requests for which it returns true go on unseen: no key needed, nothing counted. */
  skip?(req: BillingRequest, res: BillingResponse): boolean | Promise<boolean>
  /** Where the API key is. By default in `Authorization: Bearer …`. What is no string is no key: 401. */
  keyGenerator?(req: BillingRequest): string | null | undefined | Promise<string | null | undefined>
  /** How many units a request takes: a whole number from 1, which is the default. Its price is multiplied by them. */
  units?(req: BillingRequest): number | Promise<number>
  /**
   * When a request is counted: before it goes on (`'request'`, the default), or when its response was finished with a
   * status below 400 (`'success'`): until then its units are held, and a response that fails, or that the client breaks
   * off, costs nothing. Either way `req.billing` can hold and settle what is only known later.
   */
  billOn?: 'request' | 'success'
  /**
   * Whether requests pass uncounted while the store is away and what is leased to this process does not suffice: off by
   * default, then they are answered 500. See {@link Billing.on} for how to notice.
   */
  passOnStoreError?: boolean
  /**
   * Answers a request that is not let through, in the place of the built-in answer; headers are set already. What it throws
   * goes to Express's error handlers.
   */
  handler?(req: BillingRequest, res: BillingResponse, next: Next, refusal: Refusal): void | Promise<void>
  /**
   * Values by which a request's price may differ, such as `{ model: 'gpt-4' }`: see `CatalogPrice.dimensions`. They are kept
   * with its event, as metadata. `method`, `userAgent` and `request` are there already.
   */
  dimensions?(req: BillingRequest): Record<string, string> | Promise<Record<string, string>>
  /** The price list of this middleware, in the place of the engine's and of the catalog's prices. */
  pricing?: PricingOptions
  /** What becomes of a path without a price: it passes unbilled (the default), or it is answered 403. */
  unpriced?: 'pass' | 'refuse'
  /**
   * Whether a request with an `Idempotency-Key` header that was counted before passes uncounted: on by default. A retry
   * is then charged once. The key stands for one request: with another method, URL or user agent, or another body where
   * `express.json()` or the like comes before this middleware, it is answered 422. A body that is parsed later is not
   * compared: turn this off where clients could then reuse one key for many requests that each cost you something.
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
  logger?: Logger
  /** Whether paths that differ in case differ in price. By default as the app's `case sensitive routing` says. */
  caseSensitive?: boolean
  /** Whether a slash at the end makes another path. By default as the app's `strict routing` says. */
  strict?: boolean
}

const OPTIONS: (keyof MiddlewareOptions)[] = [
  'skip',
  'keyGenerator',
  'units',
  'billOn',
  'passOnStoreError',
  'handler',
  'dimensions',
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
const FUNCTIONS = ['skip', 'keyGenerator', 'units', 'dimensions', 'handler'] as const
const SWITCHES = [
  'passOnStoreError',
  'idempotencyKey',
  'standardHeaders',
  'legacyHeaders',
  'problemDetails',
  'caseSensitive',
  'strict',
] as const
const MAX_ID_BYTES = 255
/** Whose middleware a request has passed. */
const BILLED_BY = Symbol('weighbridge')
type Marked = { [BILLED_BY]?: Engine }
/** As on the native side. */
const MAX_USER_AGENT = 512

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
  if (options.billOn !== undefined && options.billOn !== 'request' && options.billOn !== 'success') {
    throw invalidArgument('`billOn` must be "request" or "success"')
  }
  if (options.pricing !== undefined) priceInputs(options.pricing)
}

/** What a caller's functions say of a request. */
interface Asked {
  key: string | undefined
  units: number
  dimensions: Record<string, string> | undefined
}

class Middleware {
  readonly engine: Engine
  readonly options: MiddlewareOptions
  readonly gate: Gate
  readonly tickets: Tickets
  readonly property: 'billing'
  /** The failure that was logged last. */
  #logged: string | undefined

  constructor(engine: Engine, options: MiddlewareOptions) {
    this.engine = engine
    this.options = options
    if (options.pricing !== undefined && engine.tierIds !== undefined) {
      checkRequiredTiers(options.pricing, engine.tierIds)
    }
    const pricing = options.pricing && priceInputs(options.pricing)
    const { gate, tickets } = engine.gate(pricing, options.unpriced === 'refuse')
    this.gate = gate
    this.tickets = tickets
    this.property = (options.requestPropertyName ?? 'billing') as 'billing'
    // The next outage is another one.
    engine.notices.emitter.on('recovered', () => (this.#logged = undefined))
  }

  /** The warm path makes no promise: everything up to the ticket happens at once, everything after it in its answer. */
  handle(req: BillingRequest, res: BillingResponse, next: Next): void {
    // Mounted twice, on the app and on a router, it bills once.
    if ((req as Marked)[BILLED_BY] === this.engine) return next()
    const exchange = new Exchange(this, req, res, next)
    const { skip, keyGenerator, units, dimensions } = this.options
    if (skip === undefined && keyGenerator === undefined && units === undefined && dimensions === undefined) {
      exchange.admit(bearerToken(req), 1, undefined)
      return
    }
    // Back out of the promise, so that what a later handler throws is not taken for ours.
    this.#ask(req, res).then(
      (answer) =>
        queueMicrotask(() =>
          answer === 'skip' ? next() : exchange.admit(answer.key, answer.units, answer.dimensions),
        ),
      (error) => queueMicrotask(() => exchange.fail(error)),
    )
  }

  async #ask(req: BillingRequest, res: BillingResponse): Promise<'skip' | Asked> {
    const { skip, keyGenerator, units, dimensions } = this.options
    if (skip !== undefined && (await skip(req, res))) return 'skip'
    const key: unknown = keyGenerator === undefined ? bearerToken(req) : await keyGenerator(req)
    return {
      key: typeof key === 'string' ? key : undefined,
      units: units === undefined ? 1 : await units(req),
      dimensions: dimensions === undefined ? undefined : await dimensions(req),
    }
  }

  /** The first failure of its kind is logged; the log is not for every request of an outage. */
  report(error: unknown): void {
    const { code, message } = asError(error) as Partial<BillingError>
    const kind = `${code}: ${code === undefined ? message : ''}`
    if (this.#logged === kind) return
    this.#logged = kind
    logTo(this.options.logger, error)
  }
}

/** A logger that fails must not cost a request its answer. */
export function logTo(logger: Logger | undefined, error: unknown): void {
  try {
    ;(logger ?? console).error(error)
  } catch (failure) {
    console.error(failure)
  }
}

/** Anything can be thrown. */
function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}

/** One request on its way through. */
class Exchange implements Surroundings {
  readonly #middleware: Middleware
  readonly #req: BillingRequest
  readonly #res: BillingResponse
  readonly #next: Next
  readonly #path: string
  #key = ''
  #units = 1
  /** Of a request with an idempotency key. */
  #digest: string | undefined
  #dimensions: Record<string, string> | undefined
  #complete: Complete | undefined

  constructor(middleware: Middleware, req: BillingRequest, res: BillingResponse, next: Next) {
    this.#middleware = middleware
    this.#req = req
    this.#res = res
    this.#next = next
    // Now: a router changes the request when it passes it on.
    this.#path = fullPath(req)
  }

  get engine(): Engine {
    return this.#middleware.engine
  }

  admit(key: string | undefined, units: number, dimensions: Record<string, string> | undefined): void {
    const { engine, options } = this.#middleware
    if (!Number.isSafeInteger(units) || units < 1) {
      return this.fail(invalidArgument(`\`units\` must be a whole number from 1, got ${units}`))
    }
    if (!areDimensions(dimensions)) {
      return this.fail(invalidArgument(`\`dimensions\` must be an object of texts, without ${RESERVED.join(', ')}`))
    }
    this.#dimensions = dimensions
    this.#complete = engine.actionLog.start(
      'BillingMiddleware',
      'Process API billing',
      `Processing billing for ${this.#path}`,
    )
    if (key === undefined || key === '') return this.#refuse('api_key_required')
    const id = options.idempotencyKey === false ? undefined : this.#req.headers['idempotency-key']
    if (id !== undefined && !isEventId(id)) return this.#refuse('invalid_idempotency_key')
    if (id !== undefined) this.#digest = requestDigest(this.#req)
    this.#key = key
    this.#units = units
    this.#ask(units, options.billOn === 'success', id, (error, decision) => {
      if (error === undefined) this.#settle(decision)
      else this.fail(error)
    })
  }

  /** Calls `then` once it is decided and, where something is counted, written. */
  #ask(units: number, isHold: boolean, id: string | undefined, then: Decided): void {
    const { gate, tickets, engine, options } = this.#middleware
    // The answer comes from outside of the request's asynchronous context; AsyncLocalStorage must not notice.
    const context = new AsyncResource('WeighbridgeRequest')
    let made: DecisionTuple | null = null
    const ticket = tickets.issue((error, decision) =>
      context.runInAsyncScope(then, null, error, (decision ?? made) as DecisionTuple),
    )
    const { method = '', headers } = this.#req
    const rules = routingRules(this.#req, options.caseSensitive, options.strict)
    const agent = headers['user-agent']
    const dimensions = this.#dimensions && JSON.stringify(this.#dimensions)
    try {
      const [now, key, path, digest] = [engine.now(), this.#key, this.#path, this.#digest]
      made = gate.decide(ticket, now, key, method, path, rules, agent, id, units, isHold, digest, dimensions)
    } catch (error) {
      tickets.withdraw(ticket)
      return then(fromNative(error), NOTHING)
    }
    if (made === null) return
    if (made[0] === 'recorded') return engine.handOverSoon()
    tickets.withdraw(ticket)
    then(undefined, made)
  }

  #settle(decision: DecisionTuple): void {
    const { engine, options, property } = this.#middleware
    const req = this.#req
    const [code, customerId, subscriptionId, tier] = decision
    if (customerId != null) req.customerId = customerId
    if (subscriptionId != null) req.subscriptionId = subscriptionId
    if (tier != null) req.billingTier = tier
    if (!this.#res.headersSent) {
      if (options.standardHeaders !== false) setStandardHeaders(this.#res, decision, engine.now())
      if (options.legacyHeaders === true) setLegacyHeaders(this.#res, decision)
    }
    if (code !== 'recorded' && code !== 'held' && code !== 'duplicate' && code !== 'unpriced') {
      return this.#refuse(code, decision)
    }
    ;(req as Marked)[BILLED_BY] = engine
    req[property] = new Charge(this, decision, this.#units)
    this.#complete?.(`Billing processed for ${this.#path}`)
    this.#next()
  }

  #refuse(code: RefusalCode, decision?: DecisionTuple): void {
    const { options, engine } = this.#middleware
    const res = this.#res
    const answer = refusal(code, decision)
    this.#complete?.(`Billing refused for ${this.#path}: ${answer.body['error']}`)
    if (res.headersSent) return
    setRefusalHeaders(res, code, decision, engine.now(), this.#units)
    if (options.handler !== undefined) return this.#handle(options.handler, answer)
    if (options.problemDetails === true) {
      res.setHeader('Content-Type', 'application/problem+json')
      res.status(answer.status).json(problem(answer))
    } else {
      res.status(answer.status).json(answer.body)
    }
  }

  /** What the handler throws, now or later, is for Express's error handlers. */
  #handle(handler: NonNullable<MiddlewareOptions['handler']>, answer: Refusal): void {
    try {
      Promise.resolve(handler(this.#req, this.#res, this.#next, answer)).catch(this.#next)
    } catch (error) {
      this.#next(error)
    }
  }

  /** We cannot decide: the policy does. */
  fail(error: unknown): void {
    const { options, property } = this.#middleware
    this.#middleware.report(error)
    this.#complete?.(`Billing failed: ${asError(error).message}`)
    this.#complete = undefined
    if (options.passOnStoreError === true && isOutage(error)) {
      this.#req[property] = new Charge(this, UNRECORDED, 0)
      return this.#next()
    }
    this.#refuse('internal')
  }

  hold(units: number): Promise<DecisionTuple> {
    return new Promise((resolve, reject) => {
      this.#ask(units, true, undefined, (error, decision) => (error === undefined ? resolve(decision) : reject(error)))
    })
  }

  onEnd(ended: (isSuccess: boolean) => Promise<void>): void {
    onResponseEnd(this.#res, ended, (ending) => this.engine.await(ending))
  }

  report(error: unknown): void {
    this.#middleware.report(error)
  }

  metadata(): Record<string, unknown> {
    const { method, headers } = this.#req
    const userAgent = headers['user-agent']?.slice(0, MAX_USER_AGENT)
    return { ...this.#dimensions, method, userAgent, request: this.#digest }
  }
}

/** What a request's metadata holds anyway. */
const RESERVED = ['method', 'userAgent', 'request']

function areDimensions(dimensions: unknown): boolean {
  if (dimensions === undefined) return true
  if (typeof dimensions !== 'object' || dimensions === null || Array.isArray(dimensions)) return false
  return Object.entries(dimensions).every(([name, value]) => typeof value === 'string' && !RESERVED.includes(name))
}

type Decided = (error: BillingError | undefined, decision: DecisionTuple) => void

const NOTHING: DecisionTuple = [
  'unpriced',
  undefined,
  undefined,
  undefined,
  undefined,
  0,
  0,
  0,
  undefined,
  undefined,
  undefined,
]
const UNRECORDED = ['unrecorded', ...NOTHING.slice(1)] as unknown as DecisionTuple

function isEventId(id: string | string[]): id is string {
  return typeof id === 'string' && id !== '' && Buffer.byteLength(id) <= MAX_ID_BYTES && !/\p{Cc}/u.test(id)
}
