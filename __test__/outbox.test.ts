import { setTimeout } from 'node:timers/promises'
import Stripe from 'stripe'
import { Billing, type BillingOptions, ManualClock, type UsageExportOptions } from 'weighbridge'
import { event, openBilling, temporaryDirectory } from './support/billing'
import { HttpFaults } from './support/httpFaults'
import { run } from './support/processes'
import { Recorder } from './support/stripe'
import { StripeMeters } from './support/stripeMeters'

const secretKey = 'sk_test_4eC39HqLyjWDarjtT1zdp7dc'
const MINUTE = 60_000

interface Place {
  baseUrl: string
}

function exporting(place: Place, exportUsage: boolean | UsageExportOptions, options: BillingOptions = {}): Billing {
  const { baseUrl } = place
  const stripe = { secretKey, baseUrl, meterEventsBaseUrl: baseUrl, timeoutMs: 2_000, ...options.stripe, exportUsage }
  return openBilling({ ...options, stripe })
}

const fast = { callsPerSecond: 1_000 }

/** Customers whom Stripe knows under `cus_` and their number. */
async function makeCustomers(billing: Billing, count: number): Promise<void> {
  const numbers = Array.from({ length: count }, (_, number) => number + 1)
  await Promise.all(
    numbers.map((number) =>
      billing.customers.upsert({
        id: `customer-${number}`,
        stripeCustomerId: `cus_${number}`,
        subscriptionId: 'sub_1',
      }),
    ),
  )
}

const usage = (customer: number, units: number, timestamp = Date.now()) =>
  event({ customerId: `customer-${customer}`, units, timestamp, cost: 0 })

test('what is counted arrives at Stripe, once, and as Stripe’s own package would send it', async () => {
  const recorder = await Recorder.start({ '/v1/billing/meter_events': { body: { object: 'billing.meter_event' } } })
  const billing = exporting(recorder, { meters: { api_request: 'api_requests' } })
  await makeCustomers(billing, 1)
  const timestamp = Math.floor(Date.now() / MINUTE) * MINUTE
  await billing.usage.recordEvents([usage(1, 3, timestamp), usage(1, 4, timestamp + 1_999), usage(2, 5)])
  await billing.stripe.outbox.flush()
  const [report] = (await billing.stripe.outbox.list()).data
  expect(report).toMatchObject({ state: 'sent', units: 7, stripeCustomerId: 'cus_1', attempts: 1, reason: null })
  const official = new Stripe(secretKey, { host: '127.0.0.1', port: recorder.port, protocol: 'http', telemetry: false })
  await official.billing.meterEvents.create(
    {
      event_name: 'api_requests',
      payload: { stripe_customer_id: 'cus_1', value: '7' },
      identifier: report?.id ?? '',
      timestamp: timestamp / 1_000 + 1,
    },
    { idempotencyKey: report?.id ?? '' },
  )
  const [ours, theirs, ...others] = recorder.asked
  expect(others).toEqual([])
  expect({ ...ours, headers: {} }).toEqual({ ...theirs, headers: {} })
  expect(ours?.headers['idempotency-key']).toBe(theirs?.headers['idempotency-key'])
  expect(ours?.headers['authorization']).toBe(theirs?.headers['authorization'])
  expect(await billing.stripe.outbox.backlog()).toEqual([])
})

test('what a middleware admits is reported, in the background, by whichever process', async () => {
  const meters = await StripeMeters.start()
  const dir = temporaryDirectory()
  const sending = exporting(meters, { ...fast, windowMs: 1_000 }, { dir })
  await sending.ready()
  const serving = openBilling({ dir })
  await makeCustomers(serving, 1)
  for (let time = 0; time < 20; time += 1) {
    await serving.usage.consume({ customerId: 'customer-1', eventType: 'agent_execution' })
  }
  await serving.flush()
  while ((meters.totals['agent_execution cus_1'] ?? 0) < 20) await setTimeout(20)
  await sending.stripe.outbox.flush()
  expect(meters.totals).toEqual({ 'agent_execution cus_1': 20 })
})

test('what a process leaves behind the next one sends', async () => {
  const dir = temporaryDirectory()
  const away = { baseUrl: 'http://127.0.0.1:9' }
  const first = exporting(away, fast, { dir })
  await makeCustomers(first, 3)
  await first.usage.recordEvents([usage(1, 1), usage(2, 2), usage(3, 3)])
  await expect(first.stripe.outbox.flush({ timeoutMs: 200 })).rejects.toMatchObject({ code: 'export_timeout' })
  const [backlog] = await first.stripe.outbox.backlog()
  expect(backlog).toMatchObject({ state: 'pending', reports: 3, units: 6 })
  await first.close()
  const meters = await StripeMeters.start()
  const second = exporting(meters, fast, { dir })
  await second.stripe.outbox.flush()
  expect(meters.totals).toEqual({ 'api_request cus_1': 1, 'api_request cus_2': 2, 'api_request cus_3': 3 })
})

test('what Stripe refuses is dead, with the reason, and can be sent again when that is mended', async () => {
  const meters = await StripeMeters.start()
  meters.eventNames = new Set(['agent_execution'])
  const billing = exporting(meters, fast)
  await makeCustomers(billing, 1)
  const execution = { ...usage(1, 2), eventType: 'agent_execution' as const }
  await billing.usage.recordEvents([usage(1, 5), execution])
  await billing.stripe.outbox.flush()
  expect(meters.totals).toEqual({ 'agent_execution cus_1': 2 })
  const { data, hasMore } = await billing.stripe.outbox.list({ state: 'dead' })
  expect({ data, hasMore }).toMatchObject({ data: [{ units: 5, reason: /No active meter/ }], hasMore: false })
  expect(await billing.stripe.outbox.backlog()).toMatchObject([{ state: 'dead', reports: 1, units: 5 }])
  meters.eventNames.add('api_request')
  const [dead] = data
  expect(await billing.stripe.outbox.retry(dead?.id ?? '')).toBe(true)
  expect(await billing.stripe.outbox.retry(dead?.id ?? '')).toBe(false)
  await billing.stripe.outbox.flush()
  expect(meters.totals).toEqual({ 'agent_execution cus_1': 2, 'api_request cus_1': 5 })
})

test('a report that Stripe rejects after it took it is found by its id', async () => {
  const meters = await StripeMeters.start()
  const billing = exporting(meters, fast)
  await makeCustomers(billing, 1)
  await billing.usage.recordEvent(usage(1, 5))
  await billing.stripe.outbox.flush()
  const [sent] = (await billing.stripe.outbox.list()).data
  const rejected = await billing.stripe.outbox.reject(sent?.id ?? '', 'meter_event_customer_not_found')
  expect(rejected).toMatchObject({ customerId: 'customer-1', state: 'dead', reason: 'meter_event_customer_not_found' })
  expect(await billing.stripe.outbox.reject('nobody', 'a reason')).toBeNull()
})

test('usage that is too old is frozen, and usage of the future waits', async () => {
  const clock = new ManualClock(Date.UTC(2026, 9, 1))
  const meters = await StripeMeters.start({ now: () => clock.now() })
  const billing = exporting(meters, fast, { clock })
  await makeCustomers(billing, 3)
  const day = 24 * 60 * MINUTE
  const at = (customer: number, distance: number) => usage(customer, customer, clock.now() + distance)
  await billing.usage.recordEvents([at(1, -36 * day), at(2, -34 * day), at(3, 60 * MINUTE)])
  await billing.stripe.outbox.flush()
  expect(meters.totals).toEqual({ 'api_request cus_2': 2 })
  expect(await billing.stripe.outbox.backlog()).toMatchObject([
    { state: 'pending', units: 3 },
    { state: 'frozen', units: 1 },
  ])
  clock.advance(60 * MINUTE)
  await billing.stripe.outbox.flush()
  expect(meters.totals).toEqual({ 'api_request cus_2': 2, 'api_request cus_3': 3 })
})

test('what may have arrived is not sent again when Stripe has forgotten its identifier', async () => {
  const clock = new ManualClock(Date.UTC(2026, 9, 1))
  const meters = await StripeMeters.start({ now: () => clock.now() })
  const faults = await HttpFaults.before(meters.port, 0)
  const billing = exporting(faults, fast, { clock })
  await makeCustomers(billing, 1)
  await billing.usage.recordEvent(usage(1, 5, clock.now()))
  faults.always = 'cut after'
  await expect(billing.stripe.outbox.flush({ timeoutMs: 100 })).rejects.toMatchObject({ code: 'export_timeout' })
  faults.always = undefined
  clock.advance(25 * 60 * MINUTE)
  await billing.stripe.outbox.flush()
  expect(await billing.stripe.outbox.backlog()).toMatchObject([{ state: 'uncertain', reports: 1, units: 5 }])
  expect(meters.totals).toEqual({ 'api_request cus_1': 5 })
})

test('the stream takes a hundred reports in a call, in sessions that are renewed', async () => {
  const meters = await StripeMeters.start()
  meters.callsOfASession = 1
  const billing = exporting(meters, { via: 'meter_event_stream', ...fast })
  await makeCustomers(billing, 250)
  await billing.usage.recordEvents(Array.from({ length: 250 }, (_, index) => usage(index + 1, index + 1)))
  await billing.stripe.outbox.flush()
  expect(Object.keys(meters.totals)).toHaveLength(250)
  expect(meters.totals['api_request cus_250']).toBe(250)
  expect(Math.max(...meters.batches)).toBe(100)
  expect(meters.sessions).toBeGreaterThanOrEqual(3)
  expect(meters.duplicates).toBe(0)
})

test('one report that the stream refuses does not keep the others', async () => {
  const meters = await StripeMeters.start()
  const billing = exporting(meters, { via: 'meter_event_stream', ...fast })
  await makeCustomers(billing, 20)
  meters.eventNames = new Set(['api_request'])
  const refused = { ...usage(7, 1), eventType: 'agent_execution' as const }
  await billing.usage.recordEvents([refused, ...Array.from({ length: 20 }, (_, index) => usage(index + 1, 2))])
  await billing.stripe.outbox.flush()
  expect(Object.values(meters.totals)).toEqual(Array.from({ length: 20 }, () => 2))
  expect(await billing.stripe.outbox.backlog()).toMatchObject([{ state: 'dead', reports: 1, units: 1 }])
})

describe('usage records', () => {
  const legacy = (meters: StripeMeters, exportUsage: boolean | UsageExportOptions = true): Billing =>
    exporting(meters, exportUsage, { stripe: { apiVersion: '2025-02-24.acacia' } })

  test('old API versions get them, each once', async () => {
    const meters = await StripeMeters.start()
    meters.legacy.set('sub_1', [
      { id: 'si_fee', price: 'price_fee', usageType: 'licensed' },
      { id: 'si_usage', price: 'price_usage' },
    ])
    const faults = await HttpFaults.before(meters.port, 0)
    faults.always = 'twice'
    const billing = exporting(faults, true, { stripe: { apiVersion: '2025-02-24.acacia' } })
    await makeCustomers(billing, 1)
    await billing.usage.recordEvent(usage(1, 5))
    await billing.stripe.outbox.flush()
    expect(meters.totals).toEqual({ 'si_usage ': 5 })
  })

  test('an increment carries the id of its report as the key, in every attempt', async () => {
    const item = { id: 'si_1', price: { id: 'price_1', recurring: { usage_type: 'metered', meter: null } } }
    const subscription = { id: 'sub_1', object: 'subscription', customer: 'cus_1', items: { data: [item] } }
    const path = '/v1/subscription_items/si_1/usage_records'
    const recorder = await Recorder.start({
      '/v1/subscriptions/sub_1': { body: subscription },
      [path]: [
        { status: 500, body: { error: { message: 'Something went wrong' } } },
        { status: 429, body: { error: { message: 'Too many requests' } } },
        { body: { object: 'usage_record' } },
      ],
    })
    const billing = exporting(recorder, true, { stripe: { apiVersion: '2025-02-24.acacia' } })
    await makeCustomers(billing, 1)
    await billing.usage.recordEvent(usage(1, 5))
    await billing.stripe.outbox.flush()
    const [report] = (await billing.stripe.outbox.list()).data
    const attempts = recorder.asked.filter((asked) => asked.path === path)
    expect(attempts.map(({ headers }) => headers['idempotency-key'])).toEqual(Array(3).fill(report?.id))
    expect(attempts.map(({ params }) => params['action'])).toEqual(Array(3).fill('increment'))
    expect(report).toMatchObject({ state: 'sent', units: 5, attempts: 3 })
  })

  test('prices with a meter, unclear items and missing subscriptions are refused with the reason', async () => {
    const meters = await StripeMeters.start()
    const reasons: Record<string, unknown> = {}
    for (const [name, items] of Object.entries({
      meter: [{ id: 'si_1', price: 'price_1', meter: 'mtr_1' }],
      several: [
        { id: 'si_1', price: 'price_1' },
        { id: 'si_2', price: 'price_2' },
      ],
      none: undefined,
    })) {
      meters.legacy.clear()
      if (items !== undefined) meters.legacy.set('sub_1', items)
      const billing = legacy(meters)
      await makeCustomers(billing, 1)
      await billing.usage.recordEvent(usage(1, 5))
      await billing.stripe.outbox.flush()
      reasons[name] = (await billing.stripe.outbox.list({ state: 'dead' })).data[0]?.reason
    }
    expect(reasons).toEqual({
      meter: expect.stringContaining('has the meter mtr_1'),
      several: expect.stringContaining('several metered items'),
      none: expect.stringContaining('No such subscription'),
    })
    expect(meters.taken).toEqual([])
  })

  test('a price id tells the item', async () => {
    const meters = await StripeMeters.start()
    meters.legacy.set('sub_1', [
      { id: 'si_1', price: 'price_1' },
      { id: 'si_2', price: 'price_2' },
    ])
    const billing = legacy(meters, { meters: { api_request: { priceId: 'price_2' } } })
    await makeCustomers(billing, 1)
    await billing.usage.recordEvent(usage(1, 5))
    await billing.stripe.outbox.flush()
    expect(meters.totals).toEqual({ 'si_2 ': 5 })
  })
})

test('a wrong key is no fault of the reports: they wait', async () => {
  const error = { error: { type: 'invalid_request_error', message: `Invalid API Key provided: ${secretKey}` } }
  const recorder = await Recorder.start({ '/v1/billing/meter_events': { status: 401, body: error } })
  const billing = exporting(recorder, fast)
  await makeCustomers(billing, 1)
  await billing.usage.recordEvent(usage(1, 5))
  await expect(billing.stripe.outbox.flush({ timeoutMs: 300 })).rejects.toMatchObject({ code: 'export_timeout' })
  const [report] = (await billing.stripe.outbox.list({ state: 'pending' })).data
  expect(report).toMatchObject({ inDoubt: false, reason: expect.stringContaining('Invalid API Key') })
  expect(JSON.stringify(report)).not.toContain(secretKey)
})

test('what is reported belongs to the store, until somebody says otherwise', async () => {
  const meters = await StripeMeters.start()
  const dir = temporaryDirectory()
  const billing = exporting(meters, { ...fast, meters: { api_request: {} } }, { dir })
  await makeCustomers(billing, 1)
  await billing.usage.recordEvents([usage(1, 1), { ...usage(1, 1), eventType: 'data_access' }])
  const ending = openBilling({ dir, stripe: { exportUsage: false } })
  await ending.ready()
  await ending.usage.recordEvent(usage(1, 1))
  await billing.usage.recordEvent(usage(1, 1))
  await billing.stripe.outbox.flush()
  expect(meters.totals).toEqual({ 'api_request cus_1': 1 })
})

test('the sender does not keep the process alive', async () => {
  const meters = await StripeMeters.start()
  const options = { dir: temporaryDirectory(), stripe: { secretKey, baseUrl: meters.baseUrl, exportUsage: true } }
  expect(await run('sender.cjs', options)).toBe('ended')
})

describe('mistakes', () => {
  const open = (stripe: BillingOptions['stripe']) => () => openBilling({ stripe })

  test.each<[string, BillingOptions['stripe'], string]>([
    ['an unknown meter', { exportUsage: { meters: { api_requests: 'x' } as never } }, 'did you mean "api_request"'],
    ['no meters', { exportUsage: { meters: {} } }, 'at least one meter'],
    ['an empty name', { exportUsage: { meters: { api_request: '' } } }, 'eventName'],
    ['an uneven window', { exportUsage: { windowMs: 7_000 } }, 'windowMs'],
    ['a window in parts', { exportUsage: { windowMs: 1_000.5 } }, 'windowMs'],
    ['no rate', { exportUsage: { callsPerSecond: 0 } }, 'callsPerSecond'],
    ['an unknown way', { exportUsage: { via: 'post' as never } }, 'via'],
    ['records that are no more', { exportUsage: { via: 'usage_records' } }, 'has no usage records'],
    ['an unknown option', { exportUsage: { meter: {} } as never }, 'did you mean "meters"'],
    ['no object', { exportUsage: 'yes' as never }, 'takes an object'],
  ])('%s', (_, stripe, message) => {
    expect(open({ secretKey, ...stripe })).toThrow(
      expect.objectContaining({ code: 'invalid_argument', message: expect.stringContaining(message) }),
    )
  })

  test('no key', () => {
    const before = process.env['STRIPE_SECRET_KEY']
    delete process.env['STRIPE_SECRET_KEY']
    try {
      expect(open({ exportUsage: true })).toThrow(expect.objectContaining({ code: 'stripe_key_missing' }))
    } finally {
      if (before !== undefined) process.env['STRIPE_SECRET_KEY'] = before
    }
  })

  test('a flush where nothing is sent', async () => {
    const billing = openBilling()
    await expect(billing.stripe.outbox.flush()).rejects.toMatchObject({ code: 'invalid_argument' })
    expect(await billing.stripe.outbox.backlog()).toEqual([])
    await expect(billing.stripe.outbox.list({ limit: 0 })).rejects.toMatchObject({ code: 'invalid_argument' })
    await expect(billing.stripe.outbox.list({ state: 'lost' as never })).rejects.toMatchObject({
      code: 'invalid_argument',
    })
  })
})
