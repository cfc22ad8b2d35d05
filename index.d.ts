import { EventEmitter } from 'node:events'
import { IncomingMessage, ServerResponse } from 'node:http'

/**
 * Receives what Weighbridge does, operation by operation: `startWork` at the beginning, `completeWork` at the end, of
 * success and failure alike. Nobody waits for it: a slow, failing or missing answer neither delays nor fails anything.
 */
export interface ActionLogger {
  /** @returns the id for `completeWork`, or a promise of it. */
  startWork(agent: string, action: string, description: string, kind: string): unknown
  completeWork(id: never, summary: string, files: string[]): unknown
}
type Complete = (summary: string, files?: string[]) => void
declare class ActionLog {
  #private
  constructor(logger?: ActionLogger)
  start(agent: string, action: string, description: string): Complete
  /** Reports an asynchronous operation from beginning to end: `success` of its result, or `failure` and why. */
  report<T>(
    complete: Complete,
    operation: () => Promise<T>,
    success: (result: T) => string,
    failure: string,
  ): Promise<T>
}
declare class NativeEngine {
  /** Answers with `[{ id, attempts, body }]`: what is to be sent, by nobody else until `claim_millis` have passed. */
  claimAlerts(ticket: number, now: number, claimMillis: number, limit: number): void
  /** Answers with the state of the alert, or with `null` where it is somebody else's by now. */
  settleAlert(ticket: number, now: number, settlement: AlertSettlementInput): void
  /** Answers with a page of alerts. One more than a page may be asked for, to see whether there is another one. */
  alerts(ticket: number, query: AlertQueryInput): void
  /** Answers whether there was an alert with this id that had been given up. */
  retryAlert(ticket: number, now: number, id: string): void
  /** Answers with the grant; the request is `{ id, unit?, amount, priority?, effectiveAt?, expiresAt?, recurrence?, rollover? }`. */
  grantCredit(ticket: number, now: number, customerId: string, request: string): void
  /** Answers with the grant; the question is `{ grantId, at? }`. */
  voidGrant(ticket: number, now: number, customerId: string, question: string): void
  /** Answers with the refund; the question is `{ id, unit?, amount }`. */
  refundCredit(ticket: number, now: number, customerId: string, question: string): void
  /** Answers with all grants of a customer, by id. */
  creditGrants(ticket: number, customerId: string): void
  /** Answers with the balance; the question is `{ at?, unit? }`. */
  customerCredit(ticket: number, now: number, customerId: string, question: string): void
  constructor(options: EngineOptions, deliver: (written: number[], batch: unknown[]) => void)
  ready(ticket: number): void
  flush(ticket: number): void
  close(ticket: number): void
  /** The function that decides about requests, for one price list: the engine's own where none is given. */
  gate(
    pricing: Array<PriceInput> | undefined | null,
    refuseUnpriced: boolean,
  ): (
    ticket: number,
    now: number,
    key: string,
    method: string,
    path: string,
    rules: number,
    userAgent: string | undefined,
    id: string | undefined,
    units: number,
    isHold: boolean,
    digest: string | undefined,
    dimensions: string | undefined,
    figures: Float64Array,
  ) => unknown[] | number | null
  /** Answers with one recording for each event. Events without a cost get what the catalog says. */
  record(ticket: number, now: number, events: EventInput[]): void
  /** Answers with a decision. */
  consume(ticket: number, now: number, input: ConsumeInput): void
  /** Writes what gates have said `recorded` of. To be called once after one or more of them. */
  handOver(): void
  /** Ends holds as one event; answers whether they had not ended before. */
  settle(ticket: number, now: number, holds: Array<number>, settlement: SettlementInput): void
  /** Ends holds without an event; tells whether they had not ended before. */
  void(holds: Array<number>): boolean
  /** Answers with what would become of a request. */
  explain(ticket: number, now: number, question: QuestionInput): void
  /** Answers with the usage in the period that holds `at`, or `null` for a customer never seen. */
  customerUsage(ticket: number, customerId: string, at: number): void
  /** Answers whether one more unit fits; `true` for customers never seen and for what is no meter. */
  checkLimits(ticket: number, now: number, customerId: string, eventType: string): void
  /** Answers with the rows of a report. */
  query(ticket: number, input: QueryInput): void
  /** Answers with the key, and the secret the only time that it is seen. */
  createKey(ticket: number, now: number, input: KeyInput): void
  rotateKey(ticket: number, now: number, id: string, overlapMs: number): void
  revokeKey(ticket: number, now: number, id: string): void
  verifyKey(ticket: number, now: number, key: string): void
  listKeys(ticket: number, customerId: string): void
  upsertCustomer(ticket: number, now: number, input: CustomerInput): void
  customer(ticket: number, id: string): void
  /** One more than `limit` may be asked for, to see whether there is another page. */
  customers(ticket: number, after: string | undefined | null, limit: number): void
  /**
   * The question is `{ customerId, at, catalog?, tierId?, held?, credits?, rounding? }`; answers with `null` for a customer
   * never seen.
   */
  previewInvoice(ticket: number, question: string): void
  /** Answers with how much is in which state. */
  usageBacklog(ticket: number): void
  /** Answers with a page of reports. One more than a page may be asked for, to see whether there is another one. */
  usageReports(ticket: number, query: ReportQueryInput): void
  /** Answers whether there was a dead report with this id. */
  retryUsageReport(ticket: number, now: number, id: string): void
  /** Answers with the report that Stripe has rejected after it took it, or `null`. */
  rejectUsageReport(ticket: number, now: number, id: string, reason: string): void
  /**
   * The question is a plan with `from`, `to`, `limit` and `baseline?`, another plan. A plan is `{ catalog, customers?, tiers?,
   * tierId? }`.
   */
  simulate(ticket: number, question: string): void
  /** Verifies and claims an event. */
  receiveStripeEvent(ticket: number, now: number, signed: SignedInput): void
  /**
   * Does what a claimed event says, or rather what Stripe answered afterwards when it was asked for the subscription.
   * Answers whether nobody else was faster.
   */
  finishStripeEvent(
    ticket: number,
    now: number,
    payload: Buffer,
    retrieved: string | undefined | null,
    retrievedAt: number,
  ): void
  /** Gives back an event that could not be worked on. */
  releaseStripeEvent(ticket: number, id: string): void
  /** Answers with what is remembered of an event, or `null`. */
  stripeEvent(ticket: number, id: string): void
}
interface AlertQueryInput {
  state?: string
  customerId?: string
  startingAfter?: string
  limit: number
}
interface AlertSettlementInput {
  id: string
  attempts: number
  answer: 'accepted' | 'gone' | 'failed' | 'interrupted'
  reason?: string
  /** From 0 to 1. */
  jitter: number
}
/** What is known of an API key; never the key itself. Instants are milliseconds since the epoch. */
export interface ApiKey {
  /** Names the key in `rotate` and `revoke`; no secret. */
  id: string
  customerId: string
  name: string | null
  /** The first characters of the key, to recognise it by. */
  prefix: string
  createdAt: number
  /** From this instant on the key is refused. */
  expiresAt: number | null
  /** Since when the key is refused. */
  revokedAt: number | null
}
interface ConsumeInput {
  customerId: string
  id?: string
  eventType: string
  units?: number
  /** The price of the endpoint where it is left out. */
  cost?: number | string
  endpoint?: string
  agentType?: string
  metadata?: string
}
/** A customer as the store knows him. */
export interface Customer {
  id: string
  /** The id of the customer's tier; `null` without one, with the limits of a customer without a tier. */
  tier: string | null
  /** The version of the catalog that he signed up to; `null` without a tier or a catalog. */
  catalogVersion: string | null
  /** The id of his Stripe subscription. */
  subscriptionId: string | null
  /** His id at Stripe. */
  stripeCustomerId: string | null
  /** The status of that subscription, as far as Stripe's webhooks have told. `unpaid` and `paused` suspend him too. */
  subscriptionStatus:
    'incomplete' | 'incomplete_expired' | 'trialing' | 'active' | 'past_due' | 'unpaid' | 'paused' | 'canceled' | null
  /** An instant at which one of the subscription's periods begins, milliseconds since the epoch. */
  billingCycleAnchor: number | null
  /** The most that what is admitted may cost in a billing period: a decimal in the currency's major unit. */
  spendCap: string | null
  /** Whether requests are refused that his credit does not cover. */
  prepaid: boolean
  /** Whether `customers.upsert` has suspended him: a suspended customer's requests are answered 403. */
  suspended: boolean
  /** When Weighbridge first saw him, milliseconds since the epoch. */
  createdAt: number
}
interface CustomerInput {
  id: string
  tier?: string | null
  catalogVersion?: string | null
  subscriptionId?: string | null
  stripeCustomerId?: string | null
  billingCycleAnchor?: number | null
  spendCap?: number | string | null
  prepaid?: boolean
  suspended?: boolean
}
interface EngineOptions {
  /** The database file of SQLite, where no `postgres` is given. */
  path: string
  /** Where the seed's code may have left files, and where journals are with PostgreSQL. */
  dir: string
  postgres?: PostgresInput
  tiers?: Array<TierInput>
  defaultTiers: Array<TierInput>
  /** The versions of a catalog, each as JSON, the oldest first. */
  catalog?: Array<string>
  pricing?: Array<PriceInput>
  /** Where the store has no catalog either. */
  defaultPricing: Array<PriceInput>
  timeZone?: string
  /** What is reported to Stripe. */
  export?: ExportRuleInput | null
  now: number
  /** By default `journal`. */
  durability?: string
  deadlineMs: number
  /** Per cents of a limit. */
  thresholds?: Array<number>
  /** Whether there is a receiver of alerts; what the store says where it is left out. */
  sendsAlerts?: boolean
}
interface EventInput {
  customerId: string
  id?: string
  eventType: string
  units?: number
  /** What the catalog says where it is left out. */
  cost?: number | string
  timestamp: number
  subscriptionId?: string
  endpoint?: string
  agentType?: string
  /** A JSON object. */
  metadata?: string
}
interface ExportRuleInput {
  meters: Array<string>
  windowMs?: number
}
/** What was brought in from the journals of processes that had ended without `close()`. */
export interface JournalReport {
  /** How many journals there were. */
  journals: number
  /** How many events were counted now. Those that were in the store already are not counted again. */
  events: number
  /** How many lines could not be read: torn by a crash, in which case nobody was told that they are there, or damaged. */
  rejected: number
  /** The file that holds those lines, each with its reason. */
  rejectedFile?: string
}
interface KeyInput {
  customerId: string
  name?: string
  expiresAt?: number
  /** An existing secret to import. */
  key?: string
}
interface PostgresInput {
  url: string
  schema?: string
  retentionMonths?: number
}
interface PriceInput {
  route: string
  pricePerRequest: number | string
  requiredTier?: string
}
interface QueryInput {
  customerId?: string
  from: number
  to: number
  window?: string
  groupBy?: Array<string>
}
interface QuestionInput {
  key?: string
  customerId?: string
  method: string
  path: string
  units?: number
  /** Each value is text. */
  dimensions?: Record<string, string>
}
interface ReportQueryInput {
  state?: string
  customerId?: string
  startingAfter?: string
  limit: number
}
interface SettlementInput {
  units?: number
  cost?: number | string
  metadata?: string
}
interface SignedInput {
  payload: Buffer
  /** The header. */
  signature: string
  secrets: Array<string>
  toleranceSeconds: number
}
/** What is remembered of an event that Stripe has delivered. */
export interface StripeEventRecord {
  id: string
  type: string
  /** When it happened, by Stripe; milliseconds since the epoch. */
  created: number
  /** `done`; `kept`, where it says nothing that Weighbridge knows; `claimed` while it is being worked on. */
  state: 'claimed' | 'done' | 'kept'
  /** Since when it is in this state; milliseconds since the epoch. */
  changedAt: number
  /** The JSON of one that is kept, as Stripe sent it. */
  payload: string | null
}
/** What was found when the store was opened: files that the seed's code left behind, and journals of processes that died. */
export interface TakeoverReport {
  /** How many events of `usage-events.json` were counted now. Those of earlier openings are not counted again. */
  events: number
  /** How many of its lines could not be read. */
  rejected: number
  /** The file that holds those lines, each with its reason. */
  rejectedFile?: string
  /** How many customers were taken from `customer-usage.json`, because the log has no event of theirs. */
  summaries: number
  /** Why `customer-usage.json` could not be read. */
  summariesError?: string
  /** What was brought in from the journals of processes that had ended without `close()`. */
  journals: JournalReport
}
interface TierInput {
  id: string
  /** Infinity for no limit. */
  apiRequestsPerMonth: number
  agentExecutionsPerMonth: number
  /** The tier as JSON. */
  definition: string
}
/** How much usage is in a state on its way to Stripe. */
export interface UsageBacklog {
  /** `pending`, `sending`, `dead`, `uncertain` or `frozen`: see `UsageReport`. */
  state: string
  reports: number
  units: number
  /** When the oldest of their windows began, milliseconds since the epoch. */
  since: number
}
/** What a customer used of a meter in one window of time, on its way to Stripe. Instants are milliseconds since the epoch. */
export interface UsageReport {
  /** The identifier and idempotency key of every attempt to send it. */
  id: string
  customerId: string
  eventType: 'api_request' | 'agent_execution' | 'data_access'
  stripeCustomerId: string
  subscriptionId: string | null
  windowStart: number
  /** When the last of its events happened: the timestamp that Stripe is told. */
  timestamp: number
  units: number
  /**
   * `pending`: it waits. `sending`: a process has claimed it. `sent`: Stripe took it. `dead`: Stripe refused it, see
   * `reason`. `uncertain`: nobody knows whether it arrived, and to send it again might count it twice. `frozen`: it is
   * older than Stripe takes.
   */
  state: 'pending' | 'sending' | 'sent' | 'dead' | 'uncertain' | 'frozen'
  attempts: number
  /** Why the last attempt failed. */
  reason: string | null
  /** An attempt may have arrived without an answer. */
  inDoubt: boolean
  /** When it is tried next; while it is `sending`, until when it is claimed. */
  dueAt: number
}
/** One row of a usage report. What the report was not grouped by is left out. */
export interface UsageRow {
  /** `[windowStart, windowEnd)`, milliseconds since the epoch: the part of the window that lies between `from` and `to`. */
  windowStart: number
  windowEnd: number
  customerId?: string
  eventType?: 'api_request' | 'agent_execution' | 'data_access' | (string & {})
  /** The endpoint as the price list writes it; left out for events without one. */
  endpoint?: string
  /** How many events. */
  events: number
  /** How many units they took. */
  units: number
  /** What they cost: an exact decimal. */
  cost: string
}
/** A subscription tier. The limits are for a billing period: a calendar month in the configured time zone. */
export interface SubscriptionTier {
  /** Names the tier in `customers.upsert({ tier })`, `requiredTier` and `createSubscription`. */
  id: string
  /** For people. */
  name: string
  /** The id of the tier's price at Stripe. */
  priceId: string
  /** In the currency's major unit. For display: Stripe's price is what is charged. */
  monthlyPrice: number
  features: {
    /** Whole units from 0; `Infinity` for no limit. */
    apiRequestsPerMonth: number
    /** Whole units from 0; `Infinity` for no limit. */
    agentExecutionsPerMonth: number
    dataAccessLevel: 'basic' | 'professional' | 'enterprise'
    supportLevel: 'community' | 'email' | 'priority'
  }
}
/**
 * What the endpoints cost. A key is a full path (`/api/execute`), a pattern as Express writes it (`/api/agents/:id`,
 * `/files/*path`), or one of them after a method (`POST /api/execute`). Paths match as Express routes them: in any
 * case and with or without a slash at the end, unless the app's settings say otherwise. Of several that match, plain text
 * wins over parameters and these over wildcards.
 */
export interface EndpointPricing {
  [endpoint: string]: {
    /** In the currency's major unit: a number, exact to 12 decimal places, or a decimal string. */
    pricePerRequest: number
    /** The lowest tier that may call it; others are answered 403. */
    requiredTier?: string
  }
}
/** Like {@link EndpointPricing}, where a price may also be a decimal string. */
export interface PricingOptions {
  [endpoint: string]: {
    pricePerRequest: number | string
    requiredTier?: string
  }
}
/** The tiers that apply where none are configured, from the lowest to the highest. Replace the price ids by your own. */
export declare const subscriptionTiers: SubscriptionTier[]
/** The price list that applies where none is configured. */
export declare const endpointPricing: EndpointPricing
/**
 * An exact decimal: an amount, a rate or a quantity.
 *
 * Best as a string: digits, with a point between them or not, at most 1,000 characters: `'0.10'`. A number is taken where it
 * is certainly exact: with at most 15 significant digits, or whole up to 2^53. The noise of float arithmetic (`0.1 + 0.2`),
 * NaN and Infinity are refused, never rounded. A bigint is taken as it is.
 */
export type DecimalInput = string | number | bigint
/**
 * What something costs, by one of six models; the field `model` says which. Amounts are in the currency's major unit, and in
 * which currency is for you to know: a price has none.
 *
 * Unknown fields are refused. A price that could be read prices every quantity from 0.
 */
export type Price =
  PerUnitPrice | PackagePrice | GraduatedPrice | VolumePrice | PercentagePrice | GraduatedPercentagePrice
/** The least and the most that a price ever asks, whatever its model. */
export interface PriceBounds {
  /** The total is at least this, also for quantity 0. */
  minimumAmount?: DecimalInput
  /** The total is at most this. It must not be below the minimum. */
  maximumAmount?: DecimalInput
}
/**
 * Every unit costs the same.
 *
 * ```ts
 * quote({ model: 'per_unit', unitAmount: '0.002', freeUnits: '100' }, '1600').amount // '3'
 * ```
 *
 * Stripe's `billing_scheme: 'per_unit'`, Lago's `standard`.
 *
 * @see https://docs.stripe.com/products-prices/pricing-models
 * @see https://docs.getlago.com/guide/plans/charges/charge-models/standard
 */
export interface PerUnitPrice extends PriceBounds {
  model: 'per_unit'
  /** What a unit costs, from 0. */
  unitAmount: DecimalInput
  /** So many of the first units cost nothing. */
  freeUnits?: DecimalInput
  /** Due once, also for quantity 0. */
  flatAmount?: DecimalInput
}
/**
 * Packages of so many units. A package that was begun counts whole.
 *
 * ```ts
 * quote({ model: 'package', amount: '5', packageSize: '100', freeUnits: '50' }, '151').amount // '10'
 * ```
 *
 * Stripe's `transform_quantity` with `round: 'up'`, Lago's `package`.
 *
 * @see https://docs.stripe.com/api/prices/object#price_object-transform_quantity
 * @see https://docs.getlago.com/guide/plans/charges/charge-models/package
 */
export interface PackagePrice extends PriceBounds {
  model: 'package'
  /** What a package costs, from 0. */
  amount: DecimalInput
  /** How many units are in a package: above 0, not necessarily whole. */
  packageSize: DecimalInput
  /** So many of the first units need no package. */
  freeUnits?: DecimalInput
  /** Due once, also for quantity 0. */
  flatAmount?: DecimalInput
}
/** What units of a tier cost. */
export interface PriceTier {
  /**
   * The last unit that the tier covers; it begins above the bound of the tier before it. `'10'` covers the 10th unit, and of
   * 10.5 units the last half lies in the next tier. Each bound is above the one before it. The last tier, and only that one,
   * has none: `null`.
   */
  upTo: DecimalInput | null
  /** What a unit costs, from 0. */
  unitAmount: DecimalInput
  /** Due once where the tier is reached. That of the first tier is due always, also for quantity 0. */
  flatAmount?: DecimalInput
}
/**
 * Every unit costs what the tier asks in which it lies, and every tier that is reached its flat amount.
 *
 * ```ts
 * quote(
 *   {
 *     model: 'graduated',
 *     tiers: [
 *       { upTo: '10', unitAmount: '1', flatAmount: '5' },
 *       { upTo: null, unitAmount: '0.5' },
 *     ],
 *   },
 *   '12',
 * ).amount // '16'
 * ```
 *
 * Stripe's `tiers_mode: 'graduated'`, Lago's `graduated`.
 *
 * @see https://docs.stripe.com/products-prices/pricing-models#tiered-pricing
 * @see https://docs.getlago.com/guide/plans/charges/charge-models/graduated
 */
export interface GraduatedPrice extends PriceBounds {
  model: 'graduated'
  /** By rising bounds; at least one. */
  tiers: readonly PriceTier[]
}
/**
 * All units cost what the tier asks in which the whole quantity lies, and only that tier's flat amount is due.
 *
 * ```ts
 * quote(
 *   {
 *     model: 'volume',
 *     tiers: [
 *       { upTo: '10', unitAmount: '1', flatAmount: '5' },
 *       { upTo: null, unitAmount: '0.5' },
 *     ],
 *   },
 *   '12',
 * ).amount // '6'
 * ```
 *
 * Stripe's `tiers_mode: 'volume'`, Lago's `volume`.
 *
 * @see https://docs.stripe.com/products-prices/pricing-models#tiered-pricing
 * @see https://docs.getlago.com/guide/plans/charges/charge-models/volume
 */
export interface VolumePrice extends PriceBounds {
  model: 'volume'
  /** By rising bounds; at least one. */
  tiers: readonly PriceTier[]
}
/**
 * A share of the quantity, such as the sum of payments, and a fixed amount for each event, such as a payment.
 *
 * ```ts
 * quote({ model: 'percentage', rate: '2.9', fixedAmount: '0.30' }, '200', { events: 3 }).amount // '6.7'
 * ```
 *
 * Lago's `percentage`, where free units and free events count apart from each other. Lago's minimum and maximum per
 * transaction depend on each transaction: quote it by itself, with `events: 1`, `minimumAmount` and `maximumAmount`.
 *
 * @see https://docs.getlago.com/guide/plans/charges/charge-models/percentage
 */
export interface PercentagePrice extends PriceBounds {
  model: 'percentage'
  /** In per cent of the quantity, from 0: `'2.9'` of 200 is 5.8. */
  rate: DecimalInput
  /**
   * Due for each event. How many there were is said by {@link QuoteOptions.events}; where that is left out none is due, and a
   * line of the quote says so.
   */
  fixedAmount?: DecimalInput
  /** So much of the quantity is free of the rate. */
  freeUnits?: DecimalInput
  /** So many events are free of the fixed amount: a whole number. */
  freeEvents?: DecimalInput
  /** Due once, also for quantity 0. */
  flatAmount?: DecimalInput
}
/** What a tier takes of the quantity within it. */
export interface PercentageTier {
  /** As in {@link PriceTier}. */
  upTo: DecimalInput | null
  /** In per cent of what lies in the tier, from 0. */
  rate: DecimalInput
  /** Due once where the tier is reached. That of the first tier is due always, also for quantity 0. */
  flatAmount?: DecimalInput
}
/**
 * A share of each part of the quantity, at the rate of the tier in which it lies.
 *
 * ```ts
 * quote(
 *   {
 *     model: 'graduated_percentage',
 *     tiers: [
 *       { upTo: '1000', rate: '3' },
 *       { upTo: null, rate: '1.5' },
 *     ],
 *   },
 *   '3000',
 * ).amount // '60'
 * ```
 *
 * Lago's `graduated_percentage`.
 *
 * @see https://docs.getlago.com/guide/plans/charges/charge-models/graduated-percentage
 */
export interface GraduatedPercentagePrice extends PriceBounds {
  model: 'graduated_percentage'
  /** By rising bounds; at least one. */
  tiers: readonly PercentageTier[]
}
/** What else is known of the quantity. */
export interface QuoteOptions {
  /**
   * The currency's ISO 4217 code, such as `'USD'`, in capitals or not. It is checked and repeated in the quote; it changes no
   * amount, because a quote is not rounded.
   */
  currency?: string
  /** In how many events the quantity came, a whole number: for the fixed amount of {@link PercentagePrice}. */
  events?: DecimalInput
}
/**
 * What a quantity costs, and how that comes about. All decimals are strings in their shortest form: no exponent, no zeros at
 * the end (`'3'`, `'0.1'`).
 */
export interface Quote {
  /** The sum of the lines, exact and not rounded: see {@link round}. */
  amount: string
  /** In capitals, where one was given. */
  currency?: string
  /** At least one. */
  lines: QuoteLine[]
}
/** A part of a quote: `amount` is `units` × `unitAmount` + `flatAmount`, to the last digit. */
export interface QuoteLine {
  /** For people, in English: `Units above 10 up to 20`. Do not take it apart: its wording may change. */
  description: string
  /** How many of what the description names: units, packages or events. */
  units: string
  /** What one of them costs; of a rate of 2.9 per cent, `'0.029'`. */
  unitAmount: string
  /** What is due besides. Negative where a maximum takes something off. */
  flatAmount: string
  amount: string
}
/**
 * How an amount is rounded that lies exactly in the middle: `half_away_from_zero` makes 0.13 of 0.125 and -0.13 of -0.125,
 * `half_even` makes 0.12 of 0.125 and 0.14 of 0.135. All others go to the nearest.
 */
export type RoundingMode = 'half_away_from_zero' | 'half_even'
/**
 * What a quantity costs at a price, to the last digit. Nothing is rounded and nothing is remembered: the same question always
 * has the same answer.
 *
 * ```ts
 * quote({ model: 'per_unit', unitAmount: '0.00125' }, '3333').amount // '4.16625'
 * round('4.16625', 'USD') // '4.17'
 * ```
 *
 * @param quantity From 0, not necessarily whole.
 * @throws BillingError `invalid_argument` where something is missing, unknown or no decimal from 0, `invalid_catalog` where
 * the price contradicts itself (tiers that overlap or leave a gap, a maximum below the minimum). The message names the
 * place: `price.tiers[1].upTo`.
 */
export declare function quote(price: Price, quantity: DecimalInput, options?: QuoteOptions): Quote
/**
 * Rounds an amount, once, to what can be paid in a currency: to the decimal places of its minor unit in ISO 4217, all of
 * which are written. The yen has none, the dollar two, the Kuwaiti dinar three, the Unidad de Fomento four.
 *
 * ```ts
 * round('1.005', 'USD') // '1.01'
 * round('1.005', 'USD', 'half_even') // '1.00'
 * round('2.5', 'JPY') // '3'
 * round('1.5', 'KWD') // '1.500'
 * ```
 *
 * Round totals, not parts: the sum of rounded parts is another amount. Stripe counts some currencies otherwise than ISO
 * (`ISK`, `UGX` and `MGA`, and three decimal places of which the last must be 0).
 *
 * @param amount May be negative, such as a refund.
 * @param currency The ISO 4217 code, in capitals or not.
 * @param mode `half_away_from_zero` by default.
 * @throws BillingError `invalid_argument` for what is no decimal, an unknown currency, or one without a minor unit (`XAU`).
 * @see https://docs.stripe.com/currencies
 */
export declare function round(amount: DecimalInput, currency: string, mode?: RoundingMode): string
/** What a billing period is counted in. */
export type Interval = 'day' | 'week' | 'month' | 'year'
/** The billing periods of a subscription, and an instant in one of them. Instants are milliseconds since 1970, UTC. */
export interface BillingCycle {
  /**
   * From where periods are counted, as Stripe's `billing_cycle_anchor`: the start of one of them. Each begins so many
   * intervals after the anchor, never after the period before it, so that an anchor on the 31st keeps its day: 31 January,
   * 28 February, 31 March.
   */
  anchor: number
  interval: Interval
  /** How many intervals a period has: 1 by default, three years at most. */
  intervalCount?: number
  /**
   * The IANA time zone on whose clock intervals are counted: by default UTC, as Stripe has it. A period that would begin at a
   * time which the clocks skip begins as much later as they skip (02:30 is 03:30 where 02:00 is followed by 03:00), and at
   * one that they show twice at the earlier.
   */
  timeZone?: string
  /** A trial from here to the anchor, which is one period however long it is. */
  trialStart?: number
  /** The instant whose period is asked for, from 1970 on. It may be before the anchor. */
  at: number
}
/** A half-open span of time: it holds its start and not its end. In milliseconds since 1970, UTC. */
export interface Period {
  start: number
  end: number
}
/**
 * The billing period in which an instant lies. Every instant lies in exactly one, and each period begins where the one before
 * it ends.
 *
 * ```ts
 * periodContaining({ anchor: Date.UTC(2026, 0, 31), interval: 'month', at: Date.UTC(2026, 2, 1) })
 * // { start: Date.UTC(2026, 1, 28), end: Date.UTC(2026, 2, 31) }
 * ```
 *
 * A period that began before 1970 begins with 1970. The clocks' changes are known up to the year 2100.
 *
 * @throws BillingError `invalid_argument` where something is missing, unknown or out of range.
 * @see https://docs.stripe.com/billing/subscriptions/billing-cycle
 */
export declare function periodContaining(cycle: BillingCycle): Period
/** A part of a billing period, of which an amount is due. */
export interface ProrationQuestion {
  /** What the whole period costs. */
  amount: DecimalInput
  /** The ISO 4217 code of its currency. */
  currency: string
  /** It lies in the whole period. */
  part: Period
  whole: Period
  /** `'second'` (the default), as Stripe prorates, or `'day'`, as Lago does: then the day of a change belongs to what follows. */
  by?: 'second' | 'day'
  /** The IANA time zone of the days: by default UTC. */
  timeZone?: string
}
/**
 * What a part of a billing period costs: the same part of the amount, an exact ratio, rounded to the currency's minor unit so that
 * the parts of a period cost together what the whole costs, however often it was cut.
 *
 * ```ts
 * const [start, change, end] = [Date.UTC(2026, 3, 1), Date.UTC(2026, 3, 11), Date.UTC(2026, 4, 1)]
 * prorate({ amount: '99', currency: 'USD', part: { start, end: change }, whole: { start, end } }) // '33.00'
 * ```
 *
 * @throws BillingError `invalid_argument` where something is missing or unknown, or the part does not lie in the whole.
 * @see https://docs.stripe.com/billing/subscriptions/prorations
 */
export declare function prorate(question: ProrationQuestion): string
/**
 * Tiers, what they may use, and what things cost: one object, such as JSON can hold. All amounts are in its currency's major
 * unit. Unknown fields are refused.
 */
export interface Catalog {
  /** Names the catalog: the same in all its versions. */
  id: string
  /** Names this version. A customer stays on the version that he signed up to until he is moved. */
  version: string
  /** The ISO 4217 code, in capitals or not. */
  currency: string
  /** What is counted, such as `'api_request'` or `'tokens'`. */
  meters?: readonly string[]
  /** What tiers can have and routes can require, such as `'export'`. */
  features?: readonly string[]
  /** From the lowest to the highest; at least one. */
  tiers: readonly CatalogTier[]
  /** What usage costs. {@link resolvePrice} says which of them applies. */
  prices?: readonly CatalogPrice[]
  /** What requests need. A request without a rule is open to all. */
  routes?: readonly CatalogRoute[]
}
/** A tier: what it costs and what its customers may use. */
export interface CatalogTier {
  id: string
  /** For people. */
  name?: string
  /** The id of the tier's price at Stripe. */
  priceId?: string
  /**
   * The id of a tier whose features, limits, included units and prices this one has too, where it does not say otherwise
   * itself. What the tier costs is never taken over.
   */
  extends?: string
  /** The catalog's. Another one is refused. */
  currency?: string
  /** The length of a billing period: by default a month. */
  interval?: Interval
  /** How many intervals: by default 1. */
  intervalCount?: number
  /** Due for each billing period: by default 0. */
  baseAmount?: DecimalInput
  /** What a billing period costs at least, before credits: by default 0. */
  minimumAmount?: DecimalInput
  /** Each one of the catalog's. */
  features?: readonly string[]
  limits?: readonly CatalogLimit[]
  included?: readonly IncludedUnits[]
}
/** How many units of a meter a customer may use in a window. A tier may limit a meter in several windows. */
export interface CatalogLimit {
  meter: string
  per: LimitWindow
  /** A whole number from 0; `null` for no limit, also where a tier that is extended has one. */
  units: number | string | null
  /** A soft limit is told of and never refuses: by default `false`. It must be below the hard one of the same window. */
  soft?: boolean
}
/**
 * The time over which usage is counted: a calendar month, day or hour in the billing time zone, or so many seconds before each
 * request, 31 days at most.
 */
export type LimitWindow =
  | 'month'
  | 'day'
  | 'hour'
  | {
      slidingSeconds: number
    }
/** Units that the base amount pays for. */
export interface IncludedUnits {
  meter: string
  /** In each billing period: a whole number from 0. */
  units: number | string
  /**
   * What becomes of units above: they are refused (`'block'`), they cost what the catalog's prices say (`'charge'`), or what is
   * said here. A price that is said here is one of the catalog's, for this tier and meter, with the id
   * `<tier>.<meter>.overage`.
   */
  overage: 'block' | 'charge' | Price
}
/** A price, and the usage that it is for. What is left out narrows nothing. */
export interface CatalogPrice {
  id: string
  meter: string
  /** For customers of this tier, and of tiers that extend it. */
  tier?: string
  /** For requests that match: a path or pattern, alone or after a method, as in `EndpointPricing`: `'POST /api/agents/:id'`. */
  route?: string
  /** For usage whose metadata has all of these values: `{ model: 'gpt-4' }`. */
  dimensions?: Readonly<Record<string, string>>
  /** The catalog's. Another one is refused. */
  currency?: string
  price: Price
}
/** What a request needs. Of several routes that match the most specific one counts. */
export interface CatalogRoute {
  /** As in {@link CatalogPrice}. */
  route: string
  /** The lowest tier that may call it. */
  requiredTier?: string
  /** Features, all of which the tier must have. */
  requires?: readonly string[]
}
/**
 * A catalog in its normal form: all that was left out is said, decimals are strings in their shortest form, the currency is in
 * capitals, and a tier lists what it has from those that it extends. It is a catalog itself, and its own normal form.
 */
export interface CheckedCatalog extends Required<Catalog> {
  tiers: readonly CheckedTier[]
}
/** A tier in its normal form. */
export interface CheckedTier extends CatalogTier {
  interval: Interval
  intervalCount: number
  baseAmount: string
  minimumAmount: string
  features: readonly string[]
  limits: readonly CatalogLimit[]
  included: readonly IncludedUnits[]
}
/** Usage whose price is asked for. */
export interface PriceQuestion {
  meter: string
  /** The customer's tier, if he has one. */
  tier?: string
  /** The request's method: by default `GET`. */
  method?: string
  /** The request's full path. Without one only prices without a route apply. */
  path?: string
  /** Metadata of the usage: `{ model: 'gpt-4' }`. */
  dimensions?: Readonly<Record<string, string>>
}
/** Which price applies, and why. */
export interface PriceResolution {
  /** `null` where none does. */
  price: CatalogPrice | null
  /** For people, in English: what the price is for; then for each other price that applies, what is more specific. */
  because: string[]
}
/**
 * Checks a catalog as a whole and returns its normal form: names that do not exist, ids that are there twice, price tiers with
 * gaps or overlaps, tiers that extend each other in a circle, mixed currencies, prices of which neither is more specific.
 *
 * @throws CatalogError with every mistake and its place, and the name that was probably meant where one is misspelt.
 */
export declare function checkCatalog(catalog: Catalog): CheckedCatalog
/**
 * Which of a catalog's prices applies to usage, and why. Of those that apply the most specific one does: by its route, segment
 * by segment (plain text before a parameter before a wildcard), then by whether it names the method, then by how many
 * dimensions it names, then by how near its tier is to the customer's.
 *
 * The catalog is checked anew each time: this is for tests and for explaining, not for every request.
 *
 * @throws CatalogError where the catalog is none, BillingError `invalid_argument` where the question is none.
 */
export declare function resolvePrice(catalog: Catalog, question: PriceQuestion): PriceResolution
/** What time it is, wherever Weighbridge decides something by it. */
export interface Clock {
  /** Milliseconds since 1970-01-01T00:00:00Z, a whole number, as `Date.now()` gives it. */
  now(): number
}
/**
 * A clock that stands still until it is told otherwise, for tests that cross a month's end.
 *
 * ```ts
 * const clock = new ManualClock(Date.UTC(2026, 0, 31, 23, 59, 59, 999))
 * const billing = new Billing({ dir, clock })
 * clock.advance(1) // February
 * ```
 */
export declare class ManualClock implements Clock {
  #private
  /** @param now Milliseconds since the epoch; the machine's time by default. */
  constructor(now?: number)
  /** What it was last told. */
  now(): number
  /** Moves the clock to an instant, forwards or backwards. */
  set(now: number): void
  /** Moves the clock forwards, or backwards by a negative number. */
  advance(milliseconds: number): void
}
type DecisionTuple = [
  code: DecisionCode,
  customerId: string | undefined,
  subscriptionId: string | undefined,
  tier: string | undefined,
  limit: number | undefined,
  used: number,
  periodStart: number,
  periodEnd: number,
  /** The tier, or the features that the customer lacks. */
  required: string | string[] | undefined,
  hold: number | undefined,
  /** Of a refusal for its cost: the spend cap, what is spent of it, and the cost; or the credit's unit, what is left, and the cost. */
  spending: [capOrUnit: string, spentOrLeft: string, cost: string] | undefined,
]
type DecisionCode =
  | 'recorded'
  | 'held'
  | 'duplicate'
  | 'unpriced'
  | 'invalid_key'
  | 'customer_suspended'
  | 'tier_required'
  | 'feature_required'
  | 'usage_limit_exceeded'
  | 'spend_cap_exceeded'
  | 'credit_exhausted'
  | 'unpriced_endpoint'
  | 'idempotency_conflict'
/** Where a customer stands on a meter after a decision. `null`: without a limit. */
export interface Quota {
  /** The limit of the billing period, in units of the meter. */
  limit: number | null
  /** Units that are recorded, admitted or held in the period, as far as this process knows. */
  used: number
  /** What of the limit is not used, never below 0. */
  remaining: number | null
  /** When the period ends and usage starts again from zero, milliseconds since the epoch. */
  resetAt: number
}
declare class Gate {
  #private
  constructor(decide: ReturnType<NativeEngine['gate']>)
  /** `null`: it comes later, under the ticket. What it throws is the native side's. */
  decide(
    ticket: number,
    now: number,
    key: string,
    method: string,
    path: string,
    rules: number,
    userAgent: string | undefined,
    id: string | undefined,
    units: number,
    isHold: boolean,
    digest: string | undefined,
    dimensions: string | undefined,
  ): DecisionTuple | null
}
/**
 * What went wrong, for a program. Codes never change their meaning.
 *
 * | code | what to do |
 * |---|---|
 * | `invalid_argument` | an argument or option has the wrong type, is out of range, or is unknown: the message names it |
 * | `invalid_catalog` | the tiers, the price list or a price contradict themselves: the message names the place |
 * | `metadata_too_large` | an event's metadata is more than 16 KiB of JSON |
 * | `amount_overflow` | a sum of money no longer fits 28 digits |
 * | `unknown_tier` | no tier has this id |
 * | `unknown_key` | no API key has this id |
 * | `unknown_grant` | the customer has no grant with this id |
 * | `key_exists` | the imported secret is an API key already |
 * | `key_revoked` | a revoked or expired key cannot be rotated: create a new one |
 * | `idempotency_conflict` | the id was used before for an event with other contents: use a new id |
 * | `closed` | `close()` was called |
 * | `close_timeout` | `close({ timeoutMs })` ran out of time; closing goes on |
 * | `overloaded` | more than 262,144 changes wait for the store: slow down and try again |
 * | `store_busy` | another process held the database's lock for five seconds: try again |
 * | `store_full` | the disk is full: make room and try again |
 * | `store_read_only` | the database or its directory cannot be written |
 * | `store_newer` | the database was written by a newer Weighbridge: upgrade this one |
 * | `store_foreign` | the file is not a Weighbridge database: choose another `dir` |
 * | `store_corrupt` | the database file is damaged: restore a backup |
 * | `store_rejected` | the database has refused what it was to hold, and would again; everything else was recorded |
 * | `store_timeout` | the store has not answered within `storeDeadlineMs`; what was asked for may still happen |
 * | `store_unavailable` | the store failed in another way: the message says how |
 * | `store_in_use` | processes use the store that is to be moved: close them |
 * | `store_not_empty` | the schema that a store is to be moved to holds another one: choose another schema |
 * | `store_moving` | a store is being moved into this schema: call `weighbridge migrate-store` until it has finished |
 * | `store_moved` | the store was moved to PostgreSQL: open that one with `store` |
 * | `migration_mismatch` | what was moved differs from its source, which stays the store: the message says where and what to do |
 * | `stripe_key_missing` | neither `secretKey` nor `STRIPE_SECRET_KEY` is set |
 * | `stripe_price_not_metered` | the subscription's price takes no usage |
 * | `stripe_tier_not_found` | the subscription has no item with a tier's price, or several: the message tells its prices |
 * | `stripe_catalog_conflict` | what Stripe has under a lookup key differs from the catalog: the message says where |
 * | `webhook_signature_invalid` | the webhook was not signed with its secret, or not lately: the message says what to do |
 * | `webhook_payload_invalid` | the webhook is signed, but no event of Stripe's: send only those |
 * | `webhook_body_consumed` | the webhook's body was parsed before: the message says how to keep its bytes |
 * | `webhook_secret_missing` | set `STRIPE_WEBHOOK_SECRET` or pass `stripe: { webhookSecret }` |
 * | `webhook_too_large` | a webhook has more than 1 MiB: Stripe's have not |
 * | `webhook_in_progress` | another delivery of the event is being worked on: Stripe sends it again |
 * | `export_timeout` | `outbox.flush({ timeoutMs })` ran out of time; sending goes on |
 * | `native_load_failed` | the native addon could not be loaded: the message says what was tried and what to do |
 * | `internal` | a bug in Weighbridge: please report it |
 */
export type BillingErrorCode =
  | 'invalid_argument'
  | 'invalid_catalog'
  | 'metadata_too_large'
  | 'amount_overflow'
  | 'unknown_tier'
  | 'unknown_key'
  | 'unknown_grant'
  | 'key_exists'
  | 'key_revoked'
  | 'idempotency_conflict'
  | 'closed'
  | 'close_timeout'
  | 'overloaded'
  | 'store_busy'
  | 'store_full'
  | 'store_read_only'
  | 'store_newer'
  | 'store_foreign'
  | 'store_corrupt'
  | 'store_rejected'
  | 'store_timeout'
  | 'store_unavailable'
  | 'store_in_use'
  | 'store_not_empty'
  | 'store_moving'
  | 'store_moved'
  | 'migration_mismatch'
  | 'stripe_key_missing'
  | 'stripe_price_not_metered'
  | 'stripe_tier_not_found'
  | 'stripe_catalog_conflict'
  | 'webhook_signature_invalid'
  | 'webhook_payload_invalid'
  | 'webhook_body_consumed'
  | 'webhook_secret_missing'
  | 'webhook_too_large'
  | 'webhook_in_progress'
  | 'export_timeout'
  | 'native_load_failed'
  | 'internal'
/**
 * Every error that Weighbridge throws or rejects with, except {@link StripeError}, which is what Stripe answered.
 * Whatever it refused, it changed nothing. Messages never hold an API key or a Stripe key.
 */
export declare class BillingError extends Error {
  readonly name: string
  /** Stable, for programs; the message is for people. */
  readonly code: BillingErrorCode
  constructor(code: BillingErrorCode, message: string, options?: ErrorOptions)
}
/** A mistake in a catalog. */
export interface CatalogMistake {
  /** Where it is, such as `catalog.tiers[1].limits[0].meter`. */
  place: string
  /** What is wrong there and what to do, for people. It names the place too. */
  message: string
}
/** What is wrong with a catalog: all of it, not only the first mistake. Its code is `invalid_catalog`. */
export declare class CatalogError extends BillingError {
  readonly name: string
  /** At least one. */
  readonly mistakes: readonly CatalogMistake[]
}
/**
 * What Stripe refused, or why it could not be asked. The fields are those of Stripe's own package.
 *
 * @see https://docs.stripe.com/api/errors
 */
export declare class StripeError extends Error {
  readonly name: string
  /** Such as `StripeInvalidRequestError`, `StripeCardError` or `StripeConnectionError`. */
  readonly type: string
  /** Stripe's code, such as `resource_missing`. */
  readonly code: string | undefined
  /** The parameter that it is about. */
  readonly param: string | undefined
  readonly decline_code: string | undefined
  /** The HTTP status; `undefined` where no answer came. */
  readonly statusCode: number | undefined
  /** For Stripe's support. */
  readonly requestId: string | undefined
}
/** An object of Stripe's API, as Stripe sent it. */
export interface StripeObject {
  id: string
  object: string
  [property: string]: any
}
/**
 * Parameters under Stripe's own names, which are sent as they are: nested objects and arrays too, `null` unsets a field, and
 * a `Date` becomes seconds since the epoch (in version 2 of the API an ISO string).
 *
 * @see https://docs.stripe.com/api
 */
export interface StripeParams {
  [parameter: string]: unknown
}
/** What may differ from call to call, under the names of Stripe's own package. */
export interface StripeRequestOptions {
  /**
   * The same key in a later call gives the answer of the first one, for at least 24 hours; by default a random one for each
   * call. At most 255 characters. Without effect where a call changes nothing.
   */
  idempotencyKey?: string
  /** The `Stripe-Version` of this call. */
  apiVersion?: string
  /** The connected account on whose behalf is asked, `acct_…`. */
  stripeAccount?: string
  /** For each attempt, in milliseconds. */
  timeout?: number
  /** How often to try again after the first attempt. */
  maxNetworkRetries?: number
}
/** Where a customer pays or subscribes, on Stripe's page. The common parameters; all others may be given too. */
export interface CheckoutSessionParams extends StripeParams {
  mode: 'payment' | 'setup' | 'subscription'
  /** Stripe's id of the customer. */
  customer?: string
  line_items?: {
    price?: string
    quantity?: number
    [parameter: string]: unknown
  }[]
  success_url?: string
  cancel_url?: string
  /** Comes back in the session: for your own id of the customer. */
  client_reference_id?: string
}
/** Where a customer sees his bills and changes his card or plan. */
export interface PortalSessionParams extends StripeParams {
  /** Stripe's id of the customer. */
  customer: string
  return_url?: string
}
/** Of which customer or subscription, and after which changes. */
export interface InvoicePreviewParams extends StripeParams {
  /** Stripe's id of the customer. */
  customer?: string
  subscription?: string
  subscription_details?: {
    items?: {
      id?: string
      price?: string
      quantity?: number
      deleted?: boolean
      [parameter: string]: unknown
    }[]
    proration_behavior?: 'always_invoice' | 'create_prorations' | 'none'
    [parameter: string]: unknown
  }
}
/** Usage that Stripe took and found wrong afterwards. */
export interface UsageRejection {
  /** It is `dead` now, and tells the customer: mend the cause, then `billing.stripe.outbox.retry(report.id)`. */
  report: UsageReport
  /** Why, in Stripe's word: such as `meter_event_customer_not_found`. */
  code: string
  message: string
}
/** What is counted: the built-in meters, and those of the catalog that the store has. */
export type EventType = 'api_request' | 'agent_execution' | 'data_access' | (string & {})
/** Something that a customer used. */
export interface UsageEvent {
  /** 1 to 255 bytes. A customer never seen comes into being. */
  customerId: string
  /**
   * Makes the event count once, however often it is sent: per customer, across processes, for at least 35 days. Within
   * them the same id with other contents (the timestamp excepted) is refused with `idempotency_conflict`.
   */
  id?: string
  /** Stripe's id, 1 to 255 bytes: by default the customer's. */
  subscriptionId?: string
  /** The meter that it counts on. */
  eventType: EventType
  /** How many units it took: a whole number from 1, which is the default. */
  units?: number
  /** What was called, at most 2,048 bytes: reports can be grouped by it. */
  endpoint?: string
  /** For people, at most 2,048 bytes. */
  agentType?: string
  /** When it happened, whole milliseconds since the epoch: decides the period that it counts in. */
  timestamp: number
  /**
   * In the currency's major unit, from 0 to below 10^12, with at most 12 decimal places. A string is read exactly; a
   * number stands for the decimal that it prints as, without the noise of float arithmetic. With a catalog it may be left
   * out: then it is what the catalog says of the meter, the endpoint and the metadata for this customer now, after what he has
   * used in the billing period; sent again with its `id` it is the same event, whatever it would cost then.
   */
  cost?: number | string
  /** An object that JSON can hold, at most 16 KiB of it. */
  metadata?: Record<string, any>
}
/** A customer's usage and limits in one period. */
export interface CustomerUsage {
  customerId: string
  /**
   * The first instant of the billing period, milliseconds since the epoch: of the calendar month in the configured time
   * zone, or of the month that begins at the customer's `billingCycleAnchor`.
   */
  currentPeriodStart: number
  /** The first instant of the next one: the period is half-open. */
  currentPeriodEnd: number
  usage: {
    apiRequests: number
    agentExecutions: number
    dataAccessQueries: number
    /** The float nearest to the exact sum; `query()` gives the exact decimal. */
    totalCost: number
  }
  /** `Infinity` where there is no limit. */
  limits: {
    apiRequests: number
    agentExecutions: number
  }
  /** The same of the catalog's own meters; left out where it has none. */
  meters?: Record<
    string,
    {
      used: number
      limit: number
    }
  >
}
/** What became of one event of a batch. */
export type Recording =
  | {
      status: 'recorded' | 'duplicate'
    }
  | {
      status: 'rejected'
      code: BillingErrorCode
      message: string
    }
/** What to consume: one unit of the meter by default. */
export interface Consumption {
  customerId: string
  eventType: EventType
  /** A whole number from 1, which is the default. All of them are admitted or none. */
  units?: number
  /** Makes a repeated call count once: see {@link UsageEvent.id}. */
  id?: string
  /** Where the price list or the catalog has a price for it, that is the cost of each unit. May name its method: `POST /api/execute`. */
  endpoint?: string
  /** Instead of the price list's. */
  cost?: number | string
  agentType?: string
  metadata?: Record<string, any>
}
/** The answer to a consumption. */
export interface ConsumptionResult extends Quota {
  /** Whether it was counted, now or before. */
  allowed: boolean
  code:
    'allowed' | 'duplicate' | 'usage_limit_exceeded' | 'spend_cap_exceeded' | 'credit_exhausted' | 'customer_suspended'
}
/** What to report. */
export interface UsageQuery {
  /** Everybody's usage without it. */
  customerId?: string
  /** Milliseconds since the epoch; events from this instant on. */
  from: number
  /** Events before this instant. */
  to: number
  /** One row for each hour, day or month of the configured time zone; one for the whole span without it. */
  window?: 'hour' | 'day' | 'month'
  /** One row for each customer, event type or endpoint. */
  groupBy?: ('customerId' | 'eventType' | 'endpoint')[]
}
/**
 * Records usage and answers questions about it. `new UsageTracker()` works on the default engine in `logs/usage/`, which
 * opens on first use; `billing.usage` works on that Billing's.
 */
export declare class UsageTracker {
  #private
  /**
   * Records one event, whatever the customer's limit says. When the promise resolves the event is durable: it survives a
   * `kill -9` of this process. A duplicate (see {@link UsageEvent.id}) resolves too and is not counted again.
   *
   * @throws BillingError `invalid_argument`, `metadata_too_large`, `idempotency_conflict`, `amount_overflow`, `closed`,
   * `overloaded`, or a `store_*` code; then nothing was recorded, but for `store_timeout`, after which it may still be: send
   * it again with its `id`.
   */
  recordEvent(event: UsageEvent): Promise<void>
  /**
   * Records many events in one transaction and answers for each of them, in order. Bad events are rejected and leave the
   * others alone.
   *
   * @throws BillingError where the whole batch failed (`closed`, `overloaded`, a `store_*` code); then none was recorded.
   */
  recordEvents(events: UsageEvent[]): Promise<Recording[]>
  /**
   * The customer's usage in the current period, or in the one that holds `at` (milliseconds since the epoch). A period
   * without events reads as zero. `null` for a customer never seen.
   */
  getCustomerUsage(
    customerId: string,
    options?: {
      at?: number
    },
  ): Promise<CustomerUsage | null>
  /**
   * Whether one more unit would fit the customer's limit now. `true` for a customer never seen and for event types without
   * a limit. It promises nothing about the next moment: to check and count in one step, use {@link consume}.
   */
  checkLimits(customerId: string, eventType: string): Promise<boolean>
  /**
   * Counts usage if the limit has room for it, in one step: any number of concurrent calls, also from several processes,
   * is admitted exactly up to the limit. A refusal is an answer, not an error.
   *
   * @throws BillingError `invalid_argument`, `metadata_too_large`, `idempotency_conflict`, `closed`, `overloaded`, or a
   * `store_*` code; then nothing was counted, but for `store_timeout`, after which a consumption with an `id` may still be:
   * ask again with the same one.
   */
  consume(consumption: Consumption): Promise<ConsumptionResult>
  /**
   * Sums usage between two instants, by window and group, in the order of time. Sums of money are exact. Windows without
   * usage are left out.
   */
  query(query: UsageQuery): Promise<UsageRow[]>
}
/** An event of Stripe's, as Stripe sent it: of `/v1` with the object in `data.object`, or a thin one of `/v2`. */
export interface StripeEvent {
  id: string
  /** Such as `customer.subscription.updated`. */
  type: string
  [property: string]: any
}
/** What {@link generateTestHeader} signs. */
export interface TestHeaderOptions {
  /** The body, byte for byte as it will be sent. */
  payload: string | Uint8Array
  /** The secret of the webhook. */
  secret: string
  /** When it is to be signed, in seconds since the epoch: by default now, by the machine's clock. */
  timestamp?: number
}
/**
 * A `Stripe-Signature` header for an event of your own, to test your webhook with; the `generateTestHeaderString` of
 * Stripe's package makes the same.
 *
 * ```ts
 * const payload = JSON.stringify({ id: 'evt_1', type: 'customer.subscription.updated', created, data: { object } })
 * const headers = { 'stripe-signature': generateTestHeader({ payload, secret: 'whsec_test' }) }
 * await fetch(`${url}/webhooks/stripe`, { method: 'POST', headers, body: payload })
 * ```
 *
 * @throws BillingError `invalid_argument`.
 */
export declare function generateTestHeader(options: TestHeaderOptions): string
/**
 * The event of a webhook, where the signature is of exactly these bytes: for handlers of your own. It takes what the
 * function of this name in Stripe's package takes, and several secrets, too. A signature from the future is refused
 * like one that is too old.
 *
 * @param payload The body as it was received: parsed and written again it is another one.
 * @param header The `Stripe-Signature` header.
 * @param secret The secret of the webhook, or several, as while it is rolled.
 * @param toleranceSeconds How old a signature may be: 300 by default, as in Stripe's package.
 * @param receivedAt In milliseconds since the epoch: by default now, by the machine's clock.
 * @throws BillingError `webhook_signature_invalid`, `webhook_payload_invalid`, `invalid_argument`.
 */
export declare function constructEvent(
  payload: string | Uint8Array,
  header: string,
  secret: string | string[],
  toleranceSeconds?: number,
  receivedAt?: number,
): StripeEvent
/** What a Billing tells by itself, and with what. */
export interface BillingEvents {
  /**
   * The store has failed, or not answered in time. Requests go on within what is leased to this process, and wait in its
   * journal to be recorded; what needs the store is answered as the middleware's `passOnStoreError` says.
   */
  degraded: [
    failure: {
      code: BillingErrorCode
      message: string
    },
  ]
  /** The store works again. */
  recovered: []
  /**
   * Lines of a dead process's journal could not be read and were set aside in `file`, each with its reason. A torn last line
   * is normal after a crash: nobody was told that it is there. With 0 `lines`, `file` is a whole journal that cannot be read
   * or removed; it stays where it is and is tried again.
   */
  rejected: [
    lines: {
      lines: number
      file: string
    },
  ]
  /**
   * A customer has used up a share of a limit, his spend cap or his credit: see `BillingOptions.thresholds`. Of all processes on
   * the store the one tells whose transaction has counted the event that reaches it, once in a billing period. Events are
   * counted about a second after they were admitted; those of a process that was killed, by the process that takes over its
   * journal. Nobody is told by this event where a process is killed in the instant between counting and telling: it is in
   * `billing.alerts.list()` all the same, and is sent to the receiver of `BillingOptions.alerts`. Of another limit or cap, and
   * of credit to which more was given, shares are told anew.
   */
  threshold: [reached: ThresholdReached]
  /**
   * This process has given an alert up: its receiver answered 410, or did not take it for three days. It is in
   * `billing.alerts.list({ state: 'failed' })`, and `billing.alerts.retry(id)` sends it again.
   */
  alertFailed: [
    failure: {
      id: string
      reason: string
    },
  ]
  /**
   * An event of Stripe's has come to this process for the first time, and what it says has taken effect. Not told again
   * where the process dies meanwhile.
   */
  stripeEvent: [event: StripeEvent]
  /**
   * Stripe has found usage wrong after it took it, and told so by a webhook: `v1.billing.meter.error_report_triggered` or
   * `v1.billing.meter.no_meter_found`. Told once for each report that the event names; it names a sample of them, and
   * `billing.stripe.reconcile()` finds the others. Not told again where the process dies meanwhile: the report is `dead`.
   */
  usageRejected: [rejection: UsageRejection]
}
/** What was reached, and by whom. */
export type ThresholdReached = LimitReached | SpendCapReached | CreditReached
interface Reached {
  customerId: string
  /** The threshold, in per cent. */
  percent: number
  /** The billing period, `[periodStart, periodEnd)` in milliseconds since the epoch. */
  periodStart: number
  periodEnd: number
}
/** A share of a limit in the billing period. */
export interface LimitReached extends Reached {
  /** `soft_limit`: it never refuses. */
  of: 'limit' | 'soft_limit'
  eventType: EventType
  /** In units of the meter. */
  limit: number
  /** With a soft limit. */
  soft?: true
  /** What is used, with the events that have reached it. */
  used: number
}
/** A share of a spend cap. */
export interface SpendCapReached extends Reached {
  of: 'spend_cap'
  /** A decimal, in the currency of the prices. */
  spendCap: string
  /** What all usage of the period has cost, with the events that have reached it: a decimal. */
  spent: string
}
/** A share of the credit that there was for the billing period: what is left of it, and what was used in the period. */
export interface CreditReached extends Reached {
  of: 'credit'
  /** `money`, or the meter whose units it is. */
  unit: 'money' | EventType
  /** What is left and what was used together: a decimal. */
  available: string
  /** In the period: a decimal. */
  used: string
}
declare class Notices {
  readonly emitter: EventEmitter<[never]>
  degraded: boolean
  /** What a listener throws is no failure of the webhook. */
  stripeEvent(event: StripeEvent, rejections: UsageRejection[]): void
  readonly receive: (notice: unknown) => void
}
type Settle = (error: BillingError | undefined, value: unknown) => void
declare class Tickets {
  #private
  /** @param notice is told what nobody has asked for. */
  constructor(notice?: (notice: unknown) => void)
  /** A ticket whose answer goes to `settle`. */
  issue(settle: Settle): number
  /** Nobody waits for this answer any more. */
  withdraw(ticket: number): void
  /** A promise for the answer to an operation that takes a ticket. What the operation throws rejects it. */
  promise<T>(operation: (ticket: number) => void): Promise<T>
  /** No answer comes any more. */
  dispose(): void
  readonly deliver: (written: number[], batch: unknown[]) => void
}
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
interface EngineOptions$1 {
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
declare class Engine {
  #private
  readonly clock: Clock
  readonly actionLog: ActionLog
  /** The database file, or with PostgreSQL the directory of the journals. */
  readonly path: string
  /** The ids of those that were given, as tiers or in a catalog; left out, the store's apply. */
  readonly tierIds: readonly string[] | undefined
  readonly notices: Notices
  constructor(options?: EngineOptions$1)
  now(): number
  /** Runs an operation of the native engine. What is wrong with its arguments rejects the promise. */
  call<T>(operation: (engine: NativeEngine, ticket: number) => void): Promise<T>
  /**
   * Lets what was admitted in this turn of the event loop be written, all at once, at its end: waking the writing thread
   * for each request would cost more than all else.
   */
  handOverSoon(): void
  /** The same, or `store_timeout` where it takes longer than a request waits for the store. */
  inTime<T>(answer: Promise<T>): Promise<T>
  /** Closing waits for this. It never rejects. */
  await(ending: Promise<void>): void
  /** Lets another part of the native side work on this engine. */
  attach(start: (native: NativeEngine) => void): void
  /** Closing begins with this. */
  beforeClosing(step: () => Promise<void>): void
  /** Ends holds without an event; tells whether they had not ended before. */
  void(holds: number[]): boolean
  /** A gate, and the tickets for its answers. */
  gate(
    pricing: PriceInput[] | undefined,
    refuseUnpriced: boolean,
  ): {
    gate: Gate
    tickets: Tickets
  }
  close(timeoutMs?: number): Promise<void>
}
type EngineSource = () => Engine
/**
 * How far an alert is: `kept`, made while there was no receiver (`BillingOptions.alerts`); `pending`, to be sent; `sending`, by
 * one of the processes; `delivered`; `failed`, given up.
 */
export type AlertState = 'kept' | 'pending' | 'sending' | 'delivered' | 'failed'
/** That a share was reached, and how far telling a receiver of it is. */
export interface Alert {
  /** Under which it is sent, in every attempt: the header `webhook-id`. */
  id: string
  state: AlertState
  /** When the event was counted that has reached it, in milliseconds since the epoch. */
  createdAt: number
  /** How often it was sent, or begun to be. */
  attempts: number
  /** In milliseconds since the epoch; of one that is being sent, when somebody else would. `null` where there is none. */
  nextAttemptAt: number | null
  /** Why the last attempt failed. */
  reason: string | null
  reached: ThresholdReached
}
/** Which alerts. */
export interface AlertQuery {
  state?: AlertState
  customerId?: string
  /** The id of the alert before the page: `null` or left out for the first one. */
  startingAfter?: string | null
  /** From 1 to 100: 10 by default. */
  limit?: number
}
/** A page of alerts, the oldest first. */
export interface AlertPage {
  data: Alert[]
  hasMore: boolean
}
/** What was reached in the last 90 days, and how far telling of it is. */
export declare class Alerts {
  #private
  constructor(engine: EngineSource)
  /**
   * A page of alerts, the oldest first.
   *
   * @throws BillingError `invalid_argument`, `closed`, or a `store_*` code.
   */
  list(query?: AlertQuery): Promise<AlertPage>
  /**
   * Sends an alert again that was given up, under the same id, and through as many attempts as at first. Answers whether there
   * is a failed alert with this id.
   *
   * @throws BillingError `invalid_argument`, `closed`, or a `store_*` code.
   */
  retry(id: string): Promise<boolean>
}
/** Where alerts are sent to. */
export interface AlertReceiver {
  /** `https:` or `http:`, without a user name or a password. Alerts are posted to it. */
  url: string
  /**
   * With which each alert is signed: `whsec_` and 24 to 64 random bytes in base64, as Standard Webhooks has it. It is never
   * stored, logged or shown.
   *
   * @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
   */
  secret: string
}
/** What a new key is to be. */
export interface ApiKeyOptions {
  /** A customer never seen comes into being. */
  customerId: string
  /** For people, 1 to 255 bytes. */
  name?: string
  /** From this instant on, milliseconds since the epoch, the key is refused. */
  expiresAt?: number
  /** A secret that clients already use, to be imported: 8 to 255 letters, digits or `-._~+/`. */
  key?: string
}
/** A key that was just made. */
export interface CreatedApiKey extends ApiKey {
  /** The secret. It is shown here once and stored nowhere: only its SHA-256 is. */
  key: string
}
/** What a key is worth. */
export interface KeyVerification {
  valid: boolean
  /**
   * `malformed`: a generated key mistyped, noticed by its checksum without asking the store. `unknown`: no such key.
   */
  code: 'valid' | 'malformed' | 'unknown' | 'revoked' | 'expired'
  /** Whose key it is, unless it is `malformed` or `unknown`. */
  customerId?: string
  /** The id by which it is listed, rotated and revoked. */
  keyId?: string
}
/**
 * The API keys. A generated key is `wb_`, 176 random bits and a checksum; the store holds its SHA-256. What happens to a
 * key holds at once in this Billing. In others on the same store a key that was revoked here is refused within a quarter of
 * a second (a second on PostgreSQL behind a pooler that swallows `NOTIFY`), one that has expired at once.
 */
export declare class ApiKeys {
  #private
  /**
   * Makes a key, or imports one.
   *
   * @throws BillingError `invalid_argument`, or `key_exists` where the imported secret is a key already.
   */
  create(options: ApiKeyOptions): Promise<CreatedApiKey>
  /** Says whether a key would be accepted now. */
  verify(key: string): Promise<KeyVerification>
  /** A customer's keys, the oldest first, revoked and expired ones too. */
  list(customerId: string): Promise<ApiKey[]>
  /**
   * Gives the customer a new key in the place of an old one, with its name and expiry. The old key goes on working for
   * `overlapMs` milliseconds: by default not at all.
   *
   * @throws BillingError `unknown_key`, or `key_revoked` where the old key was revoked or has expired.
   */
  rotate(
    id: string,
    options?: {
      overlapMs?: number
    },
  ): Promise<CreatedApiKey>
  /**
   * Ends a key. To revoke it again changes nothing.
   *
   * @throws BillingError `unknown_key`.
   */
  revoke(id: string): Promise<ApiKey>
}
/** Where at Stripe the usage of one event type goes. */
export interface MeterExport {
  /** The `event_name` of Stripe's meter: by default the event type itself. */
  eventName?: string
  /** The meter's `customer_mapping.event_payload_key`: by default `stripe_customer_id`. */
  customerKey?: string
  /** The meter's `value_settings.event_payload_key`: by default `value`. */
  valueKey?: string
  /** For usage records: the price of the subscription's item, where it has several metered ones. */
  priceId?: string
}
/** How usage is reported to Stripe. Everything has a default. */
export interface UsageExportOptions {
  /** The event types to report, each with its meter's `event_name` or more: by default all, under their own names. */
  meters?: Partial<Record<EventType, string | MeterExport>>
  /**
   * `'meter_events'`: one by one, the default. `'meter_event_stream'`: a hundred in a call, for volume, in live mode only.
   * `'usage_records'`: for prices without a meter, the default on API versions up to `2025-02-24.acacia`, and refused on
   * later ones.
   */
  via?: 'meter_events' | 'meter_event_stream' | 'usage_records'
  /**
   * One report is made for each customer, event type and so many milliseconds: by default 60,000. Whole seconds that
   * divide an hour.
   */
  windowMs?: number
  /**
   * How many calls this process begins in a second, at most: by default 20 with a test key and 200 with a live one. Stripe
   * takes 25 and 1,000, of all processes together.
   */
  callsPerSecond?: number
}
/** What to compare with Stripe. */
export interface ReconcileOptions {
  /** From this instant on, in milliseconds since the epoch: a whole UTC hour, within the past 40 days. */
  from: number
  /** Before this one: a whole UTC hour. */
  to: number
  /** By default all. With one also those who have the same `stripeCustomerId`, as Stripe knows their sum alone. */
  customerId?: string
  /** Mends what differs, as far as that is possible: by default nothing is changed. */
  repair?: boolean
  /** The meters at Stripe: by default those of `stripe.exportUsage`. */
  meters?: Partial<Record<EventType, string | MeterExport>>
}
/** What all books say of a span of time, in units. */
export interface Reconciliation {
  /** In milliseconds since the epoch, as it was asked. */
  from: number
  /** The same, and not included. */
  to: number
  /** Whether there is no difference. After a repair it is asked again. */
  agrees: boolean
  /** The store's books. */
  customers: {
    customerId: string
    eventType: EventType
    events: number
    /** The sum of the hourly sums. */
    rollups: number
    /** What is in reports, by their state: see {@link UsageReport}. */
    reported: Record<string, number>
  }[]
  /** Stripe's. */
  stripe: {
    stripeCustomerId: string
    eventType: EventType
    customerIds: string[]
    /** What was sent, by the timestamps that Stripe was told. */
    sent: number
    /** What Stripe's meter has counted: a decimal. */
    counted: string
  }[]
  differences: UsageDifference[]
}
/** A difference, its cause, and what mends it. docs/stripe-usage.md has the table. */
export interface UsageDifference {
  cause:
    | 'on_its_way'
    | 'late'
    | 'dead'
    | 'uncertain'
    | 'frozen'
    | 'before_export'
    | 'no_stripe_customer'
    | 'not_exported'
    | 'counters_differ'
    | 'events_missing'
    | 'missing_at_stripe'
    | 'counted_at_stripe_only'
  eventType: EventType
  units: number
  customerId: string | null
  stripeCustomerId: string | null
  /** When the hour, or the billing period of a counter, begins in which it lies: milliseconds since the epoch. */
  at: number | null
  /** What mends it; nothing where that takes time, or a decision. */
  repairs: ('settle' | 'resend' | 'cancel' | 'carry_forward')[]
  /** Whether that was done. */
  repaired: boolean
  /** Why it was not, or not wholly. */
  reason: string | null
}
/** One page of reports. */
export interface UsageReportPage {
  data: UsageReport[]
  /** Whether more follow: ask on with `startingAfter` the last id of this page. */
  hasMore: boolean
}
/**
 * Usage on its way to Stripe. What is counted for a customer with a `stripeCustomerId` is written here in the same
 * transaction, and sent in the background by every process whose `stripe.exportUsage` says so.
 */
export declare class StripeOutbox {
  #private
  /**
   * Sends what was counted before, without waiting for the end of its window, and resolves when nothing is left to be sent,
   * by whichever process. What Stripe has refused stays: see {@link StripeOutbox.backlog}.
   *
   * @param options `timeoutMs`: by default 30,000.
   * @throws BillingError `export_timeout` where it takes longer; it goes on in the background. `invalid_argument` where this
   * Billing has no `stripe.exportUsage`. A `store_*` code.
   */
  flush(options?: { timeoutMs?: number }): Promise<void>
  /** How much is where, except what was sent: nothing is `dead`, `uncertain` or `frozen` where all is well. */
  backlog(): Promise<UsageBacklog[]>
  /**
   * The reports in the order of their ids, which is that of their making, a page at a time. Those that were sent are kept for
   * 40 days.
   *
   * @param options `limit`: how many, 1 to 1,000, by default 100. `startingAfter`: the id after which the page begins.
   */
  list(options?: {
    state?: UsageReport['state']
    customerId?: string
    limit?: number
    startingAfter?: string
  }): Promise<UsageReportPage>
  /**
   * Sends again what Stripe has refused, when the cause is mended: as a new report, with another id.
   *
   * @returns Whether a `dead` report has this id.
   */
  retry(id: string): Promise<boolean>
  /**
   * Tells that Stripe has rejected a report after it took it, as its event `v1.billing.meter.error_report_triggered` says:
   * it becomes `dead`, with the reason.
   *
   * @param id The identifier that the event names.
   * @returns The report, and so the customer; `null` where no report has this id.
   */
  reject(id: string, reason: string): Promise<UsageReport | null>
}
/** A tier whose product and price Stripe shall have. */
export interface StripeCatalogTier extends SubscriptionTier {
  /** The lookup key of its price, of letters, digits, _ and -: by default the tier's id and `_monthly`. */
  lookupKey?: string
}
/** A meter that Stripe shall have, perhaps with a price for what it counts. */
export interface StripeCatalogMeter {
  /** What its events are called: `api_requests`. */
  eventName: string
  /** What it, and the product of its price, is called: by default `eventName`. */
  displayName?: string
  /** How a period's events become one number: by default `sum`. */
  aggregation?: 'sum' | 'count' | 'last'
  /** For each unit, in the currency's major unit. Left out, the meter gets no price. */
  unitPrice?: DecimalInput
  /** The lookup key of its price, of letters, digits, _ and -: by default `eventName`. */
  lookupKey?: string
}
/** What Stripe's catalog shall hold. */
export interface SyncCatalogOptions {
  /** By default those of the service. `monthlyPrice` is in the currency's major unit. */
  tiers?: StripeCatalogTier[]
  /** By default none. */
  meters?: StripeCatalogMeter[]
  /** Of ISO 4217: by default `usd`. */
  currency?: string
  /** Only says what would be done. */
  dryRun?: boolean
}
/** One object of Stripe's catalog, and what was (or in a dry run would be) done about it. */
export interface StripeCatalogStep {
  action: 'create' | 'keep'
  object: 'billing.meter' | 'product' | 'price'
  /** Of the price; a product has that of its price. */
  lookupKey?: string
  /** Of the meter, or of the one to which the price belongs. */
  eventName?: string
  /** The tier whose product or price it is. */
  tierId?: string
  /** Stripe's id; missing in a dry run where Stripe has yet to choose it. */
  id?: string
}
/** How to reach Stripe. Everything has a default. */
export interface StripeServiceOptions {
  /** By default `STRIPE_SECRET_KEY`, read on the first call. */
  secretKey?: string
  /** By default `https://api.stripe.com`. */
  baseUrl?: string
  /** Where the stream of meter events goes: by default `https://meter-events.stripe.com`. */
  meterEventsBaseUrl?: string
  /** The `Stripe-Version` of every request: by default the one that this version of Weighbridge was built for. */
  apiVersion?: string
  /** For each attempt, in milliseconds: by default 80,000, as in Stripe's own package. */
  timeoutMs?: number
  /**
   * How often to try again, by Stripe's rule, after the first attempt: by default 2, as in Stripe's own package. After 180
   * seconds a call is not tried again, whatever this says.
   */
  maxNetworkRetries?: number
  /** Whose price ids `createSubscription` takes: by default {@link subscriptionTiers}. */
  tiers?: SubscriptionTier[]
  /** Is told of every operation. */
  actionLogger?: ActionLogger
  /** Replaces the machine's clock. */
  clock?: Clock
}
/** How {@link StripeService.changeTier} changes it. */
export interface ChangeTierOptions extends StripeRequestOptions {
  /**
   * What becomes of the rest of the period: by default, as Stripe's own, `create_prorations` puts the difference on the next
   * invoice; `always_invoice` bills it at once; `none` does not bill it.
   */
  prorationBehavior?: 'always_invoice' | 'create_prorations' | 'none'
}
/**
 * Customers, subscriptions and usage at Stripe, under the names and with the parameters of Stripe's own package. Making one reads nothing and connects to nothing; the first call rejects
 * with `STRIPE_SECRET_KEY environment variable is required` where there is no key. POSTs carry an idempotency key that
 * stays the same over all attempts.
 */
export declare class StripeService {
  #private
  /** @throws BillingError `invalid_argument` for bad options, where a `secretKey` is among them; else the first call rejects. */
  constructor(options?: StripeServiceOptions)
  /**
   * Makes a customer.
   *
   * @param name By default what stands before the `@` of the e-mail address.
   * @returns Stripe's customer object; its metadata hold `created_by: 'UBOS_API'` and an ISO `timestamp`. Under an
   * `idempotencyKey` of yours there is no timestamp, because a call that is made again must say the same.
   * @throws StripeError what Stripe answered. BillingError `invalid_argument`, `stripe_key_missing`.
   */
  createCustomer(email: string, name?: string, options?: StripeRequestOptions): Promise<StripeObject>
  /**
   * Subscribes a customer to a tier. The subscription is incomplete until its first invoice is paid; the client secret for
   * that is in `latest_invoice.payment_intent` on API versions before 2025-03-31, in
   * `latest_invoice.confirmation_secret` on newer ones.
   *
   * @param customerId Stripe's id of the customer.
   * @param tierId The id of a tier: its `priceId` is subscribed to.
   * @throws BillingError `unknown_tier` (`Invalid subscription tier: …`) and sends nothing. StripeError.
   */
  createSubscription(customerId: string, tierId: string, options?: StripeRequestOptions): Promise<StripeObject>
  /**
   * A subscription and the usage of its first item in the current period: meter event summaries where its price has a
   * meter, usage record summaries where the API version has them.
   *
   * @throws StripeError. BillingError `invalid_argument`, `stripe_key_missing`.
   */
  getUsage(
    customerId: string,
    subscriptionId: string,
  ): Promise<{
    subscription: StripeObject
    usage: StripeObject[]
  }>
  /**
   * Adds usage to a subscription's first item. What its price says decides how: a price with a meter gets a meter event;
   * one without gets a usage record, on API versions that have them (up to 2025-02-24.acacia).
   *
   * @param quantity Whole units from 0.
   * @param timestamp Seconds since the epoch: by default now.
   * @param options An `idempotencyKey` keeps usage from being added twice where you try again yourself; it is the meter
   * event's identifier too, of at most 100 characters then.
   * @returns Stripe's meter event or usage record.
   * @throws BillingError `stripe_price_not_metered` where the price takes no usage on this API version: it is never
   * silently dropped. StripeError.
   */
  recordUsage(
    subscriptionId: string,
    quantity: number,
    timestamp?: number,
    options?: {
      idempotencyKey?: string
    },
  ): Promise<StripeObject>
  /**
   * A customer, as Stripe has him; one that was deleted has `deleted: true`.
   *
   * @param params Such as `{ expand: ['subscriptions'] }`.
   * @throws StripeError, `resource_missing` where there is none. BillingError `invalid_argument`, `stripe_key_missing`.
   * @see https://docs.stripe.com/api/customers/retrieve
   */
  retrieveCustomer(customerId: string, params?: StripeParams, options?: StripeRequestOptions): Promise<StripeObject>
  /**
   * A subscription, as Stripe has it.
   *
   * @param params Such as `{ expand: ['latest_invoice'] }`.
   * @throws StripeError, `resource_missing` where there is none. BillingError `invalid_argument`, `stripe_key_missing`.
   * @see https://docs.stripe.com/api/subscriptions/retrieve
   */
  retrieveSubscription(
    subscriptionId: string,
    params?: StripeParams,
    options?: StripeRequestOptions,
  ): Promise<StripeObject>
  /**
   * Ends a subscription at once. To end it with its period, `raw('POST', '/v1/subscriptions/sub_…', { cancel_at_period_end:
   * true })`.
   *
   * @param params Such as `{ invoice_now: true, prorate: true }`.
   * @returns The subscription, `canceled` now.
   * @throws StripeError, `resource_missing` where there is none or it has ended. BillingError `invalid_argument`,
   * `stripe_key_missing`.
   * @see https://docs.stripe.com/api/subscriptions/cancel
   */
  cancelSubscription(
    subscriptionId: string,
    params?: StripeParams,
    options?: StripeRequestOptions,
  ): Promise<StripeObject>
  /**
   * Moves a subscription to another tier: the one item that has a tier's price gets the new tier's, and keeps its id and
   * quantity. Other items, such as metered ones, stay as they are. A subscription that is on that tier already is answered as
   * it is.
   *
   * @returns The subscription.
   * @throws BillingError `unknown_tier`; `stripe_tier_not_found` where no item has a tier's price, or several have.
   * StripeError.
   * @see https://docs.stripe.com/billing/subscriptions/change-price
   */
  changeTier(subscriptionId: string, tierId: string, options?: ChangeTierOptions): Promise<StripeObject>
  /**
   * A page of Stripe's on which somebody pays or subscribes; its `url` is where to send the browser.
   *
   * @throws StripeError. BillingError `invalid_argument`, `stripe_key_missing`.
   * @see https://docs.stripe.com/api/checkout/sessions/create
   */
  createCheckoutSession(params: CheckoutSessionParams, options?: StripeRequestOptions): Promise<StripeObject>
  /**
   * A page of Stripe's on which a customer sees his bills and changes his card; its `url` is where to send the browser.
   *
   * @throws StripeError. BillingError `invalid_argument`, `stripe_key_missing`.
   * @see https://docs.stripe.com/api/customer_portal/sessions/create
   */
  createPortalSession(params: PortalSessionParams, options?: StripeRequestOptions): Promise<StripeObject>
  /**
   * The next invoice of a customer or subscription, or what it would be after a change. Nothing is changed.
   *
   * @throws StripeError. BillingError `invalid_argument`, `stripe_key_missing`.
   * @see https://docs.stripe.com/api/invoices/create_preview
   */
  previewInvoice(params: InvoicePreviewParams, options?: StripeRequestOptions): Promise<StripeObject>
  /**
   * Makes sure that Stripe has a product and a monthly price for each tier, and each meter with its price. What is there,
   * found by the lookup key of its price or by the meter's event name, is kept; what is missing is made; nothing is ever
   * changed or deleted. So it may be run again, after a failure too. It is meant for one process at a time, such as a
   * deployment.
   *
   * Write the `id`s of the tiers' prices into your tiers as `priceId`.
   *
   * @returns What was kept and made, in order; with `dryRun`, what would be.
   * @throws BillingError `stripe_catalog_conflict` where Stripe has a price or meter of that name which differs (prices
   * cannot be changed at Stripe): then nothing was made. `invalid_argument`, `stripe_key_missing`. StripeError.
   */
  syncCatalog(options?: SyncCatalogOptions): Promise<StripeCatalogStep[]>
  /**
   * Any request: `raw('GET', '/v1/prices', { lookup_keys: ['pro'] })`. Parameters become the query of a GET or DELETE, the
   * form of a POST to `/v1/` and the JSON of one to `/v2/`. It has the same retries, keys and errors as all others.
   *
   * @param path From `/v1/` or `/v2/` on.
   * @returns What Stripe answered.
   * @throws StripeError. BillingError `invalid_argument`, `stripe_key_missing`.
   */
  raw(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    params?: StripeParams,
    options?: StripeRequestOptions,
  ): Promise<any>
}
/** How a {@link Billing} reaches Stripe, how it knows Stripe, and what it tells it. */
export interface BillingStripeOptions extends StripeServiceOptions {
  /** Of the webhook (`whsec_…`), or several while it is rolled: by default `STRIPE_WEBHOOK_SECRET`, read with each event. */
  webhookSecret?: string | string[]
  /**
   * Reports usage to Stripe, see {@link UsageExportOptions}: `true` with all its defaults. Which usage is reported belongs to
   * the store: it holds for every process on it, and `false` ends it for all. Left out, what the store has stays, and this
   * process sends nothing.
   */
  exportUsage?: boolean | UsageExportOptions
}
/** Stripe, and the usage on its way there. */
export declare class BillingStripe extends StripeService {
  #private
  /** Usage on its way to Stripe. */
  readonly outbox: StripeOutbox
  /**
   * Compares events, the sums they were counted into, the outbox, and what Stripe's meters have counted. Every difference is
   * told with its cause; with `repair`, mended as far as that is possible: docs/stripe-usage.md has the table.
   *
   * ```ts
   * const hour = 3_600_000
   * const to = Math.floor(Date.now() / hour) * hour
   * const { agrees, differences } = await billing.stripe.reconcile({ from: to - 24 * hour, to })
   * ```
   *
   * @throws BillingError `invalid_argument` for bad options, or where Stripe has no such meter; `stripe_key_missing`; a
   * `store_*` code. StripeError.
   */
  reconcile(options: ReconcileOptions): Promise<Reconciliation>
}
/**
 * An instant, to the millisecond, from 1970 to 9999: milliseconds since the epoch, a Date, or a string of ISO 8601 with `Z` or
 * an offset, such as `'2026-01-31T00:00:00Z'`.
 */
export type InstantInput = number | string | Date
/** Credit given to a customer. It counts in `[effectiveAt, end)`, where the end is the earlier of expiry and voiding. */
export interface Grant {
  /** Yours, 1 to 255 bytes, without control characters. Each grant has another one. */
  id: string
  /** How much, from 0: units of one meter, or money of one currency. All grants of a question are of the same kind. */
  amount: DecimalInput
  /** Lower ones are burnt first: 0 to 255, 50 by default, as Stripe has it. */
  priority?: number
  /** The first instant at which it counts. */
  effectiveAt: InstantInput
  /** The first instant at which it does not count any more. Left out, it does not expire. */
  expiresAt?: InstantInput
  /** When it was made, for the burning order; by default `effectiveAt`. */
  createdAt?: InstantInput
  /** From here on it is worth nothing. What was burnt before stays burnt. */
  voidedAt?: InstantInput
  /** When it is given again, whole. What was left of it has expired then. */
  recurrence?: GrantRecurrence
  /** What a reset leaves of it; without a rollover, all. */
  rollover?: GrantRollover
}
/**
 * With each hour, day or month of a time zone's calendar that begins after `effectiveAt` (UTC by default); or at instants of
 * your own, such as the beginnings of a subscription's periods.
 */
export type GrantRecurrence =
  | {
      every: 'hour' | 'day' | 'month'
      timeZone?: string
    }
  | {
      at: readonly InstantInput[]
    }
/** After a reset there is `min(maximum, max(minimum, left))`, as OpenMeter has it. */
export interface GrantRollover {
  /** At least so much, given anew where less is left; 0 by default. */
  minimum?: DecimalInput
  /** At most so much; without one, all that is left. */
  maximum?: DecimalInput
}
/** So much was used, or refunded, at an instant. */
export interface CreditActivity {
  at: InstantInput
  /** From 0. */
  amount: DecimalInput
}
/** What {@link creditBalance} is asked. No list has to be in any order. */
export interface CreditQuestion {
  grants: readonly Grant[]
  usage?: readonly CreditActivity[]
  /** Each undoes the newest usage before it, and at its own instant. */
  refunds?: readonly CreditActivity[]
  /** When usage begins anew, such as with each billing period: rollovers apply, and what is owed is billed or carried. */
  resets?: readonly InstantInput[]
  /** What a reset does with what is still owed: `bill` (by default) settles it outside of credit, `carry` goes on owing it. */
  overageAtReset?: 'bill' | 'carry'
  /** The balance has the grants of this instant, and the usage before it. Whatever is later is left aside. */
  at: InstantInput
}
/** What is left, and how that came about. All amounts are decimal strings in their shortest form. */
export interface CreditBalance {
  /** What is left of all grants. */
  balance: string
  /** What was used, is owed, and no grant has covered so far. Above 0 only where the balance is 0. */
  overage: string
  /** What was owed at resets and is to be paid by other means than credit. */
  billed: string
  /** Those that have taken effect, in the order in which they are burnt. */
  grants: GrantBalance[]
  /** Without gap from the first grant or usage up to the instant. A new segment begins wherever time changes the grants. */
  history: CreditSegment[]
}
/** What has become of a grant: `granted` is `left` + `burnt` + `expired` + `voided`. */
export interface GrantBalance {
  id: string
  /** With its recurrences, and with what rollover minimums have added. */
  granted: string
  left: string
  /** Less what was refunded. */
  burnt: string
  expired: string
  voided: string
  /** How it ended, if it has. */
  ended: 'expired' | 'voided' | null
}
/** A time in which nothing but usage and refunds has changed the grants. */
export interface CreditSegment {
  /** Milliseconds since the epoch, the first one. */
  start: number
  /** Milliseconds since the epoch, no longer in it. */
  end: number
  /** What happened when it began, in this order. */
  changes: CreditChange[]
  used: string
  refunded: string
  /** From which grants was burnt what, by id, less what came back to them. */
  burnt: Record<string, string>
  /** What was left at the end of the grants that count, by id. */
  left: Record<string, string>
  /** What was owed at the end. */
  overage: string
}
/** What time has done. `forfeited` is what was left until then. */
export type CreditChange =
  | {
      type: 'given'
      grant: string
      amount: string
      forfeited: string
    }
  | {
      type: 'expired' | 'voided'
      grant: string
      forfeited: string
    }
  | {
      type: 'rolled_over'
      grant: string
      before: string
      after: string
    }
  | {
      type: 'reset'
      billed: string
    }
/**
 * What is left of a customer's credit at an instant, now or ever, to the last digit. Nothing is rounded and nothing is
 * remembered: the same question always has the same answer.
 *
 * ```ts
 * creditBalance({
 *   grants: [
 *     { id: 'trial', amount: '10', effectiveAt: '2026-01-01T00:00:00Z', expiresAt: '2026-02-01T00:00:00Z' },
 *     { id: 'bought', amount: '100', effectiveAt: '2026-01-01T00:00:00Z' },
 *   ],
 *   usage: [{ at: '2026-01-20T12:00:00Z', amount: '12.5' }],
 *   at: '2026-01-31T00:00:00Z',
 * }).balance // '97.5'
 * ```
 *
 * Grants burn by priority, then expiry (earliest first, none last), then creation, then id. What no grant covers is owed, and
 * paid by the next grant that has something. Usage at the very instant of a change comes after it.
 *
 * @throws BillingError `invalid_argument` where something is missing, unknown or cannot be read, where two grants have the same
 * id, and where more is refunded than was used. The message names the place: `grants[1].expiresAt`.
 * @see https://openmeter.io/docs/billing/entitlements/grant
 */
export declare function creditBalance(question: CreditQuestion): CreditBalance
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
  recurrence:
    | {
        every: 'hour' | 'day' | 'month'
        timeZone: string
      }
    | {
        at: number[]
      }
    | null
  rollover: {
    minimum: string
    maximum: string | null
  } | null
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
export declare class CustomerCredits {
  #private
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
  grant(customerId: string, grant: CreditGrantInput): Promise<CreditGrant>
  /**
   * Ends a grant: what is left of it is void; what was burnt stays burnt. One that has ended stays as it is.
   *
   * @param options `at`: when it ends, by default now. An instant of the past means now.
   * @throws BillingError `unknown_grant`, `invalid_argument`, `closed`, or a `store_*` code.
   */
  void(
    customerId: string,
    grantId: string,
    options?: {
      at?: InstantInput
    },
  ): Promise<CreditGrant>
  /**
   * Gives back what was used last: first what is owed, then what was burnt, to the grants that it was burnt from.
   *
   * @throws BillingError `invalid_argument` where it is more than was used, `idempotency_conflict`, `closed`, or a `store_*` code.
   */
  refund(customerId: string, refund: CreditRefundInput): Promise<CreditRefund>
  /** All grants of a customer, by id: those that have ended too. */
  list(customerId: string): Promise<CreditGrant[]>
  /**
   * What is left, now or at an instant of the past: then it is what was enforced at that instant, to the last digit.
   *
   * @throws BillingError `invalid_argument`, `closed`, or a `store_*` code.
   */
  balance(customerId: string, question?: CustomerCreditQuestion): Promise<CustomerCredit>
}
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
/** The customers. One comes into being with the first key, event or `upsert`. */
export declare class Customers {
  #private
  /**
   * Makes or changes a customer. A new tier's limits hold from the next check on; what was used in the period stays used.
   *
   * @throws BillingError `invalid_argument`, or `unknown_tier`.
   */
  upsert(update: CustomerUpdate): Promise<Customer>
  /** `null` for a customer never seen. */
  get(id: string): Promise<Customer | null>
  /**
   * The customers in the order of their ids, a page at a time.
   *
   * @param options `limit`: how many, 1 to 1,000, by default 100. `startingAfter`: the id after which the page begins.
   */
  list(options?: { limit?: number; startingAfter?: string }): Promise<CustomerPage>
}
/**
 * Why a request was not let through. `api_key_required`, `invalid_key`: 401. `customer_suspended`, `tier_required`,
 * `feature_required`, `unpriced_endpoint` (with `unpriced: 'refuse'`): 403. `spend_cap_exceeded`, `credit_exhausted`: 402. `usage_limit_exceeded`:
 * 429. `invalid_idempotency_key`: 400.
 * `idempotency_conflict`: 422. `internal`: 500, Weighbridge cannot decide.
 */
export type RefusalCode =
  | 'api_key_required'
  | 'invalid_key'
  | 'customer_suspended'
  | 'tier_required'
  | 'feature_required'
  | 'usage_limit_exceeded'
  | 'spend_cap_exceeded'
  | 'credit_exhausted'
  | 'unpriced_endpoint'
  | 'invalid_idempotency_key'
  | 'idempotency_conflict'
  | 'internal'
/** The answer to a request that is not let through. */
export interface Refusal {
  code: RefusalCode
  /** The HTTP status. */
  status: number
  /**
   * The JSON body: `error`, and where there is more to say `message`, `requiredTier`, `requiredFeatures`, `spendCap`, `spent`, `cost`
   * and `resetAt`, or `unit`, `balance` and `cost`.
   */
  body: Record<string, unknown>
}
/** A request that is not made: of a key, or of a customer with any valid key. */
export interface Question {
  key?: string
  customerId?: string
  method: string
  /** The full path; a query string does not matter. */
  path: string
  /** How many units it would take: 1 by default. */
  units?: number
  /** Values by which its price may differ: see `MiddlewareOptions.dimensions`. */
  dimensions?: Record<string, string>
}
/** What would become of a request, and why. */
export interface Explanation {
  /** Whether it would be let through. */
  allowed: boolean
  /** `recorded`: counted. `unpriced`: let through and not counted. Otherwise why it would be refused. */
  code: 'recorded' | 'unpriced' | RefusalCode
  /** The status of the answer; 200 stands for what the handler says. */
  status: number
  /** The same for people. */
  reason: string
  /** The key, where one was asked about and it exists. */
  key: ApiKey | null
  customer: Customer | null
  /** The price that applies; `null` where there is none. */
  price: {
    /** As the price list or the catalog writes it; `null` for a price of the catalog that is for all usage. */
    endpoint: string | null
    /** A decimal in the currency's major unit, for each unit; `null` where it depends on what else is used in the period. */
    pricePerRequest: string | null
    /** A decimal: what all units would cost now. With tiers, packages or included units, after what is used in the period. */
    cost: string
    requiredTier: string | null
    /** The id of a price of the catalog; left out where a price list says what it costs. */
    id?: string
    /** For people, in English: why this price of the catalog applies, and before which others. */
    because?: string[]
  } | null
  /** What the catalog gives the customer; left out where the store has none. */
  entitlements?: {
    /** The version that applies to him. */
    catalogVersion: string
    features: string[]
    /** Features that the route requires. */
    required: string[]
  }
  /**
   * Where the customer stands on the meter of requests: in the billing period, or in the shorter window into which the request
   * does not fit.
   */
  quota: {
    eventType: string
    /** `period`: the billing period; `day`; `hour`; `60s`: the last 60 seconds. */
    window: string
    /**
     * `[periodStart, periodEnd)` in milliseconds since the epoch; of a window that slides the step of it that holds this
     * instant.
     */
    periodStart: number
    periodEnd: number
    /** `null` without a limit. */
    limit: number | null
    /** What is recorded, all that this process has admitted included. */
    used: number
    /** What of the limit is neither used nor held here; `null` without a limit. */
    remaining: number | null
    /** Units that are held for requests of this process whose end is not known yet (`billOn: 'success'`, `hold()`). */
    heldHere: number
    /** Units that are set aside for this process and neither used nor held. */
    leasedHere: number
    /** Units that are set aside for others; what they do not use comes back when it is asked for. */
    leasedElsewhere: number
  } | null
  /** What the customer may spend in that period and has spent, decimals; `null` without a spend cap. */
  spending: {
    cap: string
    spent: string
  } | null
  /**
   * What is left of the customer's credit, decimals: money, and units of the meter (`null` where none were ever given). `null` where
   * he was never given any and does not pay beforehand.
   */
  credit: {
    money: string
    units: string | null
  } | null
}
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
declare global {
  namespace Express {
    interface Request {
      /** Whose API key the request came with. Set by Weighbridge. */
      customerId?: string
      /** The customer's Stripe subscription, where known. Set by Weighbridge. */
      subscriptionId?: string
      /** The customer's tier, where he has one. Set by Weighbridge. */
      billingTier?: string
      /** Where the customer stands, and how to bill what is known later. Set by Weighbridge. */
      billing?: RequestBilling
    }
  }
}
/** A request of Express 4 or 5, as far as Weighbridge needs it. */
export interface BillingRequest extends IncomingMessage, Express.Request {
  baseUrl: string
  originalUrl: string
  path: string
  /** Of the client, where Express tells. */
  readonly ip?: string | undefined
  readonly protocol: string
  readonly hostname: string
  params: any
  query: any
  body?: any
  customerId?: string
  subscriptionId?: string
  billingTier?: string
  billing?: RequestBilling
  /** A header. */
  get(name: string): string | undefined
  header(name: string): string | undefined
}
/** A response of Express 4 or 5, as far as Weighbridge needs it. */
export interface BillingResponse extends ServerResponse {
  status(code: number): this
  sendStatus(code: number): this
  json(body: unknown): this
  send(body?: unknown): this
  set(name: string, value: string): this
  type(type: string): this
}
/** Goes on to the next handler, or with an error to the error handlers. */
export type Next = (error?: any) => void
/** A handler for `app.use` of Express 4 or 5. */
export type BillingHandler = (req: BillingRequest, res: BillingResponse, next: Next) => void
/** A half-open span of time: it holds its start and not its end. */
export interface PeriodInput {
  start: InstantInput
  end: InstantInput
}
interface Terms {
  /** For which part of the billing period the tier is due, where that is not all of it: to the second, as Stripe prorates. */
  held?: PeriodInput
  /** Money that is taken off, in this order, each as far as something is due: decimals from 0. */
  credits?: readonly DecimalInput[]
  /** How `payable` is rounded: `half_away_from_zero` by default. */
  rounding?: RoundingMode
}
/** Whose invoice, and of when. */
export interface InvoiceQuestion extends Terms {
  customerId: string
  /**
   * The price list by which usage is priced, whatever it cost when it was recorded: by default the version of the store's own
   * catalog that the customer has.
   */
  catalog?: Catalog
  /** An instant in the billing period: by default now. */
  at?: InstantInput
  /** The tier in the catalog: by default the one with the id of the customer's own. */
  tierId?: string
}
/** What {@link previewInvoice} is asked. */
export interface InvoiceTerms extends Terms {
  /** The price list by which usage is priced. */
  catalog: Catalog
  /** The tier in the catalog. */
  tierId: string
  /** In any order: what has one price is added up before it is priced. */
  usage: readonly UsageInput[]
  /** The billing period of which the tier was `held` for a part. */
  period?: PeriodInput
}
/** Some usage: an event, or many that are alike. */
export interface UsageInput {
  meter: string
  /** The request's method: by default `GET`. */
  method?: string
  /** The request's full path. Without one only prices without a route apply. */
  path?: string
  /** Metadata of the usage: `{ model: 'gpt-4' }`. */
  dimensions?: Readonly<Record<string, string>>
  /** From 0, not necessarily whole. */
  quantity: DecimalInput
  /** In how many events it came: 1 by default. */
  events?: DecimalInput
}
/**
 * What a billing period comes to. Amounts are decimal strings in the currency's major unit, exact but for shares of the base
 * amount and the minimum (which are rounded to the currency's minor unit) and `payable`.
 */
export interface Invoice {
  catalog: {
    id: string
    version: string
  }
  tierId: string
  /** In capitals. */
  currency: string
  /** What was used, with the price that applies. */
  usage: UsageByPrice[]
  /** For each meter of the catalog: `used` is `included` + `overage`. */
  meters: MeterTotals[]
  /**
   * The base amount, or that of each tier that was held in the period; for each meter included units and usage by price; by how
   * much its events cost something else when they were counted (`recorded`); what is missing to the minimum; and what credit for
   * units has paid (`credited`, below 0). The last two kinds only where this is what is recorded, by the customer's own
   * catalog and tier.
   */
  lines: InvoiceLine[]
  /**
   * One for each grant of money (`billing.credits`) that usage of the period has burnt, by the customer's own catalog and tier;
   * then one for each of `credits`, without a `grant`.
   */
  credits: {
    grant: string | null
    amount: string
    applied: string
  }[]
  /** The sum of the lines. */
  subtotal: string
  /** The subtotal less what credits take off: never negative, and not rounded. */
  total: string
  /** The total, rounded once to what can be paid, with all decimal places of the minor unit. */
  payable: string
}
/** What was used of a meter at a price. */
export interface UsageByPrice {
  meter: string
  /** The price's id in the catalog; `null` where none applies. */
  price: string | null
  quantity: string
  events: string
}
/** What was used of a meter in all. */
export interface MeterTotals {
  meter: string
  used: string
  /** Units that the tier's base amount pays for. */
  included: string
  /** Those above. */
  overage: string
}
/** A part of an invoice: `amount` is `units` × `unitAmount` + `flatAmount`, to the last digit. */
export interface InvoiceLine extends QuoteLine {
  type: 'base' | 'included' | 'usage' | 'unpriced' | 'recorded' | 'minimum' | 'credited'
  /** `null` of the base amount and the minimum. */
  meter: string | null
  /** The price's id in the catalog, where the line is of `usage`. */
  price: string | null
}
/** A customer's billing period, out of what is recorded. */
export interface InvoicePreview extends Invoice {
  customerId: string
  /** The billing period, in milliseconds since the epoch. */
  period: Period
  /** Usage of meters that the catalog does not name: it costs nothing. */
  unknownMeters: UsageByPrice[]
  /** How many events were recorded in the period. */
  events: number
  /**
   * Events that only their metadata could price, and that the store has dropped (`postgres.retentionMonths`): they are not in
   * the invoice. 0 for all that is kept.
   */
  missingEvents: number
  /**
   * What the events cost when they were counted, each at the price of its time: the sum of their `cost`. By the customer's own
   * catalog and tier it is, to the last digit, the sum of the lines but for `base` and `minimum`.
   */
  recordedCost: string
}
/** Invoices, calculated and not issued. */
export declare class Invoices {
  #private
  /**
   * What a customer's billing period comes to by a catalog, out of what is recorded, as it is now: asked again after the next
   * event, it has that too. Nothing is changed. `null` for a customer never seen.
   *
   * The price of an event is that of its event type as the meter, its endpoint as the path, with its method (`POST /api/execute`)
   * or the text `method` of its metadata as the method (without one `GET`), and the texts in its metadata as dimensions.
   *
   * @throws CatalogError where the catalog is none; BillingError `unknown_tier` where it has neither `tierId` nor the
   * customer's own tier; `invalid_catalog` where none is given and the store has none; `invalid_argument`, `closed`, or a
   * `store_*` code.
   */
  preview(question: InvoiceQuestion): Promise<InvoicePreview | null>
}
/**
 * The same for usage that is given: a pure function, for anyone to check us. The same usage comes to the same invoice, in
 * whatever order and however it is divided.
 *
 * @throws CatalogError where the catalog is none; BillingError `unknown_tier`, `invalid_argument` with the place of the mistake.
 */
export declare function previewInvoice(question: InvoiceTerms): Invoice
interface Logger {
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
/**
 * A catalog, and who would be in which of its tiers. The first of these that says something counts: `customers`, `tiers`, a
 * tier with the id of the one that the customer has, `tierId`. A customer of whom none does is told of as unassigned.
 */
export interface SimulationPlan {
  catalog: Catalog
  /** Tiers of the catalog by customer: `{ 'customer-1': 'pro' }`. */
  customers?: Readonly<Record<string, string>>
  /** Tiers of the catalog by the tier that a customer has now: `{ starter: 'free' }`. */
  tiers?: Readonly<Record<string, string>>
  /** For all others. */
  tierId?: string
}
/** What is to be simulated. */
export interface SimulationQuestion extends SimulationPlan {
  /** The first instant. */
  from: InstantInput
  /** The first instant after it. A billing period that is cut counts with its share of base amount and minimum. */
  to: InstantInput
  /** Another catalog to compare with. Left out, it is compared with what each event cost when it was recorded. */
  baseline?: SimulationPlan
  /** How many customers are listed: by default 1,000. Sums have them all. */
  limit?: number
}
/** What a catalog would have brought. Amounts are decimal strings, exact, in the currency's major unit. */
export interface Simulation {
  /** In capitals. */
  currency: string
  /** Of the customers who have a tier. */
  events: number
  /** Those of them for which the catalog has no price: they cost nothing. */
  unpricedEvents: number
  /** Events that only their metadata could price, and that the store has dropped: they are in no sum. */
  missingEvents: number
  /** What the customers paid; `null` where nothing is known of it. */
  oldTotal: string | null
  newTotal: string
  /** The new total less the old one. */
  difference: string | null
  /** Who would pay less, and how much less. */
  winners: {
    customers: number
    amount: string
  }
  /** Who would pay more, and how much more. */
  losers: {
    customers: number
    amount: string
  }
  customerCount: number
  /** Those for whom most would change first. */
  customers: SimulatedCustomer[]
  unassignedCount: number
  /** Customers who have no tier in the catalog or the baseline, by id. They are in no sum. */
  unassigned: UnassignedCustomer[]
}
/** What a customer would have paid. */
export interface SimulatedCustomer {
  customerId: string
  /** His tier in the catalog. */
  tierId: string
  /** In how many billing periods he used something: only these are counted. */
  periods: number
  events: number
  oldTotal: string | null
  newTotal: string
  /** Negative where he would pay less. */
  difference: string | null
}
/** A customer of whom nobody has said in which tier he would be. */
export interface UnassignedCustomer {
  customerId: string
  /** The tier that he has. */
  tier: string | null
  /** Where he has none. */
  lacking: 'catalog' | 'baseline'
  events: number
  recordedCost: string
}
/** How a Stripe webhook behaves. Everything has a default. */
export interface StripeWebhookOptions {
  /** The webhook's secret, or several while it is rolled, in the place of the `webhookSecret` of the Billing. */
  secret?: string | string[]
  /** How far the time of a signature may be from ours, in seconds, earlier or later: 300 by default. */
  toleranceSeconds?: number
  /**
   * Whether the subscription that an event is about is asked for, so that what counts is how it is now: by default where
   * there is a secret key of Stripe's. Without, what counts is the latest of the events by their own time, and thin events
   * say nothing.
   */
  retrieve?: boolean
  /** Where failures of Weighbridge itself are reported: `console` by default. */
  logger?: Logger
}
/** How a usage handler finds out who asks. */
export interface UsageHandlerOptions {
  /** Where the API key is. By default in `Authorization: Bearer …`. What is no string is no key: 401. */
  keyGenerator?(req: BillingRequest): string | null | undefined | Promise<string | null | undefined>
  /** Where failures of Weighbridge itself are reported: `console` by default. */
  logger?: Logger
}
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
export declare class Billing {
  #private
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
  constructor(options?: BillingOptions)
  /** The database file; with PostgreSQL the directory of the journals. */
  get path(): string
  /**
   * Resolves when the store is open and files of the seed's code have been taken over, with a report of the latter. There
   * is no need to wait for it: everything else waits by itself.
   *
   * @throws BillingError a `store_*` code that says why the store cannot be opened.
   */
  ready(): Promise<TakeoverReport>
  /**
   * An Express handler that lets a request through, counted and priced, or answers it: 401 without a valid API key, 403
   * where the tier is too low, a feature is missing or the customer suspended, 429 over the limit, 500 where Weighbridge cannot decide. A path
   * without a price passes unbilled. What is counted is durable before `next()` runs: see `durability`.
   */
  middleware(options?: MiddlewareOptions): BillingHandler
  /** An Express handler that tells a caller his own usage, limits, and when they reset. Asking costs nothing. */
  usageHandler(options?: UsageHandlerOptions): BillingHandler
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
  stripeWebhook(options?: StripeWebhookOptions): BillingHandler
  /**
   * What is remembered of an event that Stripe has delivered within the last 90 days; `null` of one that was not.
   *
   * @throws BillingError `invalid_argument`, `closed`, or a `store_*` code.
   */
  stripeEvent(id: string): Promise<StripeEventRecord | null>
  /**
   * Listens for what happens by itself: see {@link BillingEvents}.
   *
   * ```ts
   * billing.on('degraded', ({ code, message }) => alert(code, message))
   * billing.on('recovered', () => calm())
   * ```
   */
  on<Name extends keyof BillingEvents>(name: Name, listener: (...event: BillingEvents[Name]) => void): this
  /** Listens no more. */
  off<Name extends keyof BillingEvents>(name: Name, listener: (...event: BillingEvents[Name]) => void): this
  /**
   * What would become of a request and why, without making it: key, tier, price, limit, leases, period. It changes nothing.
   * Prices are those of this Billing; a middleware may have its own.
   *
   * @throws BillingError `invalid_argument`, `closed`, or a `store_*` code.
   */
  explain(question: Question): Promise<Explanation>
  /**
   * What customers would have paid by another catalog for what is recorded: totals, winners and losers. It reads, and changes
   * nothing. Customers have the tiers and billing periods that they have now. See docs/simulation.md.
   *
   * @throws CatalogError where a catalog is none; BillingError `unknown_tier` where it lacks a tier that is named;
   * `invalid_argument`, `closed`, or a `store_*` code.
   */
  simulate(question: SimulationQuestion): Promise<Simulation>
  /**
   * Resolves when every event that was handed over before is in the store. It has no deadline: where PostgreSQL is away and
   * it is not known whether a group was committed, that is awaited, and `close()` ends it.
   *
   * @throws BillingError `closed`, or a `store_*` code: what was admitted is in the journal, and is tried again.
   */
  flush(): Promise<void>
  /**
   * Finishes what was asked for before, refuses everything after (`closed`), and closes the store. A PostgreSQL server that
   * is away is waited for some seconds; then what was admitted stays in the journal, and whoever opens the store next in
   * this `dir` records it, once. Calling it again is harmless.
   *
   * @throws BillingError `close_timeout` after `timeoutMs` milliseconds; closing then goes on in the background.
   */
  close(options?: { timeoutMs?: number }): Promise<void>
}
/** A catalog, and which of its tiers the customers of a log would have: what `customers` says, or else `tierId`. */
export type AccessLogPlan = Omit<SimulationPlan, 'tiers'>
/** Which log, and what it is to be billed by. */
export interface AccessLogQuestion extends AccessLogPlan {
  /** The log: a text, or one that gzip has compressed. It is read from its beginning to its end, a piece at a time. */
  file: string
  /**
   * How its lines are written: `'common'`, `'combined'` (more fields may follow the user agent) or `'json'`. Left out, each line
   * is read by its looks.
   */
  format?: 'common' | 'combined' | 'json'
  /**
   * By what requests are told apart: `'user'`, the authenticated user, without one the address (the default); `'address'`; or a
   * field of JSON lines.
   */
  customer?: 'user' | 'address' | (string & {})
  /**
   * Which requests are billed: all but those that were answered 401, 402, 403 or 429 (`'request'`, the default), or of these
   * only those with a status below 400 (`'success'`).
   */
  billOn?: 'request' | 'success'
  /** The IANA time zone of the calendar months that are billed: by default `UTC`. */
  timeZone?: string
  /** The first instant that counts: by default all do. A month that is cut counts with its share of base amount and minimum. */
  from?: InstantInput
  /** The first instant after it. */
  to?: InstantInput
  /** Another catalog to compare with. Without one nothing is known of what was paid. */
  baseline?: AccessLogPlan
  /** How many customers are listed: by default 1,000. Sums have them all. */
  limit?: number
}
/** What a catalog would have brought for the requests of a log. `missingEvents` is always 0. */
export interface AccessLogSimulation extends Simulation {
  /** All lines that are not empty. */
  lines: number
  /** Requests that are not billed, by what they were answered. */
  unbilledLines: number
  /** Lines that tell of no request. They are passed over. */
  badLines: number
  /** The first five of them. */
  firstBadLines: BadLine[]
}
/** A line that tells of no request. */
export interface BadLine {
  /** Its number, from 1. */
  line: number
  /** Why, for people: `has no date such as …`. */
  reason: string
  /** Its beginning. */
  text: string
}
/**
 * What the requests of an access log would cost by a catalog: each is one unit of the meter `api_request` (JSON lines may say
 * otherwise), at the price of its method and path, for the calendar month in which it was made. See docs/simulation.md for what
 * is read of a line.
 *
 * Needs no Billing and no store. What is held in memory grows with customers and prices, not with the log.
 *
 * @throws CatalogError where a catalog is none; BillingError `unknown_tier` where it lacks a tier that is named;
 * `invalid_argument` for bad options, and where the file cannot be read.
 */
export declare function simulateAccessLog(question: AccessLogQuestion): Promise<AccessLogSimulation>
/**
 * Makes a middleware over the default engine in `logs/usage/`, which opens with the first request. That one has no `flush()`
 * and no `close()`: what it admits is in its journal, is recorded within a second or so, and where the process ends before
 * that, by the next one that opens the directory. Who wants to wait makes a `Billing`.
 */
export declare function createBillingMiddleware(options?: MiddlewareOptions): BillingHandler
/** The middleware over the default engine, ready for `app.use`. */
export declare const billingMiddleware: BillingHandler
/** The tracker over the default engine. */
export declare const usageTracker: UsageTracker
/** Stripe, with the key in `STRIPE_SECRET_KEY`, which is read on the first call. */
export declare const stripeService: StripeService

export {}
