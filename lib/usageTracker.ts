import type { EventInput, RecordingOutput, UsageOutput, UsageRow } from './binding.js'
import { type DecisionTuple, type Quota, quotaOf } from './decision.js'
import { defaultEngine, type EngineSource } from './defaultEngine.js'
import { BillingError, type BillingErrorCode, invalidArgument, readable } from './errors.js'
import { checkNumber, checkOptions, checkString } from './options.js'

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
  meters?: Record<string, { used: number; limit: number }>
}

/** What became of one event of a batch. */
export type Recording =
  { status: 'recorded' | 'duplicate' } | { status: 'rejected'; code: BillingErrorCode; message: string }

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

const CONSUMPTION = ['customerId', 'eventType', 'units', 'id', 'endpoint', 'cost', 'agentType', 'metadata']
const BUILT_IN = ['api_request', 'agent_execution', 'data_access']
const QUERY = ['customerId', 'from', 'to', 'window', 'groupBy']

/**
 * Records usage and answers questions about it. `new UsageTracker()` works on the default engine in `logs/usage/`, which
 * opens on first use; `billing.usage` works on that Billing's.
 */
export class UsageTracker {
  readonly #engine: EngineSource

  /** @internal */
  constructor(engine: EngineSource = defaultEngine) {
    this.#engine = engine
  }

  /**
   * Records one event, whatever the customer's limit says. When the promise resolves the event is durable: it survives a
   * `kill -9` of this process. A duplicate (see {@link UsageEvent.id}) resolves too and is not counted again.
   *
   * @throws BillingError `invalid_argument`, `metadata_too_large`, `idempotency_conflict`, `amount_overflow`, `closed`,
   * `overloaded`, or a `store_*` code; then nothing was recorded, but for `store_timeout`, after which it may still be: send
   * it again with its `id`.
   */
  async recordEvent(event: UsageEvent): Promise<void> {
    const { actionLog } = this.#engine()
    const complete = actionLog.start(
      'UsageTracker',
      'Record usage event',
      `Recording ${event?.eventType} for customer ${event?.customerId}`,
    )
    await actionLog.report(
      complete,
      async () => {
        const [recording] = await this.#record([event])
        if (recording?.status === 'rejected') {
          throw new BillingError(recording.code as BillingErrorCode, recording.message ?? '')
        }
      },
      () => `Usage event recorded: ${event.eventType}`,
      'Failed to record usage',
    )
  }

  /**
   * Records many events in one transaction and answers for each of them, in order. Bad events are rejected and leave the
   * others alone.
   *
   * @throws BillingError where the whole batch failed (`closed`, `overloaded`, a `store_*` code); then none was recorded.
   */
  async recordEvents(events: UsageEvent[]): Promise<Recording[]> {
    if (!Array.isArray(events)) throw invalidArgument('`events` must be an array')
    const { actionLog } = this.#engine()
    const complete = actionLog.start('UsageTracker', 'Record usage events', `Recording ${events.length} events`)
    return actionLog.report(
      complete,
      async () => (await this.#record(events)) as Recording[],
      (recordings) => `Usage events recorded: ${recordings.filter(({ status }) => status === 'recorded').length}`,
      'Failed to record usage',
    )
  }

  async #record(events: UsageEvent[]): Promise<RecordingOutput[]> {
    const engine = this.#engine()
    const inputs = events.map(eventInput)
    const recordings = await engine.call<RecordingOutput[]>((native, ticket) =>
      native.record(ticket, engine.now(), inputs as EventInput[]),
    )
    return recordings.map(({ status, code, message }, index) => {
      if (status !== 'rejected') return { status }
      const error = inputs[index]
      if (error instanceof BillingError) return { status, code: error.code, message: error.message }
      return { status, code, message: readable(message ?? '') }
    })
  }

  /**
   * The customer's usage in the current period, or in the one that holds `at` (milliseconds since the epoch). A period
   * without events reads as zero. `null` for a customer never seen.
   */
  async getCustomerUsage(customerId: string, options: { at?: number } = {}): Promise<CustomerUsage | null> {
    checkString('customerId', customerId)
    checkOptions('getCustomerUsage', options, ['at'])
    checkNumber('at', options.at)
    const engine = this.#engine()
    const usage = await engine.call<UsageOutput | null>((native, ticket) =>
      native.customerUsage(ticket, customerId, options.at ?? engine.now()),
    )
    return usage === null ? null : customerUsage(usage)
  }

  /**
   * Whether one more unit would fit the customer's limit now. `true` for a customer never seen and for event types without
   * a limit. It promises nothing about the next moment: to check and count in one step, use {@link consume}.
   */
  async checkLimits(customerId: string, eventType: string): Promise<boolean> {
    checkString('customerId', customerId)
    checkString('eventType', eventType)
    const engine = this.#engine()
    return engine.call((native, ticket) => native.checkLimits(ticket, engine.now(), customerId, eventType))
  }

  /**
   * Counts usage if the limit has room for it, in one step: any number of concurrent calls, also from several processes,
   * is admitted exactly up to the limit. A refusal is an answer, not an error.
   *
   * @throws BillingError `invalid_argument`, `metadata_too_large`, `idempotency_conflict`, `closed`, `overloaded`, or a
   * `store_*` code; then nothing was counted, but for `store_timeout`, after which a consumption with an `id` may still be:
   * ask again with the same one.
   */
  async consume(consumption: Consumption): Promise<ConsumptionResult> {
    checkOptions('consume', consumption, CONSUMPTION)
    const engine = this.#engine()
    const { metadata, ...rest } = consumption
    const complete = engine.actionLog.start(
      'UsageTracker',
      'Consume usage',
      `Consuming ${rest.eventType} of customer ${rest.customerId}`,
    )
    return engine.actionLog.report(
      complete,
      async () => {
        const decision = await engine.call<DecisionTuple>((native, ticket) =>
          native.consume(ticket, engine.now(), { ...rest, metadata: metadataText(metadata) }),
        )
        return consumptionResult(decision)
      },
      ({ code }) => `Usage consumed: ${code}`,
      'Failed to consume usage',
    )
  }

  /**
   * Sums usage between two instants, by window and group, in the order of time. Sums of money are exact. Windows without
   * usage are left out.
   */
  async query(query: UsageQuery): Promise<UsageRow[]> {
    checkOptions('query', query, QUERY)
    return this.#engine().call((native, ticket) => native.query(ticket, query))
  }
}

function consumptionResult(decision: DecisionTuple): ConsumptionResult {
  const allowed = decision[0] === 'recorded' || decision[0] === 'duplicate'
  const code = decision[0] === 'recorded' ? 'allowed' : (decision[0] as ConsumptionResult['code'])
  return { allowed, code, ...quotaOf(decision) }
}

/** An event whose metadata has no JSON stays an error in its place, so that only it is rejected. */
function eventInput(event: UsageEvent): EventInput | BillingError {
  try {
    if (typeof event !== 'object' || event === null) throw invalidArgument('an event must be an object')
    return { ...event, metadata: metadataText(event.metadata) }
  } catch (error) {
    return error as BillingError
  }
}

export function checkMetadata(metadata: unknown): void {
  if (metadata === undefined || metadata === null) return
  if (typeof metadata !== 'object' || Array.isArray(metadata)) throw invalidArgument('`metadata` must be an object')
}

export function metadataText(metadata: Record<string, any> | null | undefined): string | undefined {
  checkMetadata(metadata)
  if (metadata === undefined || metadata === null) return undefined
  let text: string | undefined
  try {
    text = JSON.stringify(metadata)
  } catch (error) {
    throw invalidArgument(`\`metadata\` must be an object that JSON can hold: ${(error as Error).message}`)
  }
  if (text === undefined) throw invalidArgument('`metadata` must be an object that JSON can hold')
  return text
}

export function customerUsage({
  customer,
  periodStart,
  periodEnd,
  meters,
  totalCostNumber,
}: UsageOutput): CustomerUsage {
  const meter = (eventType: EventType) => meters.find((meter) => meter.eventType === eventType)
  const used = (eventType: EventType) => meter(eventType)?.used ?? 0
  const limit = (eventType: EventType) => meter(eventType)?.limit ?? Infinity
  const own = meters
    .filter(({ eventType }) => !BUILT_IN.includes(eventType))
    .map(({ eventType, used, limit }) => [eventType, { used, limit: limit ?? Infinity }])
  return {
    customerId: customer.id,
    currentPeriodStart: periodStart,
    currentPeriodEnd: periodEnd,
    usage: {
      apiRequests: used('api_request'),
      agentExecutions: used('agent_execution'),
      dataAccessQueries: used('data_access'),
      totalCost: totalCostNumber,
    },
    limits: { apiRequests: limit('api_request'), agentExecutions: limit('agent_execution') },
    ...(own.length > 0 && { meters: Object.fromEntries(own) }),
  }
}
