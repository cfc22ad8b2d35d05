import { Alerts } from './alerts.js'
import { type AlertReceiver, AlertSender } from './alertSender.js'
import type { ActionLogger } from './actionLog.js'
import { ApiKeys } from './apiKeys.js'
import { BillingStripe, type BillingStripeOptions } from './billingStripe.js'
import type { StripeEventRecord, TakeoverReport } from './binding.js'
import type { PricingOptions, SubscriptionTier } from './catalog.js'
import { checkVersions, tiersAtStripe } from './catalogVersions.js'
import type { Catalog } from './checkedCatalog.js'
import type { Clock } from './clock.js'
import { CustomerCredits } from './customerCredits.js'
import { Customers } from './customers.js'
import { Engine, type PostgresOptions } from './engine.js'
import { invalidArgument } from './errors.js'
import { type Explanation, explain, type Question } from './explanation.js'
import type { BillingHandler } from './express.js'
import { Invoices } from './invoices.js'
import { createMiddleware, type MiddlewareOptions } from './middleware.js'
import type { BillingEvents } from './notices.js'
import { checkFunction, checkOptions, checkString } from './options.js'
import { simulate, type Simulation, type SimulationQuestion } from './simulation.js'
import { StripeOutbox } from './stripeOutbox.js'
import { stripeId } from './stripeRequests.js'
import type { StripeServiceOptions } from './stripeService.js'
import { createStripeWebhook, type StripeSource, type StripeWebhookOptions } from './stripeWebhook.js'
import { type UsageExport, usageExport } from './usageExport.js'
import { createUsageHandler, type UsageHandlerOptions } from './usageHandler.js'
import { UsageSender } from './usageSender.js'
import { UsageTracker } from './usageTracker.js'

/** How to open a {@link Billing}. Everything has a default. */
export interface BillingOptions {
  /**
   * The directory of the database, and of files that the seed's code left behind, which are taken over on the first
   * opening: by default `logs/usage` below the working directory. It is made on first use.
   */
  dir?: string
  /** The database file itself, in the place of `weighbridge.db` in `dir`. */
  path?: string
  /**
   * Which store: `'sqlite'` (the default), one file that the processes of one machine share; or the URL of a PostgreSQL
   * database, version 13 or later, such as `postgres://user:password@host:5432/database?sslmode=verify-full`, that any
   * number of machines share. Several hosts may be given, separated by commas: the one that can be written to is used. `sslmode`
   * and `sslrootcert` mean what they mean to
   * [PostgreSQL's own tools](https://www.postgresql.org/docs/current/libpq-ssl.html): `prefer` is the default, and only
   * `verify-ca` and `verify-full` check certificates, against those of the system where no `sslrootcert` is given. The
   * journals stay on this machine, in `dir`.
   */
  store?: 'sqlite' | `postgres://${string}` | `postgresql://${string}` | (string & {})
  /** With a PostgreSQL database: how it is used. */
  postgres?: PostgresOptions
  /**
   * The tiers, from the lowest to the highest. They belong to the store: given, they replace the store's for every process
   * on it; left out, those that the store has apply, or {@link subscriptionTiers} where it has none. A tier that is no
   * longer listed stays for the customers who have it, below the listed ones.
   */
  tiers?: SubscriptionTier[]
  /**
   * In the place of `tiers`: a catalog, or its versions, the oldest first. It belongs to the store as tiers do. Customers stay
   * on the version that they signed up to: see {@link CustomerUpdate.catalogVersion}. A version never changes: to say
   * otherwise, add another one. Versions that are no longer given stay, below the given ones. See docs/catalog.md.
   */
  catalog?: Catalog | readonly Catalog[]
  /** The price list of this process: by default the catalog's prices, or {@link endpointPricing} where there is none. */
  pricing?: PricingOptions
  /**
   * The IANA name of the time zone in which months, days and hours begin, such as `Europe/Berlin`. It belongs to the
   * store like the tiers; a new store has `UTC`. Another one counts all past events into its periods anew.
   */
  timeZone?: string
  /**
   * What an admitted request survives: `'journal'` (the default) the death of the process, `'commit'` a power cut too. With
   * `'journal'` the journal is synced to the disk about once a second, in the background.
   */
  durability?: 'journal' | 'commit'
  /**
   * How long a request waits for the store where what is leased to this process does not suffice, in milliseconds: 50 by
   * default. Then it is answered as `passOnStoreError` says. While the store is being opened requests wait for it.
   */
  storeDeadlineMs?: number
  /**
   * Of which shares of a limit, a spend cap or credit to tell, by the event `threshold` and to the receiver of `alerts`: in
   * whole per cents from 1 to 1000. It belongs to the store like the time zone; a new store has `[50, 80, 100]`. `[]` tells of
   * none.
   */
  thresholds?: number[]
  /**
   * To whom it is sent that a threshold was reached: signed, once over all processes, again until it was taken, and through any
   * crash. Only processes that have this option send; what the others count is sent too. `null`: to nobody any more. See
   * docs/alerts.md.
   */
  alerts?: AlertReceiver | null
  /**
   * For `billing.stripe` and `billing.stripeWebhook()`. Left out, the secrets are those of the environment, read when they are
   * needed; with `exportUsage` the key is read at once.
   */
  stripe?: BillingStripeOptions
  /** Is told of every operation. */
  actionLogger?: ActionLogger
  /** Replaces the machine's clock wherever something is decided by it: see {@link ManualClock}. */
  clock?: Clock
}

/** Of an attempt to report usage: shorter than for others, as it is tried again anyway. */
const SENDER_TIMEOUT_MS = 20_000

const OPTIONS: (keyof BillingOptions)[] = [
  'dir',
  'path',
  'store',
  'postgres',
  'tiers',
  'catalog',
  'pricing',
  'timeZone',
  'durability',
  'storeDeadlineMs',
  'thresholds',
  'alerts',
  'stripe',
  'actionLogger',
  'clock',
]

/**
 * Billing for an Express app: API keys, limits, prices and durable usage in the app's own process.
 *
 * ```ts
 * const billing = new Billing()
 * app.use('/api', billing.middleware())
 * app.get('/usage', billing.usageHandler())
 * ```
 *
 * Any number of Billings may share a directory, in one process or in several: limits are exact over all of them.
 *
 * @throws BillingError `invalid_argument` or `invalid_catalog` for bad options, `native_load_failed`. What is wrong with
 * the store itself is told by {@link Billing.ready} and every later call: the constructor does not wait for it.
 */
export class Billing {
  /** Recording and asking. */
  readonly usage: UsageTracker
  /** API keys. */
  readonly keys: ApiKeys
  /** Customers. */
  readonly customers: Customers
  /** What customers are given beforehand. */
  readonly credits: CustomerCredits
  /** What billing periods come to. */
  readonly invoices: Invoices
  /** What was reached, and how far telling a receiver of it is. */
  readonly alerts: Alerts
  /** Stripe, with this Billing's tiers. */
  readonly stripe: BillingStripe
  readonly #engine: Engine
  readonly #stripeSource: StripeSource
  readonly #sender: UsageSender | undefined

  constructor(options: BillingOptions = {}) {
    checkOptions('new Billing', options, OPTIONS)
    const { stripe, catalog, alerts, ...engineOptions } = options
    if (catalog !== undefined && options.tiers !== undefined) {
      throw invalidArgument('`catalog` and `tiers` cannot both be given: a catalog has its own tiers')
    }
    const versions = catalog === undefined ? undefined : checkVersions(catalog)
    const latest = versions?.at(-1)
    const tiers = options.tiers ?? (latest && tiersAtStripe(latest))
    const { webhookSecret, exportUsage, ...given } = stripe ?? {}
    const stripeOptions = { ...(tiers && { tiers }), ...given }
    const exported = usageExport(exportUsage)
    this.#stripeSource = {
      webhookSecret,
      hasSecretKey: () => Boolean(given.secretKey || process.env['STRIPE_SECRET_KEY']),
      retrieveSubscription: (id) => this.stripe.retrieveSubscription(id),
      retrieveEvent: (id) => this.stripe.raw('GET', `/v2/core/events/${stripeId('id', id)}`),
    }
    const source = (): Engine => this.#engine
    this.stripe = new BillingStripe(
      { actionLogger: options.actionLogger, clock: options.clock, ...stripeOptions },
      new StripeOutbox(source, () => this.#sender),
      source,
      exported,
    )
    this.#sender = exported ? usageSender(exported, given) : undefined
    const alertSender = alerts ? new AlertSender(alerts) : undefined
    this.#engine = new Engine({
      ...engineOptions,
      ...(alerts !== undefined && { sendsAlerts: alerts !== null }),
      ...(versions && { catalog: versions }),
      ...(exported !== undefined && { export: exported?.rule ?? null }),
    })
    this.#sender?.start(this.#engine)
    alertSender?.start(this.#engine)
    this.usage = new UsageTracker(source)
    this.keys = new ApiKeys(source)
    this.customers = new Customers(source)
    this.credits = new CustomerCredits(source)
    this.invoices = new Invoices(source)
    this.alerts = new Alerts(source)
  }

  /** The database file; with PostgreSQL the directory of the journals. */
  get path(): string {
    return this.#engine.path
  }

  /**
   * Resolves when the store is open and files of the seed's code have been taken over, with a report of the latter. There
   * is no need to wait for it: everything else waits by itself.
   *
   * @throws BillingError a `store_*` code that says why the store cannot be opened.
   */
  async ready(): Promise<TakeoverReport> {
    return this.#engine.call((native, ticket) => native.ready(ticket))
  }

  /**
   * An Express handler that lets a request through, counted and priced, or answers it: 401 without a valid API key, 403
   * where the tier is too low, a feature is missing or the customer suspended, 429 over the limit, 500 where Weighbridge cannot decide. A path
   * without a price passes unbilled. What is counted is durable before `next()` runs: see `durability`.
   */
  middleware(options: MiddlewareOptions = {}): BillingHandler {
    return createMiddleware(this.#engine, options)
  }

  /** An Express handler that tells a caller his own usage, limits, and when they reset. Asking costs nothing. */
  usageHandler(options: UsageHandlerOptions = {}): BillingHandler {
    return createUsageHandler(this.#engine, options)
  }

  /**
   * An Express handler for Stripe's webhooks, before `express.json()` or with the raw body kept. It verifies the signature,
   * makes tier, suspension and period of the customer what his subscription says, and answers 200 only when that is
   * stored: 400 for a bad signature, 500 where Stripe should send the event again. Each event takes effect once, however
   * often and in which order it is delivered. What each event does: docs/webhooks.md.
   *
   * ```ts
   * app.post('/webhooks/stripe', billing.stripeWebhook())
   * ```
   *
   * @throws BillingError `invalid_argument` for bad options.
   */
  stripeWebhook(options: StripeWebhookOptions = {}): BillingHandler {
    return createStripeWebhook(this.#engine, this.#stripeSource, options)
  }

  /**
   * What is remembered of an event that Stripe has delivered within the last 90 days; `null` of one that was not.
   *
   * @throws BillingError `invalid_argument`, `closed`, or a `store_*` code.
   */
  async stripeEvent(id: string): Promise<StripeEventRecord | null> {
    checkString('id', id)
    return this.#engine.call((native, ticket) => native.stripeEvent(ticket, id))
  }

  /**
   * Listens for what happens by itself: see {@link BillingEvents}.
   *
   * ```ts
   * billing.on('degraded', ({ code, message }) => alert(code, message))
   * billing.on('recovered', () => calm())
   * ```
   */
  on<Name extends keyof BillingEvents>(name: Name, listener: (...event: BillingEvents[Name]) => void): this {
    checkEvent(name, listener)
    this.#engine.notices.emitter.on(name, listener)
    return this
  }

  /** Listens no more. */
  off<Name extends keyof BillingEvents>(name: Name, listener: (...event: BillingEvents[Name]) => void): this {
    checkEvent(name, listener)
    this.#engine.notices.emitter.off(name, listener)
    return this
  }

  /**
   * What would become of a request and why, without making it: key, tier, price, limit, leases, period. It changes nothing.
   * Prices are those of this Billing; a middleware may have its own.
   *
   * @throws BillingError `invalid_argument`, `closed`, or a `store_*` code.
   */
  async explain(question: Question): Promise<Explanation> {
    return explain(this.#engine, question)
  }

  /**
   * What customers would have paid by another catalog for what is recorded: totals, winners and losers. It reads, and changes
   * nothing. Customers have the tiers and billing periods that they have now. See docs/simulation.md.
   *
   * @throws CatalogError where a catalog is none; BillingError `unknown_tier` where it lacks a tier that is named;
   * `invalid_argument`, `closed`, or a `store_*` code.
   */
  async simulate(question: SimulationQuestion): Promise<Simulation> {
    return simulate(this.#engine, question)
  }

  /**
   * Resolves when every event that was handed over before is in the store. It has no deadline: where PostgreSQL is away and
   * it is not known whether a group was committed, that is awaited, and `close()` ends it.
   *
   * @throws BillingError `closed`, or a `store_*` code: what was admitted is in the journal, and is tried again.
   */
  async flush(): Promise<void> {
    return this.#engine.call((native, ticket) => native.flush(ticket))
  }

  /**
   * Finishes what was asked for before, refuses everything after (`closed`), and closes the store. A PostgreSQL server that
   * is away is waited for some seconds; then what was admitted stays in the journal, and whoever opens the store next in
   * this `dir` records it, once. Calling it again is harmless.
   *
   * @throws BillingError `close_timeout` after `timeoutMs` milliseconds; closing then goes on in the background.
   */
  async close(options: { timeoutMs?: number } = {}): Promise<void> {
    checkOptions('close', options, ['timeoutMs'])
    const { timeoutMs } = options
    if (timeoutMs !== undefined && !(Number.isFinite(timeoutMs) && timeoutMs >= 0)) {
      throw invalidArgument(`\`timeoutMs\` must be a number from 0, got ${timeoutMs}`)
    }
    return this.#engine.close(timeoutMs)
  }
}

const EVENTS: (keyof BillingEvents)[] = [
  'degraded',
  'recovered',
  'rejected',
  'threshold',
  'alertFailed',
  'stripeEvent',
  'usageRejected',
]

function checkEvent(name: keyof BillingEvents, listener: unknown): void {
  if (!EVENTS.includes(name))
    throw invalidArgument(`there is no event ${JSON.stringify(name)}; use ${EVENTS.join(', ')}`)
  checkFunction('listener', listener ?? null)
}

/** Everything is looked at before the store is opened. */
function usageSender({ sender }: UsageExport, stripe: StripeServiceOptions): UsageSender {
  const { baseUrl, meterEventsBaseUrl, apiVersion, timeoutMs = SENDER_TIMEOUT_MS } = stripe
  const secretKey = stripe.secretKey || process.env['STRIPE_SECRET_KEY'] || ''
  const callsPerSecond = sender.callsPerSecond ?? (/^(sk|rk)_live_/.test(secretKey) ? 200 : 20)
  const options = { secretKey, baseUrl, meterEventsBaseUrl, apiVersion, timeoutMs }
  return new UsageSender({ ...sender, callsPerSecond, stripe: options })
}
