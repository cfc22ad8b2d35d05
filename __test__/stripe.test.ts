import { once } from 'node:events'
import Stripe from 'stripe'
import { BillingError, ManualClock, StripeError, StripeService, type StripeServiceOptions } from 'weighbridge'
import { openBilling, temporaryDirectory } from './support/billing'
import { loseFirstAnswer, Recorder, type Scripted, startLocalstripe, startStatefulMock } from './support/stripe'

const secretKey = 'sk_test_4eC39HqLyjWDarjtT1zdp7dc'
const seedVersion = '2023-10-16'
const lastWithUsageRecords = '2025-02-24.acacia'
const now = 1_790_000_000_123
const seconds = Math.floor(now / 1000)

const serviceAt = (port: number, options: StripeServiceOptions = {}): StripeService =>
  new StripeService({
    secretKey,
    baseUrl: `http://127.0.0.1:${port}`,
    clock: new ManualClock(now),
    maxNetworkRetries: 0,
    ...options,
  })

/** Stripe's own package, asking the same server. */
const officialAt = (port: number, apiVersion?: string): Stripe =>
  new Stripe(secretKey, {
    host: '127.0.0.1',
    port,
    protocol: 'http',
    telemetry: false,
    maxNetworkRetries: 0,
    ...(apiVersion !== undefined && { apiVersion: apiVersion as never }),
  })

const customer: Scripted = { body: { id: 'cus_1', object: 'customer', email: 'ada@example.com' } }

function subscription(recurring: object): Scripted {
  const item = {
    id: 'si_1',
    object: 'subscription_item',
    price: { id: 'price_1', object: 'price', recurring: { interval: 'month', ...recurring } },
    current_period_start: seconds - 1000,
    current_period_end: seconds + 1_000_000,
  }
  const items = { object: 'list', data: [item] }
  return { body: { id: 'sub_1', object: 'subscription', customer: 'cus_1', items, a_future_field: { kept: true } } }
}

const withMeter = subscription({ usage_type: 'metered', meter: 'mtr_1' })
const withoutMeter = subscription({ usage_type: 'metered', meter: null })
const licensed = subscription({ usage_type: 'licensed', meter: null })
const meter: Scripted = {
  body: {
    id: 'mtr_1',
    object: 'billing.meter',
    event_name: 'api_requests',
    customer_mapping: { type: 'by_id', event_payload_key: 'stripe_customer_id' },
    value_settings: { event_payload_key: 'value' },
  },
}
const usageRecord: Scripted = { body: { id: 'mbur_1', object: 'usage_record', quantity: 5 } }
const meterEvent: Scripted = { body: { object: 'billing.meter_event', event_name: 'api_requests' } }
const empty: Scripted = { body: { object: 'list', data: [], has_more: false } }

/** What was asked, without what differs from call to call. */
function calls({ asked }: Recorder): unknown {
  return asked.map(({ method, path, params, headers }) => ({
    method,
    path,
    params: params['identifier'] === undefined ? params : { ...params, identifier: 'random' },
    version: headers['stripe-version'],
    authorization: headers['authorization'],
    type: method === 'POST' ? headers['content-type'] : undefined,
  }))
}

/** Makes the same calls through both libraries and expects the same requests. */
async function expectSameRequests(
  answers: Record<string, Scripted>,
  apiVersion: string | undefined,
  ours: (service: StripeService) => Promise<unknown>,
  theirs: (stripe: Stripe) => Promise<unknown>,
): Promise<Recorder> {
  const [our, their] = [await Recorder.start(answers), await Recorder.start(answers)]
  await ours(serviceAt(our.port, apiVersion === undefined ? {} : { apiVersion }))
  const version = our.asked[0]?.headers['stripe-version']
  await theirs(officialAt(their.port, String(version)))
  expect(calls(our)).toEqual(calls(their))
  expect(our.asked.length).toBeGreaterThan(0)
  return our
}

describe('what is sent equals what the official package sends', () => {
  const metadata = { created_by: 'UBOS_API', timestamp: new Date(now).toISOString() }

  test.each([
    ['ada@example.com', undefined, 'ada'],
    ['ada@example.com', 'Example Customer', 'Example Customer'],
    ['ada@example.com', '', 'ada'],
    ['ada+test@example.com', 'Ä & Ö = 100 % [x] "y" 😀\n', 'Ä & Ö = 100 % [x] "y" 😀\n'],
  ])('to create a customer %s, %s', async (email, name, sent) => {
    const recorder = await expectSameRequests(
      { '/v1/customers': customer },
      seedVersion,
      (service) => service.createCustomer(email, name),
      (stripe) => stripe.customers.create({ email, name: sent, metadata }),
    )
    expect(recorder.asked[0]?.headers['stripe-version']).toBe(seedVersion)
    expect(recorder.asked[0]?.headers['idempotency-key']).toMatch(/^[0-9a-f-]{36}$/)
  })

  test.each([
    [seedVersion, 'latest_invoice.payment_intent'],
    [lastWithUsageRecords, 'latest_invoice.payment_intent'],
    ['2025-03-31.basil', 'latest_invoice.confirmation_secret'],
    [undefined, 'latest_invoice.confirmation_secret'],
  ])('to create a subscription on API version %s', async (apiVersion, expanded) => {
    await expectSameRequests(
      { '/v1/subscriptions': licensed },
      apiVersion,
      (service) => service.createSubscription('cus_1', 'professional'),
      (stripe) =>
        stripe.subscriptions.create({
          customer: 'cus_1',
          items: [{ price: 'price_professional_monthly' }],
          payment_behavior: 'default_incomplete',
          payment_settings: { save_default_payment_method: 'on_subscription' },
          expand: [expanded],
        }),
    )
  })

  test.each([undefined, 1_789_999_999])(
    'to record usage on a price without a meter (timestamp %s)',
    async (timestamp) => {
      await expectSameRequests(
        { '/v1/subscriptions/sub_1': withoutMeter, '/v1/subscription_items/si_1/usage_records': usageRecord },
        seedVersion,
        (service) => service.recordUsage('sub_1', 5, timestamp),
        async (stripe) => {
          await stripe.subscriptions.retrieve('sub_1')
          await stripe.rawRequest('POST', '/v1/subscription_items/si_1/usage_records', {
            quantity: 5,
            timestamp: timestamp ?? seconds,
            action: 'increment',
          })
        },
      )
    },
  )

  test.each([
    [undefined, undefined],
    [undefined, 1_789_999_999],
    [seedVersion, undefined],
  ])('to record usage on a price with a meter (API version %s, timestamp %s)', async (apiVersion, timestamp) => {
    await expectSameRequests(
      {
        '/v1/subscriptions/sub_1': withMeter,
        '/v1/billing/meters/mtr_1': meter,
        '/v1/billing/meter_events': meterEvent,
      },
      apiVersion,
      (service) => service.recordUsage('sub_1', 5, timestamp),
      async (stripe) => {
        await stripe.subscriptions.retrieve('sub_1')
        await stripe.billing.meters.retrieve('mtr_1')
        await stripe.billing.meterEvents.create({
          event_name: 'api_requests',
          payload: { stripe_customer_id: 'cus_1', value: '5' },
          identifier: 'any',
          timestamp: timestamp ?? seconds,
        })
      },
    )
  })

  test('to get the usage of a price with a meter', async () => {
    await expectSameRequests(
      { '/v1/subscriptions/sub_1': withMeter, '/v1/billing/meters/mtr_1/event_summaries': empty },
      undefined,
      (service) => service.getUsage('cus_1', 'sub_1'),
      async (stripe) => {
        await stripe.subscriptions.retrieve('sub_1')
        await stripe.billing.meters.listEventSummaries('mtr_1', {
          customer: 'cus_1',
          start_time: Math.floor((seconds - 1000) / 60) * 60,
          end_time: Math.ceil(seconds / 60) * 60,
        })
      },
    )
  })

  test('to get the usage of a price without a meter', async () => {
    await expectSameRequests(
      { '/v1/subscriptions/sub_1': withoutMeter, '/v1/subscription_items/si_1/usage_record_summaries': empty },
      lastWithUsageRecords,
      (service) => service.getUsage('cus_1', 'sub_1'),
      async (stripe) => {
        await stripe.subscriptions.retrieve('sub_1')
        await stripe.rawRequest('GET', '/v1/subscription_items/si_1/usage_record_summaries')
      },
    )
  })
})

describe('what comes back', () => {
  test("is Stripe's object as Stripe sent it", async () => {
    const { port } = await Recorder.start({ '/v1/customers': customer, '/v1/subscriptions': licensed })
    const service = serviceAt(port)
    expect(await service.createCustomer('ada@example.com')).toEqual(customer.body)
    expect(await service.createSubscription('cus_1', 'starter')).toEqual(licensed.body)
  })

  test('of getUsage is the subscription and its usage, an array', async () => {
    const summaries = [{ id: 'sis_1', object: 'usage_record_summary', total_usage: 7 }]
    const { port } = await Recorder.start({
      '/v1/subscriptions/sub_1': withoutMeter,
      '/v1/subscription_items/si_1/usage_record_summaries': { body: { object: 'list', data: summaries } },
    })
    expect(await serviceAt(port, { apiVersion: seedVersion }).getUsage('cus_1', 'sub_1')).toEqual({
      subscription: withoutMeter.body,
      usage: summaries,
    })
    // Stripe has nothing to ask for on newer versions.
    expect(await serviceAt(port).getUsage('cus_1', 'sub_1')).toEqual({ subscription: withoutMeter.body, usage: [] })
  })

  test('of recordUsage is the usage record or the meter event', async () => {
    const old = await Recorder.start({
      '/v1/subscriptions/sub_1': withoutMeter,
      '/v1/subscription_items/si_1/usage_records': usageRecord,
    })
    expect(await serviceAt(old.port, { apiVersion: seedVersion }).recordUsage('sub_1', 5)).toEqual(usageRecord.body)
    const metered = await Recorder.start({
      '/v1/subscriptions/sub_1': withMeter,
      '/v1/billing/meters/mtr_1': meter,
      '/v1/billing/meter_events': meterEvent,
    })
    expect(await serviceAt(metered.port).recordUsage('sub_1', 5)).toEqual(meterEvent.body)
  })
})

describe('a tier is changed', () => {
  const item = (id: string, price: string): object => ({ id, price: { id: price }, quantity: 1 })
  const on = (...items: object[]): Scripted => ({ body: { id: 'sub_1', customer: 'cus_1', items: { data: items } } })

  test('under the key that the caller gives, and not at all where it is that tier already', async () => {
    const recorder = await Recorder.start({
      '/v1/subscriptions/sub_1': [
        on(item('si_1', 'price_starter_monthly')),
        customer,
        on(item('si_1', 'price_professional_monthly')),
      ],
    })
    const service = serviceAt(recorder.port)
    const options = { idempotencyKey: 'upgrade-7' }
    expect(await service.changeTier('sub_1', 'professional', options)).toEqual(customer.body)
    expect(await service.changeTier('sub_1', 'professional', options)).toMatchObject({ id: 'sub_1' })
    expect(recorder.asked.map(({ method }) => method)).toEqual(['GET', 'POST', 'GET'])
    expect(recorder.asked.map(({ headers }) => headers['idempotency-key'])).toEqual([undefined, 'upgrade-7', undefined])
  })

  test.each([
    ['none', [item('si_1', 'price_of_old')], 'no item has'],
    ['two', [item('si_1', 'price_starter_monthly'), item('si_2', 'price_enterprise_monthly')], 'several items have'],
  ])('but not where %s of its items has a tier', async (_, items, says) => {
    const recorder = await Recorder.start({ '/v1/subscriptions/sub_1': on(...items) })
    const error: unknown = await serviceAt(recorder.port)
      .changeTier('sub_1', 'professional')
      .catch((error) => error)
    expect(error).toBeInstanceOf(BillingError)
    expect(error).toMatchObject({ code: 'stripe_tier_not_found', message: expect.stringContaining(says) })
    expect(recorder.asked).toHaveLength(1)
  })
})

test('a call may have a version, an account and retries of its own', async () => {
  const failure: Scripted = { status: 503, body: {}, headers: { 'retry-after': '0' } }
  const recorder = await Recorder.start({ '/v1/balance': [failure, customer] })
  const options = { apiVersion: seedVersion, stripeAccount: 'acct_1', maxNetworkRetries: 1, timeout: 60_000 }
  await serviceAt(recorder.port).raw('GET', '/v1/balance', {}, options)
  expect(recorder.asked).toHaveLength(2)
  expect(recorder.asked[1]?.headers).toMatchObject({ 'stripe-version': seedVersion, 'stripe-account': 'acct_1' })
})

describe('nothing is sent', () => {
  test('for a tier that there is not', async () => {
    const recorder = await Recorder.start({})
    const error: unknown = await serviceAt(recorder.port)
      .createSubscription('cus_1', 'gold')
      .catch((error) => error)
    expect(error).toBeInstanceOf(BillingError)
    expect(error).toMatchObject({ code: 'unknown_tier', message: 'Invalid subscription tier: gold' })
    for (const tierId of ['constructor', '__proto__', '', undefined as unknown as string]) {
      await expect(serviceAt(recorder.port).createSubscription('cus_1', tierId)).rejects.toThrow(
        `Invalid subscription tier: ${tierId}`,
      )
    }
    expect(recorder.asked).toEqual([])
  })

  test('for arguments that Stripe could not take', async () => {
    const recorder = await Recorder.start({})
    const service = serviceAt(recorder.port)
    const wrong = undefined as unknown as string
    const refused: [() => Promise<unknown>, string][] = [
      [() => service.createCustomer(wrong), '`email`'],
      [() => service.createCustomer(''), '`email`'],
      [() => service.createSubscription(wrong, 'starter'), '`customerId`'],
      [() => service.createSubscription('', 'starter'), '`customerId`'],
      [() => service.getUsage('cus_1', wrong), '`subscriptionId`'],
      [() => service.getUsage('cus_1', '../customers'), '`subscriptionId`'],
      [() => service.recordUsage('', 1), '`subscriptionId`'],
      [() => service.recordUsage('sub_1', -1), '`quantity`'],
      [() => service.recordUsage('sub_1', 0.5), '`quantity`'],
      [() => service.recordUsage('sub_1', NaN), '`quantity`'],
      [() => service.recordUsage('sub_1', 2 ** 53), '`quantity`'],
      [() => service.recordUsage('sub_1', 1, -1), '`timestamp`'],
      [() => service.recordUsage('sub_1', 1, 0.5), '`timestamp`'],
      [() => service.recordUsage('sub_1', 1, 1, { idempotencykey: 'a' } as never), 'did you mean "idempotencyKey"'],
      [() => service.retrieveCustomer('../subscriptions'), '`customerId`'],
      [() => service.retrieveSubscription(''), '`subscriptionId`'],
      [() => service.cancelSubscription('sub_1/..'), '`subscriptionId`'],
      [() => service.cancelSubscription('sub_1', {}, { timeout: 0 }), 'time-out'],
      [() => service.changeTier('sub/1', 'starter'), '`subscriptionId`'],
      [() => service.changeTier('sub_1', 'starter', { prorationBehavior: 'later' as never }), '`prorationBehavior`'],
      [() => service.createPortalSession(wrong as never), 'object of Stripe'],
      [() => service.createPortalSession({ customer: 1n as never }), 'JSON'],
      [() => service.previewInvoice({}, { idempotencyKey: 'x'.repeat(256) }), '`idempotencyKey`'],
      [() => service.previewInvoice({}, { apiVersion: 'a\nb' }), '`apiVersion`'],
      [() => service.raw('PATCH' as never, '/v1/customers'), '`method`'],
      [() => service.raw('GET', 'https://example.com/v1/customers'), '`path`'],
      [() => service.raw('GET', '/v1/../customers'), '`path`'],
    ]
    for (const [operation, says] of refused) {
      const error: unknown = await operation().catch((error) => error)
      expect(error).toBeInstanceOf(BillingError)
      expect(error).toMatchObject({ code: 'invalid_argument', message: expect.stringContaining(says) })
    }
    expect(recorder.asked).toEqual([])
  })

  test.each([
    ['a licensed price', licensed, seedVersion],
    ['a price without a meter on an API version without usage records', withoutMeter, '2025-03-31.basil'],
  ])('as usage for %s, and it is not dropped in silence', async (_, answer, apiVersion) => {
    const recorder = await Recorder.start({ '/v1/subscriptions/sub_1': answer })
    const error: unknown = await serviceAt(recorder.port, { apiVersion })
      .recordUsage('sub_1', 5)
      .catch((error) => error)
    expect(error).toBeInstanceOf(BillingError)
    expect(error).toMatchObject({ code: 'stripe_price_not_metered', message: expect.stringContaining('sub_1') })
    expect(recorder.asked.map(({ method }) => method)).toEqual(['GET'])
  })
})

describe('the secret key', () => {
  const inherited = process.env['STRIPE_SECRET_KEY']
  afterEach(() => {
    delete process.env['STRIPE_SECRET_KEY']
    if (inherited !== undefined) process.env['STRIPE_SECRET_KEY'] = inherited
  })

  test('is asked for by the first call and not before, by its name', async () => {
    delete process.env['STRIPE_SECRET_KEY']
    for (const service of [new StripeService(), new StripeService({ secretKey: '' }), openBilling().stripe]) {
      const failed = [
        service.createCustomer('ada@example.com'),
        service.createSubscription('cus_1', 'starter'),
        service.getUsage('cus_1', 'sub_1'),
        service.recordUsage('sub_1', 1),
        service.retrieveCustomer('cus_1'),
        service.changeTier('sub_1', 'starter'),
        service.syncCatalog(),
        service.raw('GET', '/v1/balance'),
      ]
      for (const call of failed) {
        const error: unknown = await call.catch((error) => error)
        expect(error).toBeInstanceOf(BillingError)
        expect(error).toMatchObject({
          code: 'stripe_key_missing',
          message: 'STRIPE_SECRET_KEY environment variable is required',
        })
      }
    }
  })

  test('comes from the environment at that time', async () => {
    const recorder = await Recorder.start({ '/v1/customers': customer })
    delete process.env['STRIPE_SECRET_KEY']
    const service = new StripeService({ baseUrl: recorder.baseUrl })
    await expect(service.createCustomer('ada@example.com')).rejects.toMatchObject({ code: 'stripe_key_missing' })
    process.env['STRIPE_SECRET_KEY'] = 'sk_test_environment'
    await service.createCustomer('ada@example.com')
    expect(recorder.asked.map(({ headers }) => headers.authorization)).toEqual(['Bearer sk_test_environment'])
  })

  test('is in no error, though the other side repeats it', async () => {
    const echo = {
      error: { type: 'invalid_request_error', message: `Invalid API Key: ${secretKey}`, param: secretKey },
    }
    const recorder = await Recorder.start({ '/v1/customers': { status: 401, body: echo } })
    const broken = `${secretKey} with a space`
    const failures: unknown[] = [
      await serviceAt(recorder.port)
        .createCustomer('a@b')
        .catch((error) => error),
      await serviceAt(1)
        .createCustomer('a@b')
        .catch((error) => error),
    ]
    try {
      new StripeService({ secretKey: broken })
    } catch (error) {
      failures.push(error)
    }
    expect(failures).toHaveLength(3)
    for (const failure of failures) {
      expect(failure).toBeInstanceOf(Error)
      expect(`${(failure as Error).stack} ${JSON.stringify(failure)}`).not.toContain(secretKey)
    }
    expect(JSON.stringify(serviceAt(recorder.port))).not.toContain(secretKey)
  })
})

describe('an error of Stripe', () => {
  test.each([
    [400, { type: 'invalid_request_error', code: 'parameter_missing', param: 'email', message: 'Missing.' }],
    [401, { type: 'invalid_request_error', message: 'Invalid API Key' }],
    [402, { type: 'card_error', code: 'card_declined', decline_code: 'lost_card', message: 'Declined.' }],
    [403, { type: 'invalid_request_error', message: 'Not allowed.' }],
    [404, { type: 'invalid_request_error', code: 'resource_missing', param: 'customer', message: 'No such customer' }],
    [400, { type: 'idempotency_error', message: 'Keys for idempotent requests…' }],
    [429, { type: 'invalid_request_error', code: 'rate_limit', message: 'Slow down.' }],
    [500, { type: 'api_error', message: 'Oops.' }],
  ])('%i %j has the fields that the official package gives it', async (status, error) => {
    const recorder = await Recorder.start({ '/v1/customers': { status, body: { error } } })
    const ours: unknown = await serviceAt(recorder.port)
      .createCustomer('ada@example.com')
      .catch((error) => error)
    const theirs: InstanceType<typeof Stripe.errors.StripeError> = await officialAt(recorder.port)
      .customers.create({ email: 'ada@example.com' })
      .catch((error) => error)
    expect(ours).toBeInstanceOf(StripeError)
    expect(ours).toBeInstanceOf(Error)
    const { type, message, code, param, decline_code, statusCode, requestId } = theirs
    expect(ours).toMatchObject({ type, message, statusCode, requestId })
    const fields = ours as StripeError
    expect([fields.code, fields.param, fields.decline_code]).toEqual([code, param, decline_code])
  })

  test('that is no JSON tells its status', async () => {
    const { port } = await Recorder.start({ '/v1/customers': { status: 502, body: '<html>Bad Gateway</html>' } })
    const error: unknown = await serviceAt(port)
      .createCustomer('ada@example.com')
      .catch((error) => error)
    expect(error).toBeInstanceOf(StripeError)
    expect(error).toMatchObject({ type: 'StripeAPIError', statusCode: 502 })
  })

  test('that nobody could be asked is a connection error', async () => {
    const error: unknown = await serviceAt(1)
      .createCustomer('ada@example.com')
      .catch((error) => error)
    expect(error).toBeInstanceOf(StripeError)
    expect(error).toMatchObject({ type: 'StripeConnectionError', statusCode: undefined })
  })

  test('that passes is tried again with the same idempotency key, as often as was said', async () => {
    const failure: Scripted = { status: 500, body: { error: { message: 'Oops.' } }, headers: { 'retry-after': '0' } }
    const recorder = await Recorder.start({ '/v1/customers': [failure, customer] })
    await serviceAt(recorder.port, { maxNetworkRetries: 1 }).createCustomer('ada@example.com')
    const keys = recorder.asked.map(({ headers }) => headers['idempotency-key'])
    expect(keys).toHaveLength(2)
    expect(new Set(keys).size).toBe(1)

    const failing = await Recorder.start({ '/v1/customers': failure })
    await expect(serviceAt(failing.port).createCustomer('ada@example.com')).rejects.toMatchObject({ statusCode: 500 })
    expect(failing.asked).toHaveLength(1)
  })
})

test("a Billing's Stripe service takes its tiers and its clock", async () => {
  const recorder = await Recorder.start({ '/v1/subscriptions': licensed, '/v1/customers': customer })
  const { stripe } = openBilling({
    clock: new ManualClock(now),
    tiers: [
      {
        id: 'gold',
        name: 'Gold',
        priceId: 'price_gold',
        monthlyPrice: 9,
        features: {
          apiRequestsPerMonth: 1,
          agentExecutionsPerMonth: 1,
          dataAccessLevel: 'basic',
          supportLevel: 'email',
        },
      },
    ],
    pricing: {},
    stripe: { secretKey, baseUrl: recorder.baseUrl },
  })
  await stripe.createSubscription('cus_1', 'gold')
  await stripe.createCustomer('ada@example.com')
  expect(recorder.asked[0]?.params['items[0][price]']).toBe('price_gold')
  expect(recorder.asked[1]?.params['metadata[timestamp]']).toBe(new Date(now).toISOString())
  await expect(stripe.createSubscription('cus_1', 'starter')).rejects.toThrow('Invalid subscription tier: starter')
})

describe('stripe-stateful-mock', () => {
  test('keeps the customer that was created', async () => {
    const port = await startStatefulMock()
    const created = await serviceAt(port).createCustomer('ada@example.com')
    expect(created).toMatchObject({
      object: 'customer',
      email: 'ada@example.com',
      metadata: { created_by: 'UBOS_API', timestamp: new Date(now).toISOString() },
    })
    expect(await officialAt(port).customers.retrieve(created.id)).toMatchObject({ email: 'ada@example.com' })
  })

  test('makes one customer where the first answer got lost and the call was tried again', async () => {
    const port = await startStatefulMock()
    const before = (await officialAt(port).customers.list()).data.length
    const proxy = await loseFirstAnswer(port)
    const created = await serviceAt(proxy.port, { maxNetworkRetries: 2 }).createCustomer('ada@example.com')
    expect(proxy.keys).toHaveLength(2)
    expect(proxy.keys[0]).toBe(proxy.keys[1])
    const { data } = await officialAt(port).customers.list()
    expect(data.length).toBe(before + 1)
    expect(data.map(({ id }) => id)).toContain(created.id)
  })

  test('answers a second call under the same key as the first, and refuses another one under it', async () => {
    const port = await startStatefulMock()
    const clock = new ManualClock(now)
    const service = serviceAt(port, { clock })
    const options = { idempotencyKey: `signup-${port}` }
    const created = await service.createCustomer('ada@example.com', 'Ada', options)
    const before = (await officialAt(port).customers.list()).data.length
    clock.set(now + 60_000)
    expect(await service.createCustomer('ada@example.com', 'Ada', options)).toMatchObject({ id: created.id })
    const error: unknown = await service.createCustomer('eve@example.com', 'Ada', options).catch((error) => error)
    expect(error).toBeInstanceOf(StripeError)
    expect(error).toMatchObject({ type: 'StripeIdempotencyError', statusCode: 400 })
    expect((await officialAt(port).customers.list()).data).toHaveLength(before)
  })

  test('gives back what it keeps', async () => {
    const port = await startStatefulMock()
    const service = serviceAt(port)
    const { id } = await service.createCustomer('ada@example.com')
    expect(await service.retrieveCustomer(id)).toMatchObject({ id, email: 'ada@example.com' })
    expect(await service.raw('POST', `/v1/customers/${id}`, { metadata: { plan: 'pro' } })).toMatchObject({
      metadata: { plan: 'pro' },
    })
    await expect(service.retrieveCustomer('cus_none')).rejects.toMatchObject({ code: 'resource_missing' })
  })

  test('says what is wrong in an error of ours', async () => {
    const port = await startStatefulMock()
    const error: unknown = await serviceAt(port)
      .getUsage('cus_1', 'sub_none')
      .catch((error) => error)
    expect(error).toBeInstanceOf(StripeError)
    expect(error).toMatchObject({ type: 'StripeInvalidRequestError', statusCode: 404, code: 'resource_missing' })
  })
})

test('localstripe keeps the customer that was created, and tells of a subscription', async () => {
  const { port, process: server } = await startLocalstripe(temporaryDirectory())
  try {
    const service = serviceAt(port, { apiVersion: seedVersion })
    const created = await service.createCustomer('ada@example.com', 'Example Customer')
    expect(created).toMatchObject({ object: 'customer', email: 'ada@example.com', name: 'Example Customer' })
    const official = officialAt(port, seedVersion)
    expect(await official.customers.retrieve(created.id)).toMatchObject({
      name: 'Example Customer',
      metadata: { created_by: 'UBOS_API', timestamp: new Date(now).toISOString() },
    })

    // It knows plans, the prices of its time, and no usage records.
    await official.rawRequest('POST', '/v1/plans', {
      id: 'plan_1',
      amount: 2900,
      currency: 'usd',
      interval: 'month',
      product: { name: 'Starter' },
    })
    const made = (await official.rawRequest('POST', '/v1/subscriptions', {
      customer: created.id,
      items: [{ plan: 'plan_1' }],
      trial_period_days: 30,
    })) as { id: string }
    const answer = await serviceAt(port).getUsage(created.id, made.id)
    expect(answer.subscription).toMatchObject({ id: made.id, customer: created.id })
    expect(answer.usage).toEqual([])
    await expect(service.getUsage(created.id, 'sub_none')).rejects.toMatchObject({ statusCode: 404 })
  } finally {
    const exited = once(server, 'exit')
    server.kill('SIGKILL')
    await exited
  }
}, 120_000)
