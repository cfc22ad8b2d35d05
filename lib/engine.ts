import { dirname, join, resolve } from 'node:path'
import { setImmediate } from 'node:timers'
import { ActionLog, type ActionLogger } from './actionLog.js'
import type { ExportRuleInput, NativeEngine, PriceInput } from './binding.js'
import {
  checkRequiredTiers,
  endpointPricing,
  priceInputs,
  type PricingOptions,
  type SubscriptionTier,
  subscriptionTiers,
  tierInputs,
} from './catalog.js'
import type { CheckedCatalog } from './checkedCatalog.js'
import { checkClock, type Clock } from './clock.js'
import { BillingError, fromNative, invalidArgument } from './errors.js'
import { Gate } from './gate.js'
import { native } from './native.js'
import { Notices } from './notices.js'
import { checkNumber, checkOptions, checkString } from './options.js'
import { Tickets } from './tickets.js'

/** How Weighbridge uses a PostgreSQL database. */
export interface PostgresOptions {
  /** The schema that holds its tables, made on first use: `weighbridge` by default. Letters, digits and underscores. */
  schema?: string
  /**
   * How many whole months (UTC) of single events are kept, besides the current one: from 1. Older ones are dropped, a month
   * at a time, and then no report by `events` reaches them; counters and hourly sums stay. By default all are kept.
   */
  retentionMonths?: number
}

/** What an engine needs of the options of `Billing`. */
export interface EngineOptions {
  dir?: string
  path?: string
  store?: string
  postgres?: PostgresOptions
  tiers?: SubscriptionTier[]
  /** The versions of a catalog, checked, the oldest first. */
  catalog?: readonly CheckedCatalog[]
  pricing?: PricingOptions
  timeZone?: string
  durability?: string
  /** What is reported to Stripe; `null`: nothing any more. */
  export?: ExportRuleInput | null
  storeDeadlineMs?: number
  thresholds?: number[]
  /** Whether alerts are to be sent; left out, what the store says. */
  sendsAlerts?: boolean
  actionLogger?: ActionLogger
  clock?: Clock
}

/** How long a request waits for the store by default. */
const STORE_DEADLINE_MS = 50

/**
 * The native engine together with what it needs on this side: tickets for its answers, a clock, the action log.
 * `Billing` and the classes of the seed are views of it.
 */
export class Engine {
  readonly clock: Clock
  readonly actionLog: ActionLog
  /** The database file, or with PostgreSQL the directory of the journals. */
  readonly path: string
  /** The ids of those that were given, as tiers or in a catalog; left out, the store's apply. */
  readonly tierIds: readonly string[] | undefined
  readonly notices = new Notices()
  readonly #tickets = new Tickets(this.notices.receive)
  readonly #native: NativeEngine
  readonly #deadlineMs: number
  #closing: Promise<void> | undefined
  #isHandingOver = false
  /** What ends the billing of responses that have ended. */
  readonly #endings = new Set<Promise<void>>()
  readonly #beforeClosing: (() => Promise<void>)[] = []
  readonly #handOver = (): void => {
    this.#isHandingOver = false
    this.#native.handOver()
  }

  constructor(options: EngineOptions = {}) {
    this.clock = checkClock(options.clock)
    this.actionLog = new ActionLog(options.actionLogger)
    const { dir, path, postgres } = places(options)
    checkNumber('storeDeadlineMs', options.storeDeadlineMs)
    this.#deadlineMs = options.storeDeadlineMs ?? STORE_DEADLINE_MS
    const thresholds: unknown = options.thresholds
    if (thresholds !== undefined && !(Array.isArray(thresholds) && thresholds.every(Number.isFinite))) {
      throw invalidArgument('`thresholds` must be an array of numbers, per cents')
    }
    this.path = path
    const { catalog } = options
    const tiers = options.tiers && tierInputs(options.tiers)
    this.tierIds = (options.tiers ?? catalog?.at(-1)?.tiers)?.map(({ id }) => id)
    const pricing = options.pricing && priceInputs(options.pricing)
    if (options.pricing !== undefined && this.tierIds !== undefined) checkRequiredTiers(options.pricing, this.tierIds)
    const nativeOptions = {
      path,
      dir,
      ...(postgres && { postgres }),
      defaultTiers: tierInputs(subscriptionTiers),
      defaultPricing: priceInputs(endpointPricing),
      ...(pricing && { pricing }),
      ...(catalog && { catalog: catalog.map((version) => JSON.stringify(version)) }),
      now: this.now(),
      deadlineMs: this.#deadlineMs,
      ...(options.thresholds && { thresholds: options.thresholds }),
      ...(options.sendsAlerts !== undefined && { sendsAlerts: options.sendsAlerts }),
      ...(options.export !== undefined && { export: options.export }),
      ...(options.durability !== undefined && { durability: options.durability }),
      ...(tiers && { tiers }),
      ...(options.timeZone !== undefined && { timeZone: options.timeZone }),
    }
    try {
      this.#native = new (native().NativeEngine)(nativeOptions, this.#tickets.deliver)
    } catch (error) {
      this.#tickets.dispose()
      throw error instanceof BillingError ? error : fromNative(error)
    }
  }

  now(): number {
    return this.clock.now()
  }

  /** Runs an operation of the native engine. What is wrong with its arguments rejects the promise. */
  call<T>(operation: (engine: NativeEngine, ticket: number) => void): Promise<T> {
    return this.#tickets.promise<T>((ticket) => operation(this.#native, ticket))
  }

  /**
   * Lets what was admitted in this turn of the event loop be written, all at once, at its end: waking the writing thread
   * for each request would cost more than all else.
   */
  handOverSoon(): void {
    if (this.#isHandingOver) return
    this.#isHandingOver = true
    setImmediate(this.#handOver)
  }

  /** The same, or `store_timeout` where it takes longer than a request waits for the store. */
  async inTime<T>(answer: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<never>((_, reject) => {
      const late = (): void => reject(new BillingError('store_timeout', `no answer within ${this.#deadlineMs} ms`))
      timer = setTimeout(late, this.#deadlineMs)
    })
    return Promise.race([answer, timeout]).finally(() => clearTimeout(timer))
  }

  /** Closing waits for this. It never rejects. */
  await(ending: Promise<void>): void {
    this.#endings.add(ending)
    void ending.then(() => this.#endings.delete(ending))
  }

  /** Lets another part of the native side work on this engine. */
  attach(start: (native: NativeEngine) => void): void {
    start(this.#native)
  }

  /** Closing begins with this. */
  beforeClosing(step: () => Promise<void>): void {
    this.#beforeClosing.push(step)
  }

  /** Ends holds without an event; tells whether they had not ended before. */
  void(holds: number[]): boolean {
    return this.#native.void(holds)
  }

  /** A gate, and the tickets for its answers. */
  gate(pricing: PriceInput[] | undefined, refuseUnpriced: boolean): { gate: Gate; tickets: Tickets } {
    try {
      return { gate: new Gate(this.#native.gate(pricing, refuseUnpriced)), tickets: this.#tickets }
    } catch (error) {
      throw fromNative(error)
    }
  }

  async close(timeoutMs?: number): Promise<void> {
    this.#closing ??= this.#close().finally(() => this.#tickets.dispose())
    if (timeoutMs === undefined) return this.#closing
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<never>((_, reject) => {
      const error = new BillingError('close_timeout', `closing takes longer than ${timeoutMs} ms and goes on`)
      timer = setTimeout(() => reject(error), timeoutMs)
    })
    return Promise.race([this.#closing, timeout]).finally(() => clearTimeout(timer))
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#beforeClosing.map((step) => step()))
    while (this.#endings.size > 0) await Promise.all(this.#endings)
    return this.call<void>((engine, ticket) => engine.close(ticket))
  }
}

interface Places {
  dir: string
  path: string
  postgres?: PostgresOptions & { url: string }
}

function places({ dir, path, store, postgres }: EngineOptions): Places {
  for (const [name, value] of Object.entries({ dir, path, store })) {
    if (value !== undefined && (typeof value !== 'string' || value === '')) {
      throw invalidArgument(`\`${name}\` must be a non-empty string`)
    }
  }
  if (store !== undefined && store !== 'sqlite' && !/^postgres(ql)?:\/\//.test(store)) {
    throw invalidArgument('`store` must be "sqlite" or a URL that begins with postgres://')
  }
  const directory = resolve(dir ?? (path === undefined ? join('logs', 'usage') : dirname(path)))
  if (store === undefined || store === 'sqlite') {
    if (postgres !== undefined) throw invalidArgument('`postgres` needs `store`, the URL of the database')
    return { dir: directory, path: path === undefined ? join(directory, 'weighbridge.db') : resolve(path) }
  }
  if (path !== undefined) throw invalidArgument('`path` is the file of SQLite; with PostgreSQL give `dir`')
  checkOptions('postgres', postgres ?? {}, ['schema', 'retentionMonths'])
  if (postgres?.schema !== undefined) checkString('postgres.schema', postgres.schema)
  checkNumber('postgres.retentionMonths', postgres?.retentionMonths)
  return { dir: directory, path: directory, postgres: { ...postgres, url: store } }
}
