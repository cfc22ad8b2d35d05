import type { AddressInfo } from 'node:net'
import Stripe from 'stripe'
import { createExpressApp } from 'stripe-stateful-mock'
import { BillingError, ManualClock, StripeError, StripeService, type StripeServiceOptions } from 'weighbridge'
import { startLocalstripe } from './support/localstripe'
import { type Asked, recordStripe, type Recorder, type Script } from './support/stripe'

const KEY = 'sk_test_do_not_show'
const NOW = Date.UTC(2026, 5, 15, 12)
const LEGACY = '2025-02-24.acacia'
const SEED = '2023-10-16'

const ours = (recorder: Recorder, options: StripeServiceOptions = {}): StripeService =>
  new StripeService({ secretKey: KEY, baseUrl: recorder.url, clock: new ManualClock(NOW), ...options })

/** Stripe's own package, pointed at the same place. */
const theirs = ({ port }: { port: number }, apiVersion?: string): Stripe =>
  new Stripe(KEY, {
    host: '127.0.0.1',
    port,
    protocol: 'http',
    telemetry: false,
    maxNetworkRetries: 0,
    ...(apiVersion !== undefined && { apiVersion: apiVersion as never }),
  })

/** What a request says, without what differs from one call to the next. */
function said({ method, path, parameters }: Asked): unknown {
  const passing = ['metadata[timestamp]', 'identifier']
  return { method, path, parameters: parameters.map(([name, value]) => [name, passing.includes(name) ? '…' : value]) }
}

const item = (price: object) => ({
  id: 'si_1',
  object: 'subscription_item',
  current_period_start: NOW / 1000 - 90,
  current_period_end: NOW / 1000 + 86_400,
  price: { id: 'price_1', object: 'price', ...price },
})
const subscription = (price: object) => ({
  id: 'sub_1',
  object: 'subscription',
  customer: 'cus_1',
  items: { object: 'list', data: [item(price)] },
})
const metered: Script = ({ path }) => {
  if (path.startsWith('/v1/subscriptions/')) {
    return { body: subscription({ recurring: { usage_type: 'metered', meter: 'mtr_1' } }) }
  }
  if (path === '/v1/billing/meters/mtr_1') {
    return {
      body: {
        id: 'mtr_1',
        object: 'billing.meter',
        event_name: 'api_requests',
        customer_mapping: { type: 'by_id', event_payload_key: 'stripe_customer_id' },
        value_settings: { event_payload_key: 'value' },
      },
    }
  }
  return { body: { id: 'made_1', object: 'made', data: [{ id: 'summary_1' }] } }
}
const unmetered: Script = ({ path }) =>
  path.startsWith('/v1/subscriptions/')
    ? { body: subscription({ recurring: { usage_type: 'metered', meter: null } }) }
    : { body: { id: 'mbur_1', object: 'usage_record', data: [{ id: 'sis_1' }] } }

describe("what is sent equals what Stripe's own package sends", () => {
  test('for a customer, with the name that stands before the @', async () => {
    const recorder = await recordStripe(() => ({ body: { id: 'cus_1', object: 'customer' } }))
    expect(await ours(recorder).createCustomer('someone@example.test')).toEqual({ id: 'cus_1', object: 'customer' })
    await theirs(recorder).customers.create({
      email: 'someone@example.test',
      name: 'someone',
      metadata: { created_by: 'UBOS_API', timestamp: new Date().toISOString() },
    })
    const [mine, reference] = recorder.asked
    expect(said(mine as Asked)).toEqual(said(reference as Asked))
    expect(mine?.parameters).toContainEqual(['metadata[timestamp]', new Date(NOW).toISOString()])
    expect(mine?.headers).toMatchObject({ authorization: `Bearer ${KEY}`, 'idempotency-key': expect.any(String) })
  })

  test.each([
    [SEED, 'latest_invoice.payment_intent'],
    [LEGACY, 'latest_invoice.payment_intent'],
    [undefined, 'latest_invoice.confirmation_secret'],
  ])('for a subscription on the API version %s', async (apiVersion, expand) => {
    const recorder = await recordStripe(() => ({ body: subscription({}) }))
    await ours(recorder, { apiVersion }).createSubscription('cus_1', 'professional')
    await theirs(recorder, apiVersion).subscriptions.create({
      customer: 'cus_1',
      items: [{ price: 'price_professional_monthly' }],
      payment_behavior: 'default_incomplete',
      payment_settings: { save_default_payment_method: 'on_subscription' },
      expand: [expand],
    })
    const [mine, reference] = recorder.asked
    expect(said(mine as Asked)).toEqual(said(reference as Asked))
    if (apiVersion !== undefined) expect(mine?.headers['stripe-version']).toBe(apiVersion)
  })

  test('for usage of a price with a meter: a meter event', async () => {
    const recorder = await recordStripe(metered)
    await ours(recorder).recordUsage('sub_1', 7)
    const reference = theirs(recorder)
    await reference.subscriptions.retrieve('sub_1')
    await reference.billing.meters.retrieve('mtr_1')
    await reference.billing.meterEvents.create({
      event_name: 'api_requests',
      payload: { stripe_customer_id: 'cus_1', value: '7' },
      identifier: 'any',
      timestamp: NOW / 1000,
    })
    const all = recorder.asked.map(said)
    expect(all).toHaveLength(6)
    expect(all.slice(0, 3)).toEqual(all.slice(3))
  })

  test('for usage of a price without one, on a version that has them: a usage record', async () => {
    const recorder = await recordStripe(unmetered)
    await ours(recorder, { apiVersion: LEGACY }).recordUsage('sub_1', 7, 1_750_000_000)
    const reference = theirs(recorder, LEGACY)
    await reference.subscriptions.retrieve('sub_1')
    await reference.rawRequest('POST', '/v1/subscription_items/si_1/usage_records', {
      quantity: 7,
      timestamp: 1_750_000_000,
      action: 'increment',
    })
    const all = recorder.asked.map(said)
    expect(all).toHaveLength(4)
    expect(all.slice(0, 2)).toEqual(all.slice(2))
  })
})

test('usage comes with its subscription, from the meter or from usage records', async () => {
  const meter = await recordStripe(metered)
  expect(await ours(meter).getUsage('cus_1', 'sub_1')).toMatchObject({
    subscription: { id: 'sub_1' },
    usage: [{ id: 'summary_1' }],
  })
  expect(meter.asked[1]).toMatchObject({
    path: '/v1/billing/meters/mtr_1/event_summaries',
    parameters: [
      ['customer', 'cus_1'],
      ['end_time', String(NOW / 1000)],
      ['start_time', String(NOW / 1000 - 120)],
    ],
  })
  const records = await recordStripe(unmetered)
  expect(await ours(records, { apiVersion: SEED }).getUsage('cus_1', 'sub_1')).toMatchObject({
    usage: [{ id: 'sis_1' }],
  })
  expect(records.asked[1]?.path).toBe('/v1/subscription_items/si_1/usage_record_summaries')
})

test('usage that a price cannot take is refused and never dropped', async () => {
  const recorder = await recordStripe(unmetered)
  const refused = ours(recorder).recordUsage('sub_1', 7)
  await expect(refused).rejects.toBeInstanceOf(BillingError)
  await expect(refused).rejects.toMatchObject({ code: 'stripe_price_not_metered' })
})

test('an unknown tier is refused and nothing is sent', async () => {
  const recorder = await recordStripe(() => ({ body: {} }))
  const refused = ours(recorder).createSubscription('cus_1', 'gold')
  await expect(refused).rejects.toThrow('Invalid subscription tier: gold')
  expect(recorder.asked).toEqual([])
})

describe('without a key', () => {
  const before = process.env['STRIPE_SECRET_KEY']
  beforeEach(() => delete process.env['STRIPE_SECRET_KEY'])
  afterAll(() => {
    if (before !== undefined) process.env['STRIPE_SECRET_KEY'] = before
  })

  test('the first call says so, and a key that is set later is used', async () => {
    const recorder = await recordStripe(() => ({ body: { id: 'cus_1', object: 'customer' } }))
    const service = new StripeService({ baseUrl: recorder.url })
    const refused = service.createCustomer('someone@example.test')
    await expect(refused).rejects.toThrow(/^STRIPE_SECRET_KEY environment variable is required$/)
    await expect(refused).rejects.toMatchObject({ code: 'stripe_key_missing' })
    process.env['STRIPE_SECRET_KEY'] = KEY
    expect(await service.createCustomer('someone@example.test')).toMatchObject({ id: 'cus_1' })
  })
})

test.each([
  [401, { type: 'invalid_request_error' }, 'StripeAuthenticationError'],
  [402, { type: 'card_error', code: 'card_declined', decline_code: 'insufficient_funds' }, 'StripeCardError'],
  [404, { type: 'invalid_request_error', code: 'resource_missing', param: 'id' }, 'StripeInvalidRequestError'],
  [429, { type: 'invalid_request_error', code: 'rate_limit' }, 'StripeRateLimitError'],
])("Stripe's refusal with status %i is an error with Stripe's fields", async (status, fields, type) => {
  const recorder = await recordStripe(() => ({ status, body: { error: { message: 'no', ...fields } } }))
  const error: unknown = await ours(recorder)
    .createCustomer('someone@example.test')
    .catch((thrown) => thrown)
  expect(error).toBeInstanceOf(StripeError)
  expect(error).toBeInstanceOf(Error)
  const { type: _rawType, ...shown } = fields
  expect(error).toMatchObject({ type, statusCode: status, requestId: 'req_1', message: 'no', ...shown })
  expect(JSON.stringify(error) + String(error) + (error as Error).stack).not.toContain(KEY)
})

test('a failed attempt is repeated with the same idempotency key', async () => {
  let attempts = 0
  const recorder = await recordStripe(() => {
    attempts += 1
    return attempts === 1 ? { status: 500, body: {} } : { body: { id: 'cus_1', object: 'customer' } }
  })
  await ours(recorder, { maxNetworkRetries: 1 }).createCustomer('someone@example.test')
  const keys = recorder.asked.map(({ headers }) => headers['idempotency-key'])
  expect(keys).toHaveLength(2)
  expect(keys[0]).toBe(keys[1])
})

test('a Stripe that cannot be reached is a connection error', async () => {
  const service = new StripeService({ secretKey: KEY, baseUrl: 'http://127.0.0.1:1', maxNetworkRetries: 0 })
  await expect(service.createCustomer('someone@example.test')).rejects.toMatchObject({ type: 'StripeConnectionError' })
})

describe('a Stripe that somebody else wrote', () => {
  test('stripe-stateful-mock makes the customer, and has him', async () => {
    const server = createExpressApp().listen(0, '127.0.0.1')
    try {
      await new Promise((resolve) => server.once('listening', resolve))
      const { port } = server.address() as AddressInfo
      const service = new StripeService({ secretKey: KEY, baseUrl: `http://127.0.0.1:${port}` })
      const { id } = await service.createCustomer('someone@example.test')
      // It does not keep names.
      expect(await theirs({ port }).customers.retrieve(id)).toMatchObject({
        email: 'someone@example.test',
        metadata: { created_by: 'UBOS_API', timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/) },
      })
    } finally {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  })

  test('localstripe makes the customer, has him and his subscription, and its errors are understood', async () => {
    const port = await startLocalstripe()
    const service = new StripeService({ secretKey: KEY, baseUrl: `http://127.0.0.1:${port}`, apiVersion: SEED })
    const { id, name } = await service.createCustomer('someone@example.test')
    expect(name).toBe('someone')
    const reference = theirs({ port }, SEED)
    expect(await reference.customers.retrieve(id)).toMatchObject({ email: 'someone@example.test' })
    // Its plans are those of 2017, which only a raw request can name.
    await reference.rawRequest('POST', '/v1/plans', {
      id: 'basic',
      amount: 0,
      currency: 'usd',
      interval: 'month',
      product: { name: 'Basic' },
    })
    const made = (await reference.rawRequest('POST', '/v1/subscriptions', {
      customer: id,
      items: [{ plan: 'basic' }],
    })) as unknown as { id: string }
    // It has no usage records: its subscription is read, and the refusal of what follows is understood.
    await expect(service.recordUsage(made.id, 1)).rejects.toMatchObject({
      type: 'StripeInvalidRequestError',
      statusCode: 404,
    })
    await expect(service.getUsage(id, 'sub_none')).rejects.toMatchObject({
      type: 'StripeInvalidRequestError',
      statusCode: 404,
    })
  }, 120_000)
})
