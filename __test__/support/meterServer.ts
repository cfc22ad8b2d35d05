import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { setTimeout } from 'node:timers/promises'

const DAY = 86_400
const SECOND = 1_000

interface Saved {
  params: string
  answer: Answer
}

interface Answer {
  status: number
  body: unknown
  headers?: Record<string, string>
}

/** An event of a meter, or a usage record, as it was taken. */
export interface Taken {
  /** The event's name, or the subscription item. */
  name: string
  customer: string
  value: number
  /** Seconds since the epoch. */
  timestamp: number
  identifier: string
  /** When it was taken, in milliseconds since the epoch. */
  takenAt: number
}

/** A subscription of the old kind: its items and their prices' meters. */
export interface LegacyItem {
  id: string
  price: string
  meter?: string
  usageType?: 'metered' | 'licensed'
}

/**
 * Stripe's meters and usage records. There is no such fake by others, so this one is ours, made after Stripe's
 * documentation; `stripeMeters.test.ts` holds it to Stripe's own package, whose client drives it.
 *
 * It takes each identifier once, and usage from 35 days ago to five minutes ahead; one call at a time for each customer and
 * meter; it repeats what it answered to an idempotency key; sessions of the stream expire.
 */
export class MeterServer {
  readonly taken: Taken[] = []
  /** The identifiers that came again. */
  duplicates = 0
  calls = 0
  /** Calls of the stream, by how many events they had. */
  readonly batches: number[] = []
  sessions = 0
  /** What a session is good for. */
  callsOfASession = Infinity
  /** Is told of everything that is taken. */
  onTaken: () => void = () => {}
  /** Meters that exist; by default all do. */
  eventNames: Set<string> | undefined
  readonly legacy = new Map<string, LegacyItem[]>()
  readonly #identifiers = new Set<string>()
  readonly #saved = new Map<string, Saved>()
  readonly #busy = new Set<string>()
  readonly #left = new Map<string, number>()
  /** To be served by whoever has made it. */
  readonly listener: RequestListener = (request, response) => void this.#serve(request, response)

  /** @param takesMs How long a call takes, so that two can be under way at once. */
  constructor(
    readonly now: () => number,
    readonly takesMs: number,
  ) {}

  /** What was taken, summed by meter and customer. */
  get totals(): Record<string, number> {
    const totals: Record<string, number> = {}
    for (const { name, customer, value } of this.taken) {
      totals[`${name} ${customer}`] = (totals[`${name} ${customer}`] ?? 0) + value
    }
    return totals
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.setEncoding('utf8')
    let text = ''
    for await (const chunk of request) text += chunk
    this.calls += 1
    const { status, body, headers } = await this.#once(request, text)
    response.writeHead(status, { 'content-type': 'application/json', 'request-id': `req_${this.calls}`, ...headers })
    response.end(JSON.stringify(body))
  }

  /** Under one idempotency key the same answer, where one was worked out. */
  async #once(request: IncomingMessage, text: string): Promise<Answer> {
    const key = request.headers['idempotency-key'] as string | undefined
    const params = `${request.url} ${text}`
    const saved = key === undefined ? undefined : this.#saved.get(key)
    if (saved !== undefined) {
      if (saved.params === params) return { ...saved.answer, headers: { 'idempotent-replayed': 'true' } }
      return refusal(400, 'idempotency_error', 'Keys for idempotent requests can only be used with the same parameters')
    }
    const answer = await this.#answer(request, text)
    if (key !== undefined && answer.status < 300) this.#saved.set(key, { params, answer })
    return answer
  }

  async #answer(request: IncomingMessage, text: string): Promise<Answer> {
    const url = new URL(request.url ?? '/', 'http://localhost')
    const path = `${request.method} ${url.pathname}`
    if (path === 'POST /v1/billing/meter_events') return this.#meterEvent(new URLSearchParams(text))
    if (path === 'POST /v1/billing/meter_event_adjustments') return this.#adjustment(new URLSearchParams(text))
    if (path === 'GET /v1/billing/meters') return this.#meters()
    if (path === 'POST /v2/billing/meter_event_session') return this.#session()
    if (path === 'POST /v2/billing/meter_event_stream') return this.#stream(request, JSON.parse(text))
    const summaries = /^GET \/v1\/billing\/meters\/(\w+)\/event_summaries$/.exec(path)?.[1]
    if (summaries !== undefined) return this.#summaries(summaries, url.searchParams)
    const item = /^POST \/v1\/subscription_items\/(\w+)\/usage_records$/.exec(path)?.[1]
    if (item !== undefined) return this.#usageRecord(item, new URLSearchParams(text))
    const subscription = /^GET \/v1\/subscriptions\/(\w+)$/.exec(path)?.[1]
    if (subscription !== undefined) return this.#subscription(subscription)
    return refusal(404, 'invalid_request_error', `Unrecognized request URL (${path})`)
  }

  async #meterEvent(form: URLSearchParams): Promise<Answer> {
    const event = {
      event_name: form.get('event_name') ?? '',
      identifier: form.get('identifier') ?? `made-up-${this.calls}`,
      customer: form.get('payload[stripe_customer_id]') ?? '',
      value: form.get('payload[value]') ?? '',
      timestamp: Number(form.get('timestamp') ?? this.now() / SECOND),
    }
    const account = `${event.event_name} ${event.customer}`
    if (this.#busy.has(account)) {
      const answer = refusal(429, 'invalid_request_error', 'Another call for this customer and meter is under way')
      return { ...answer, headers: { 'stripe-rate-limited-reason': 'resource-specific' } }
    }
    this.#busy.add(account)
    await setTimeout(this.takesMs)
    this.#busy.delete(account)
    const wrong = this.#wrong(event)
    if (wrong !== undefined) return refusal(400, 'invalid_request_error', wrong)
    if (this.#identifiers.has(event.identifier)) {
      this.duplicates += 1
      return refusal(
        400,
        'invalid_request_error',
        `An event already exists with identifier ${event.identifier}. Please use a different identifier`,
      )
    }
    this.#take(event)
    const { event_name, identifier, timestamp } = event
    const payload = { stripe_customer_id: event.customer, value: event.value }
    const created = Math.floor(this.now() / SECOND)
    const body = { object: 'billing.meter_event', created, event_name, identifier, livemode: false, payload, timestamp }
    return { status: 200, body }
  }

  #wrong(event: { event_name: string; value: string; customer: string; timestamp: number }): string | undefined {
    const age = this.now() / SECOND - event.timestamp
    if (age > 35 * DAY) return 'The timestamp must be within the past 35 calendar days'
    if (age < -300) return 'The timestamp must be at most 5 minutes in the future'
    if (!/^\d{1,15}(\.\d{1,12})?$/.test(event.value)) return `Invalid value ${event.value}`
    if (event.customer === '') return 'The payload must name the customer'
    const exists = this.eventNames === undefined || this.eventNames.has(event.event_name)
    return exists ? undefined : `No active meter found matching event name ${event.event_name}`
  }

  #take(event: { event_name: string; identifier: string; customer: string; value: string; timestamp: number }): void {
    this.#identifiers.add(event.identifier)
    const { event_name: name, customer, timestamp, identifier } = event
    this.taken.push({ name, customer, value: Number(event.value), timestamp, identifier, takenAt: this.now() })
    this.onTaken()
  }

  #session(): Answer {
    this.sessions += 1
    const authentication_token = `token_${this.sessions}`
    this.#left.set(authentication_token, this.callsOfASession)
    const body = {
      object: 'v2.billing.meter_event_session',
      id: `mes_${this.sessions}`,
      authentication_token,
      created: new Date(this.now()).toISOString(),
      expires_at: new Date(this.now() + 900 * SECOND).toISOString(),
      livemode: false,
    }
    return { status: 200, body }
  }

  /** Taken or refused as one; an identifier that comes again is passed over without a word. */
  #stream(
    request: IncomingMessage,
    { events }: { events: { event_name: string; identifier: string; payload: any; timestamp: string }[] },
  ): Answer {
    const token = (request.headers.authorization ?? '').replace('Bearer ', '')
    const left = this.#left.get(token) ?? 0
    if (left === 0) {
      return {
        status: 400,
        body: { error: { type: 'temporary_session_expired', code: 'temporary_session_expired', message: 'Expired' } },
      }
    }
    this.#left.set(token, left - 1)
    if (events.length === 0 || events.length > 100) return refusal(400, 'invalid_fields', 'Too many events')
    const read = events.map(({ event_name, identifier, payload, timestamp }) => ({
      event_name,
      identifier,
      customer: payload.stripe_customer_id,
      value: payload.value,
      timestamp: Date.parse(timestamp) / SECOND,
    }))
    for (const event of read) {
      const wrong = this.#wrong(event)
      if (wrong !== undefined) return refusal(400, 'invalid_fields', wrong)
    }
    this.batches.push(events.length)
    for (const event of read) {
      if (this.#identifiers.has(event.identifier)) this.duplicates += 1
      else this.#take(event)
    }
    return { status: 200, body: {} }
  }

  #summaries(name: string, query: URLSearchParams): Answer {
    const [start, end] = [Number(query.get('start_time')), Number(query.get('end_time'))]
    const found = this.taken.filter(
      (event) =>
        event.name === name &&
        event.customer === query.get('customer') &&
        event.timestamp >= start &&
        event.timestamp < end,
    )
    const grouping = query.get('value_grouping_window')
    const unit = { hour: 3_600, day: DAY }[grouping ?? ''] ?? 60
    if (start % unit !== 0 || end % unit !== 0) {
      return refusal(400, 'invalid_request_error', 'start_time and end_time must be aligned with the window')
    }
    const window = grouping === null ? end - start : unit
    const sums = new Map<number, number>()
    for (const { timestamp, value } of found) {
      const from = start + Math.floor((timestamp - start) / window) * window
      sums.set(from, (sums.get(from) ?? 0) + value)
    }
    // The newest first, as Stripe lists them.
    const all = [...sums].sort(([a], [b]) => b - a)
    const after = all.findIndex(([from]) => query.get('starting_after') === `mtrusg_${name}_${from}`) + 1
    const page = all.slice(after, after + Number(query.get('limit') ?? 10))
    const data = page.map(([from, aggregated_value]) => ({
      id: `mtrusg_${name}_${from}`,
      object: 'billing.meter_event_summary',
      aggregated_value,
      start_time: from,
      end_time: from + window,
      livemode: false,
      meter: name,
    }))
    const has_more = after + page.length < all.length
    return { status: 200, body: { object: 'list', url: '/v1/billing/meters', has_more, data } }
  }

  /** Their ids are their names. */
  #meters(): Answer {
    const names = this.eventNames ?? new Set(['api_request', 'agent_execution', 'data_access'])
    const data = [...names].map((event_name) => ({
      id: event_name,
      object: 'billing.meter',
      event_name,
      display_name: event_name,
      status: 'active',
      default_aggregation: { formula: 'sum' },
      customer_mapping: { event_payload_key: 'stripe_customer_id', type: 'by_id' },
      value_settings: { event_payload_key: 'value' },
      event_time_window: null,
      livemode: false,
      created: 0,
      updated: 0,
      status_transitions: { deactivated_at: null },
    }))
    return { status: 200, body: { object: 'list', url: '/v1/billing/meters', has_more: false, data } }
  }

  /** Within a day an event can be taken back, once. */
  #adjustment(form: URLSearchParams): Answer {
    const identifier = form.get('cancel[identifier]')
    const place = this.taken.findIndex((event) => event.identifier === identifier)
    const taken = this.taken[place]
    if (taken === undefined || taken.name !== form.get('event_name') || form.get('type') !== 'cancel') {
      return refusal(400, 'invalid_request_error', `No meter event with identifier ${identifier}`)
    }
    if (this.now() - taken.takenAt > DAY * SECOND) {
      return refusal(400, 'invalid_request_error', 'The meter event was received more than 24 hours ago')
    }
    this.taken.splice(place, 1)
    const cancel = { identifier }
    const body = { object: 'billing.meter_event_adjustment', cancel, event_name: taken.name, livemode: false }
    return { status: 200, body: { ...body, status: 'pending', type: 'cancel' } }
  }

  #usageRecord(item: string, form: URLSearchParams): Answer {
    if (form.get('action') !== 'increment') return refusal(400, 'invalid_request_error', 'Not an increment')
    const [value, timestamp] = [Number(form.get('quantity')), Number(form.get('timestamp'))]
    this.taken.push({ name: item, customer: '', value, timestamp, identifier: '', takenAt: this.now() })
    const id = `mbur_${this.taken.length}`
    const body = { id, object: 'usage_record', livemode: false, quantity: value, subscription_item: item, timestamp }
    return { status: 200, body }
  }

  #subscription(id: string): Answer {
    const items = this.legacy.get(id)
    if (items === undefined) return refusal(404, 'invalid_request_error', `No such subscription: '${id}'`)
    const data = items.map(({ id: item, price, meter = null, usageType = 'metered' }) => ({
      id: item,
      object: 'subscription_item',
      price: { id: price, object: 'price', recurring: { interval: 'month', usage_type: usageType, meter } },
    }))
    const body = { id, object: 'subscription', customer: 'cus_1', items: { object: 'list', data } }
    return { status: 200, body }
  }
}

function refusal(status: number, type: string, message: string): Answer {
  return { status, body: { error: { type, message } } }
}
