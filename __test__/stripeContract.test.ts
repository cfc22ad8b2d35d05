import Stripe from 'stripe'
import { ManualClock, StripeService, subscriptionTiers } from 'weighbridge'
import usage from './contract/usage.json'
import { type Asked, Recorder, type Scripted } from './support/stripe'
import { CatalogFake } from './support/stripeCatalog'
import { Contract } from './support/stripeContract'

const secretKey = 'sk_test_4eC39HqLyjWDarjtT1zdp7dc'
const now = 1_790_000_000_123
const lastWithUsageRecords = '2025-02-24.acacia'

let contract: Contract
beforeAll(async () => {
  contract = await Contract.read()
})

const ok: Scripted = { body: { id: 'id_1', object: 'object' } }
const subscription: Scripted = {
  body: {
    id: 'sub_1',
    customer: 'cus_1',
    items: {
      data: [
        { id: 'si_calls', price: { id: 'price_calls', recurring: { meter: 'mtr_1', usage_type: 'metered' } } },
        { id: 'si_tier', price: { id: 'price_starter_monthly' }, quantity: 3 },
      ],
      has_more: false,
    },
  },
}
const withUsageRecords: Scripted = {
  body: { id: 'sub_1', customer: 'cus_1', items: { data: [{ id: 'si_1', price: { recurring: {} } }] } },
}
const longSubscription: Scripted = { body: { customer: 'cus_1', items: { data: [], has_more: true } } }
const meter: Scripted = { body: { id: 'mtr_1', event_name: 'calls' } }

/** What our own id of a customer and all of Stripe's own kinds of parameters look like. */
const checkout = {
  mode: 'subscription' as const,
  customer: 'cus_1',
  client_reference_id: 'Ä & Ö = 100 % [x] "y" 😀\n',
  line_items: [{ price: 'price_1', quantity: 2 }, { price: 'price_2' }],
  subscription_data: { trial_end: new Date(now + 9e8) as unknown as number, metadata: { a: 'b c', d: '' } },
  allow_promotion_codes: true,
  success_url: 'https://example.com/done?session={CHECKOUT_SESSION_ID}',
  cancel_url: 'https://example.com/',
  expand: ['customer', 'subscription'],
}

interface Case {
  answers: Record<string, Scripted>
  apiVersion?: string
  ours(service: StripeService): Promise<unknown>
  theirs(stripe: Stripe): Promise<unknown>
}

const cases: Record<string, Case> = {
  retrieveCustomer: {
    answers: { '/v1/customers/cus_1': ok },
    ours: (service) => service.retrieveCustomer('cus_1', { expand: ['subscriptions'] }),
    theirs: (stripe) => stripe.customers.retrieve('cus_1', { expand: ['subscriptions'] }),
  },
  retrieveSubscription: {
    answers: { '/v1/subscriptions/sub_1': ok },
    ours: (service) => service.retrieveSubscription('sub_1'),
    theirs: (stripe) => stripe.subscriptions.retrieve('sub_1'),
  },
  cancelSubscription: {
    answers: { '/v1/subscriptions/sub_1': ok },
    ours: (service) => service.cancelSubscription('sub_1', { invoice_now: true, prorate: false }),
    theirs: (stripe) => stripe.subscriptions.cancel('sub_1', { invoice_now: true, prorate: false }),
  },
  changeTier: {
    answers: { '/v1/subscriptions/sub_1': subscription },
    ours: (service) => service.changeTier('sub_1', 'enterprise', { prorationBehavior: 'always_invoice' }),
    theirs: async (stripe) => {
      await stripe.subscriptions.retrieve('sub_1')
      await stripe.subscriptions.update('sub_1', {
        items: [{ id: 'si_tier', price: 'price_enterprise_monthly', quantity: 3 }],
        proration_behavior: 'always_invoice',
      })
    },
  },
  'changeTier where there are many items': {
    answers: {
      '/v1/subscriptions/sub_1': longSubscription,
      '/v1/subscription_items': { body: { data: [{ id: 'si_1', price: { id: 'price_starter_monthly' } }] } },
    },
    ours: (service) => service.changeTier('sub_1', 'professional'),
    theirs: async (stripe) => {
      await stripe.subscriptions.retrieve('sub_1')
      await stripe.subscriptionItems.list({ subscription: 'sub_1', limit: 100 })
      await stripe.subscriptions.update('sub_1', { items: [{ id: 'si_1', price: 'price_professional_monthly' }] })
    },
  },
  createCheckoutSession: {
    answers: { '/v1/checkout/sessions': ok },
    ours: (service) => service.createCheckoutSession(checkout),
    theirs: (stripe) => stripe.checkout.sessions.create(checkout),
  },
  createPortalSession: {
    answers: { '/v1/billing_portal/sessions': ok },
    ours: (service) => service.createPortalSession({ customer: 'cus_1', return_url: 'https://example.com/' }),
    theirs: (stripe) => stripe.billingPortal.sessions.create({ customer: 'cus_1', return_url: 'https://example.com/' }),
  },
  previewInvoice: {
    answers: { '/v1/invoices/create_preview': ok },
    ours: (service) =>
      service.previewInvoice({
        subscription: 'sub_1',
        subscription_details: {
          items: [{ id: 'si_1', price: 'price_2' }],
          proration_behavior: 'none',
          cancel_at: null,
        },
      }),
    theirs: (stripe) =>
      stripe.invoices.createPreview({
        subscription: 'sub_1',
        // Nothing but null unsets a field, which the types write as an empty text.
        subscription_details: {
          items: [{ id: 'si_1', price: 'price_2' }],
          proration_behavior: 'none',
          cancel_at: null as unknown as '',
        },
      }),
  },
  raw: {
    answers: { '/v1/prices': ok },
    ours: (service) => service.raw('GET', '/v1/prices', { lookup_keys: ['a', 'b'], active: true }),
    theirs: (stripe) => stripe.prices.list({ lookup_keys: ['a', 'b'], active: true }),
  },
  createCustomer: {
    answers: { '/v1/customers': ok },
    ours: (service) => service.createCustomer('ada@example.com'),
    theirs: (stripe) =>
      stripe.customers.create({
        email: 'ada@example.com',
        name: 'ada',
        metadata: { created_by: 'UBOS_API', timestamp: new Date(now).toISOString() },
      }),
  },
  createSubscription: {
    answers: { '/v1/subscriptions': ok },
    ours: (service) => service.createSubscription('cus_1', 'starter'),
    theirs: (stripe) =>
      stripe.subscriptions.create({
        customer: 'cus_1',
        items: [{ price: 'price_starter_monthly' }],
        payment_behavior: 'default_incomplete',
        payment_settings: { save_default_payment_method: 'on_subscription' },
        expand: ['latest_invoice.confirmation_secret'],
      }),
  },
  recordUsage: {
    answers: {
      '/v1/subscriptions/sub_1': subscription,
      '/v1/billing/meters/mtr_1': meter,
      '/v1/billing/meter_events': ok,
    },
    ours: (service) => service.recordUsage('sub_1', 5, 1_789_999_999, { idempotencyKey: 'job-7' }),
    theirs: async (stripe) => {
      await stripe.subscriptions.retrieve('sub_1')
      await stripe.billing.meters.retrieve('mtr_1')
      await stripe.billing.meterEvents.create({
        event_name: 'calls',
        payload: { stripe_customer_id: 'cus_1', value: '5' },
        identifier: 'job-7',
        timestamp: 1_789_999_999,
      })
    },
  },
  'recordUsage without a meter': {
    apiVersion: lastWithUsageRecords,
    answers: { '/v1/subscriptions/sub_1': withUsageRecords, '/v1/subscription_items/si_1/usage_records': ok },
    ours: (service) => service.recordUsage('sub_1', 5, 1_789_999_999),
    theirs: async (stripe) => {
      await stripe.subscriptions.retrieve('sub_1')
      await legacy(stripe).subscriptionItems.createUsageRecord('si_1', {
        quantity: 5,
        timestamp: 1_789_999_999,
        action: 'increment',
      })
    },
  },
  'getUsage without a meter': {
    apiVersion: lastWithUsageRecords,
    answers: {
      '/v1/subscriptions/sub_1': withUsageRecords,
      '/v1/subscription_items/si_1/usage_record_summaries': { body: { data: [] } },
    },
    ours: (service) => service.getUsage('cus_1', 'sub_1'),
    theirs: async (stripe) => {
      await stripe.subscriptions.retrieve('sub_1')
      await legacy(stripe).subscriptionItems.listUsageRecordSummaries('si_1')
    },
  },
}

/** The last release of the package that has usage records, whose types cannot be imported beside those of the newest. */
interface Legacy {
  subscriptionItems: {
    createUsageRecord(item: string, params: object): Promise<unknown>
    listUsageRecordSummaries(item: string): Promise<unknown>
  }
}

/** The old package, asking the same server as the new one. */
function legacy(stripe: Stripe): Legacy {
  const { Stripe: OldStripe } = require('stripe17') as { Stripe: new (key: string, options: object) => Legacy }
  const port = stripe.getApiField('port')
  return new OldStripe(secretKey, { host: '127.0.0.1', port, protocol: 'http', telemetry: false })
}

function officialAt(port: number, apiVersion?: string): Stripe {
  const options = { host: '127.0.0.1', port, protocol: 'http' as const, telemetry: false, maxNetworkRetries: 0 }
  return new Stripe(secretKey, apiVersion === undefined ? options : { ...options, apiVersion: apiVersion as never })
}

const lines = (asked: Asked[]): unknown =>
  asked.map(({ method, path, params }) => ({ line: `${method} ${path}`, params }))

const violations = (asked: Asked[]): string[] => asked.flatMap((request) => contract.violations(request))

test.each(Object.entries(cases))('%s sends what the official package sends and its types allow', async (_, each) => {
  const [our, their] = [await Recorder.start(each.answers), await Recorder.start(each.answers)]
  const options = { secretKey, clock: new ManualClock(now), maxNetworkRetries: 0 }
  const { apiVersion } = each
  await each.ours(
    new StripeService({ ...options, baseUrl: our.baseUrl, ...(apiVersion !== undefined && { apiVersion }) }),
  )
  await each.theirs(officialAt(their.port, apiVersion))
  expect(lines(our.asked)).toEqual(lines(their.asked))
  expect(violations(our.asked)).toEqual([])
  for (const { method, headers } of our.asked) {
    expect(headers['idempotency-key'] !== undefined).toBe(method === 'POST')
    expect(headers['stripe-version']).toBe(apiVersion ?? '2026-09-30.endive')
  }
})

test('syncCatalog sends what the types allow', async () => {
  const { port } = await CatalogFake.start()
  const recorder = await Recorder.start({}, port)
  await new StripeService({ secretKey, baseUrl: recorder.baseUrl, maxNetworkRetries: 0 }).syncCatalog({
    tiers: subscriptionTiers,
    meters: [
      { eventName: 'calls', unitPrice: '0.0001' },
      { eventName: 'logins', aggregation: 'count' },
    ],
  })
  expect(violations(recorder.asked)).toEqual([])
  const kinds = new Set(
    recorder.asked.map(({ method, path }) => `${method} ${path.replace(/weighbridge_\w+/, '{id}')}`),
  )
  expect([...kinds]).toEqual([
    'GET /v1/billing/meters',
    'GET /v1/prices',
    'GET /v1/products/{id}',
    'POST /v1/billing/meters',
    'POST /v1/products',
    'POST /v1/prices',
  ])
})

test('the sender of usage sends what the official package sends and its types allow', async () => {
  const recorder = await Recorder.start(Object.fromEntries(usage.map(({ line }) => [line.split(' ')[1], ok])))
  const stripe = officialAt(recorder.port)
  await stripe.billing.meterEvents.create({
    event_name: 'calls',
    identifier: 'e-1',
    payload: { stripe_customer_id: 'cus_1', value: '7.5' },
    timestamp: 1_700_000_000,
  })
  await stripe.billing.meterEventAdjustments.create({
    event_name: 'calls',
    type: 'cancel',
    cancel: { identifier: 'e-1' },
  })
  await stripe.billing.meters.retrieve('mtr_1')
  await stripe.billing.meters.listEventSummaries('mtr_1', {
    customer: 'cus_1',
    start_time: 0,
    end_time: 7200,
    limit: 100,
    value_grouping_window: 'hour',
  })
  await legacy(stripe).subscriptionItems.createUsageRecord('si_1', {
    quantity: 5,
    timestamp: 1_700_000_000,
    action: 'increment',
  })
  await stripe.v2.billing.meterEventSession.create()
  const event = {
    event_name: 'calls',
    payload: { stripe_customer_id: 'cus_1', value: '7.5' },
    timestamp: '2023-11-14T22:13:20.000Z',
  }
  await stripe.rawRequest('POST', '/v2/billing/meter_event_stream', {
    events: [
      { ...event, identifier: 'e-1' },
      { ...event, identifier: 'e-2' },
    ],
  })
  // What the Rust tests compare with what was sent.
  expect(
    recorder.asked.map(({ method, path, params, headers, body }) =>
      headers['content-type'] === 'application/json'
        ? { line: `${method} ${path}`, json: JSON.parse(body || '{}') as object }
        : { line: `${method} ${path}`, params },
    ),
  ).toEqual(usage)
  expect(violations(recorder.asked)).toEqual([])
})

describe('the contract refuses', () => {
  test.each<[string, (service: StripeService) => Promise<unknown>, string]>([
    [
      'a parameter that there is not',
      (service) => service.createPortalSession({ customer: 'cus_1', retrun_url: '/' }),
      'must NOT have additional properties',
    ],
    [
      'one within another',
      (service) => service.previewInvoice({ subscription_details: { items: [{ prise: 'price_1' }] } }),
      'must NOT have additional properties',
    ],
    [
      'a value that there is not',
      (service) => service.createCheckoutSession({ mode: 'gift' as 'payment' }),
      'must NOT be valid',
    ],
    [
      'a missing parameter',
      (service) => service.raw('POST', '/v1/billing/meter_events', { event_name: 'a' }),
      'payload',
    ],
    [
      'a request that there is not',
      (service) => service.raw('POST', '/v1/upcoming'),
      'no request that the contract knows',
    ],
  ])('%s', async (_, call, says) => {
    const recorder = await Recorder.start({})
    const service = new StripeService({ secretKey, baseUrl: recorder.baseUrl, maxNetworkRetries: 0 })
    await expect(call(service)).rejects.toMatchObject({ statusCode: 404 })
    expect(violations(recorder.asked).join('\n')).toContain(says)
  })
})
