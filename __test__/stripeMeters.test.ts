// The fake of Stripe's meters, held to Stripe's own package.
import Stripe from 'stripe'
import { StripeMeters } from './support/stripeMeters'

const now = Date.UTC(2026, 9, 1)
const seconds = now / 1000
const DAY = 86_400

function officialAt(port: number): Stripe {
  const host = { host: '127.0.0.1', port, protocol: 'http' as const }
  return new Stripe('sk_test_1', { ...host, telemetry: false, maxNetworkRetries: 0 })
}

const meterEvent = (identifier: string, changes: Partial<Stripe.Billing.MeterEventCreateParams> = {}) => ({
  event_name: 'api_requests',
  payload: { stripe_customer_id: 'cus_1', value: '7' },
  identifier,
  timestamp: seconds,
  ...changes,
})

async function refusal(call: Promise<unknown>): Promise<{ statusCode: number; message: string }> {
  return call.then(
    () => Promise.reject(new Error('it was taken')),
    ({ statusCode, message }) => ({ statusCode, message }),
  )
}

test('an identifier is taken once, whatever the idempotency key', async () => {
  const meters = await StripeMeters.start({ now: () => now })
  const { billing } = officialAt(meters.port)
  const taken: Stripe.Billing.MeterEvent = await billing.meterEvents.create(meterEvent('1'), { idempotencyKey: 'a' })
  expect(taken).toMatchObject({ object: 'billing.meter_event', identifier: '1', payload: { value: '7' } })
  const replayed = await billing.meterEvents.create(meterEvent('1'), { idempotencyKey: 'a' })
  expect(replayed.lastResponse.headers['idempotent-replayed']).toBe('true')
  const again = await refusal(billing.meterEvents.create(meterEvent('1'), { idempotencyKey: 'b' }))
  expect(again).toMatchObject({ statusCode: 400, message: expect.stringMatching(/^An event already exists/) })
  const other = await refusal(billing.meterEvents.create(meterEvent('2'), { idempotencyKey: 'a' }))
  expect(other.message).toMatch('idempotent requests')
  expect(meters.totals).toEqual({ 'api_requests cus_1': 7 })
})

test('usage is taken from 35 days ago to five minutes ahead', async () => {
  const { port } = await StripeMeters.start({ now: () => now })
  const create = (id: string, timestamp: number) =>
    officialAt(port).billing.meterEvents.create(meterEvent(id, { timestamp }))
  await create('1', seconds - 35 * DAY)
  await create('2', seconds + 300)
  expect((await refusal(create('3', seconds - 35 * DAY - 1))).message).toMatch('35 calendar days')
  expect((await refusal(create('4', seconds + 301))).message).toMatch('5 minutes')
})

test('one call at a time for each customer and meter', async () => {
  const meters = await StripeMeters.start({ now: () => now, takesMs: 50 })
  const { billing } = officialAt(meters.port)
  const calls = await Promise.allSettled([
    billing.meterEvents.create(meterEvent('1')),
    billing.meterEvents.create(meterEvent('2')),
    billing.meterEvents.create(meterEvent('3', { payload: { stripe_customer_id: 'cus_2', value: '1' } })),
  ])
  expect(calls.filter(({ status }) => status === 'fulfilled')).toHaveLength(2)
  const limited = calls.find(({ status }) => status === 'rejected') as PromiseRejectedResult
  expect(limited.reason).toMatchObject({ statusCode: 429 })
})

test('the stream takes a hundred events in a session, until that expires', async () => {
  const meters = await StripeMeters.start({ now: () => now })
  meters.callsOfASession = 1
  const session = await officialAt(meters.port).v2.billing.meterEventSession.create()
  expect(session).toMatchObject({ object: 'v2.billing.meter_event_session' })
  const events = Array.from({ length: 100 }, (_, number) => ({
    ...meterEvent(`id-${number}`),
    timestamp: new Date(now).toISOString(),
  }))
  const stream = new Stripe(session.authentication_token, {
    host: '127.0.0.1',
    port: meters.port,
    protocol: 'http',
    telemetry: false,
    maxNetworkRetries: 0,
  })
  const send = () =>
    stream.rawRequest('POST', '/v2/billing/meter_event_stream', { events } as never, { apiBase: 'api' } as never)
  await send()
  expect(meters.totals).toEqual({ 'api_requests cus_1': 700 })
  expect((await refusal(send())).statusCode).toBe(400)
})

test('summaries tell what was taken in a span', async () => {
  const meters = await StripeMeters.start({ now: () => now })
  const { billing } = officialAt(meters.port)
  for (const minute of [0, 1, 2]) {
    await billing.meterEvents.create(meterEvent(`${minute}`, { timestamp: seconds - 60 * minute }))
  }
  const query = { customer: 'cus_1', start_time: seconds - 60, end_time: seconds + 60 }
  const { data } = await billing.meters.listEventSummaries('api_requests', query)
  expect(data).toMatchObject([{ object: 'billing.meter_event_summary', aggregated_value: 14 }])
})

test('meters are listed, and what they counted by the hour, the newest first', async () => {
  const meters = await StripeMeters.start({ now: () => now })
  meters.eventNames = new Set(['api_requests'])
  const { billing } = officialAt(meters.port)
  await billing.meterEvents.create(meterEvent('1', { timestamp: seconds - 7_200 }))
  await billing.meterEvents.create(meterEvent('2', { timestamp: seconds - 3_601 }))
  await billing.meterEvents.create(meterEvent('3', { timestamp: seconds - 3_600 }))
  const { data }: { data: Stripe.Billing.Meter[] } = await billing.meters.list()
  expect(data.map(({ event_name, status }) => [event_name, status])).toEqual([['api_requests', 'active']])
  const meter = data[0]?.id ?? ''
  const span = {
    customer: 'cus_1',
    start_time: seconds - 7_200,
    end_time: seconds,
    value_grouping_window: 'hour' as const,
  }
  const summaries: Stripe.Billing.MeterEventSummary[] = []
  // The package's own paging asks for one at a time.
  for await (const summary of billing.meters.listEventSummaries(meter, { ...span, limit: 1 })) summaries.push(summary)
  expect(
    summaries.map(({ start_time, end_time, aggregated_value }) => [start_time, end_time, aggregated_value]),
  ).toEqual([
    [seconds - 3_600, seconds, 7],
    [seconds - 7_200, seconds - 3_600, 14],
  ])
  const other = await billing.meters.listEventSummaries(meter, { ...span, customer: 'cus_2' })
  expect(other.data).toEqual([])
  const unaligned = await refusal(billing.meters.listEventSummaries(meter, { ...span, end_time: seconds + 1 }))
  expect(unaligned.statusCode).toBe(400)
})

test('what was taken is taken back within a day, once', async () => {
  let at = now
  const meters = await StripeMeters.start({ now: () => at })
  const { billing } = officialAt(meters.port)
  await billing.meterEvents.create(meterEvent('1'))
  await billing.meterEvents.create(meterEvent('2'))
  const cancelling = (identifier: string) =>
    billing.meterEventAdjustments.create({ event_name: 'api_requests', type: 'cancel', cancel: { identifier } })
  const adjustment: Stripe.Billing.MeterEventAdjustment = await cancelling('1')
  expect(adjustment).toMatchObject({ type: 'cancel', cancel: { identifier: '1' }, event_name: 'api_requests' })
  expect(meters.totals).toEqual({ 'api_requests cus_1': 7 })
  expect((await refusal(cancelling('1'))).statusCode).toBe(400)
  at += DAY * 1_000 + 1
  expect((await refusal(cancelling('2'))).message).toMatch('24 hours')
})
