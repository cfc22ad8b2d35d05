import { once } from 'node:events'
import express from 'express'
import { Billing, type BillingOptions, generateTestHeader, ManualClock, type StripeEvent } from 'weighbridge'
import { keyOf, openBilling, PATIENT, temporaryDirectory } from './support/billing'
import { frameworks } from './support/frameworks'
import { call, callRaw, serve } from './support/http'
import { sharedDatabase } from './support/postgres'
import { start } from './support/processes'
import { Recorder, type Scripted, startLocalstripe } from './support/stripe'
import { deliver, event, followed, secret, START, type StripeTestEvent, subscription } from './support/stripeEvents'
import { happening, until } from './support/until'

/** Without a secret key of Stripe's: what counts is what the events say. */
const stripe = { webhookSecret: secret }

const silent = { error: () => {} }

function open(options: BillingOptions = {}): Billing {
  return openBilling({ stripe, ...options })
}

/** Serves the webhook of a Billing, and an API behind its middleware. */
function serveBilling(billing: Billing, options: Parameters<Billing['stripeWebhook']>[0] = {}): Promise<number> {
  const app = express()
  app.post('/webhooks/stripe', billing.stripeWebhook(options))
  app.use('/api', billing.middleware(), (_req, res) => void res.json({ ok: true }))
  return serve(app)
}

/** Places that several processes share: a fresh one each time. */
const places: [name: string, make: () => BillingOptions][] = [
  ['SQLite', () => ({ dir: temporaryDirectory() })],
  ['PostgreSQL', () => ({ dir: temporaryDirectory(), ...sharedDatabase().options })],
]

async function known(billing: Billing): Promise<Billing> {
  await billing.customers.upsert({ id: 'acme', stripeCustomerId: 'cus_1' })
  return billing
}

const updated = (second: number, overrides: Record<string, unknown> = {}): StripeTestEvent =>
  event('customer.subscription.updated', subscription(overrides), second)

const priced = (id: string): Record<string, unknown> => ({
  items: { object: 'list', data: [{ id: 'si_1', price: { id }, current_period_start: START }] },
})

describe('where the body is', () => {
  const received = { received: true }

  test.each(frameworks)('%s: before or after others read it', async (_, framework) => {
    const billing = await known(open())
    const webhook = billing.stripeWebhook({ logger: silent })
    const keep = framework.json({ verify: (req, _res, bytes) => void Object.assign(req, { rawBody: bytes }) })
    for (const readers of [[], [framework.raw({ type: '*/*' })], [framework.text({ type: '*/*' })], [keep]]) {
      const app = framework()
      for (const reader of readers) app.use(reader)
      app.post('/webhooks/stripe', webhook as never)
      const { status, body } = await deliver(await serve(app), updated(1, { metadata: { name: 'Zoë 💰' } }))
      expect([status, body]).toEqual([200, received])
    }
  })

  test('where express.json() has consumed it the answer says what to do', async () => {
    const billing = await known(open())
    const logged: unknown[] = []
    const app = express().use(express.json())
    app.post('/webhooks/stripe', billing.stripeWebhook({ logger: { error: (error) => logged.push(error) } }))
    const { status, body } = await deliver(await serve(app), updated(1))
    expect([status, body]).toEqual([
      500,
      { error: 'webhook_body_consumed', message: expect.stringContaining('rawBody') },
    ])
    expect(logged).toEqual([expect.objectContaining({ code: 'webhook_body_consumed' })])
    expect(await billing.customers.get('acme')).toMatchObject({ tier: null })
  })

  test('one that is too large is refused', async () => {
    const port = await serveBilling(open())
    const { status, body } = await deliver(port, { text: 'x'.repeat(1024 * 1024) })
    expect([status, body]).toMatchObject([413, { error: 'webhook_too_large' }])
  })
})

describe('who has sent it', () => {
  test('what Stripe has not signed, or not lately, changes nothing', async () => {
    const billing = await known(open())
    const port = await serveBilling(billing)
    const payload = JSON.stringify(updated(1))
    const header = generateTestHeader({ payload, secret })
    const at = (timestamp: number): string => generateTestHeader({ payload, secret, timestamp })
    const seconds = Math.floor(Date.now() / 1000)
    for (const attempt of [
      { payload: payload.replace('starter', 'enterprise'), header },
      { payload, header: generateTestHeader({ payload, secret: 'whsec_other' }) },
      { payload, header: at(seconds - 400) },
      { payload, header: at(seconds + 400) },
      { payload, header: 'garbage' },
    ]) {
      const { status, body } = await deliver(port, undefined, attempt)
      expect([status, body]).toMatchObject([400, { error: 'webhook_signature_invalid' }])
    }
    const { status } = await callRaw(port, '/webhooks/stripe', payload, {})
    expect(status).toBe(400)
    const noEvent = '{"hello":"world"}'
    const signed = await deliver(port, undefined, {
      payload: noEvent,
      header: generateTestHeader({ payload: noEvent, secret }),
    })
    expect([signed.status, signed.body]).toMatchObject([400, { error: 'webhook_payload_invalid' }])
    expect(await billing.customers.get('acme')).toMatchObject({ tier: null, subscriptionId: null })
    expect((await deliver(port, undefined, { payload, header })).status).toBe(200)
  })

  test('the clock that decides is that of the Billing', async () => {
    const clock = new ManualClock(START * 1000)
    const port = await serveBilling(await known(open({ clock })))
    const payload = JSON.stringify(updated(1))
    expect((await deliver(port, undefined, { payload })).status).toBe(400)
    const header = generateTestHeader({ payload, secret, timestamp: START })
    expect((await deliver(port, undefined, { payload, header })).status).toBe(200)
  })

  test('the secret may come from the environment, and there must be one', async () => {
    const port = await serveBilling(await known(openBilling()), { logger: silent })
    const missing = await deliver(port, updated(1))
    expect([missing.status, missing.body]).toMatchObject([500, { error: 'webhook_secret_missing' }])
    process.env['STRIPE_WEBHOOK_SECRET'] = secret
    try {
      expect((await deliver(port, updated(1))).status).toBe(200)
    } finally {
      delete process.env['STRIPE_WEBHOOK_SECRET']
    }
    const rolled = await serveBilling(await known(open()), { secret: ['whsec_new', secret] })
    expect((await deliver(rolled, updated(1))).status).toBe(200)
    for (const options of [
      { secret: '' },
      { secret: [] },
      { secrets: secret },
      { retrieve: 1 },
      { toleranceSeconds: '1' },
    ]) {
      expect(() => open().stripeWebhook(options as never)).toThrow(
        expect.objectContaining({ code: 'invalid_argument' }),
      )
    }
  })
})

describe('what it does', () => {
  test.each(places)('%s: a customer follows his subscription, in every process', async (_, make) => {
    const place = make()
    const billing = await known(open(place))
    const elsewhere = open(place)
    const key = await keyOf(billing, 'acme')
    const [port, other] = [await serveBilling(billing), await serveBilling(elsewhere)]
    const answers = async (status: number): Promise<void> => {
      for (const at of [port, other]) {
        await until(async () => (await call(at, '/api/execute', { key })).status, status)
      }
    }
    const anchor = START * 1000
    for (const [delivered, tier, status] of [
      [event('customer.subscription.created', subscription({ status: 'trialing' })), 'starter', 'trialing'],
      [event('customer.subscription.trial_will_end', subscription({ status: 'trialing' }), 1), 'starter', 'trialing'],
      [event('customer.subscription.paused', subscription({ status: 'paused' }), 2), 'starter', 'paused'],
      [event('customer.subscription.resumed', subscription(), 3), 'starter', 'active'],
      [updated(4, priced('price_enterprise_monthly')), 'enterprise', 'active'],
      [event('invoice.payment_failed', { subscription: 'sub_1' }, 5), 'enterprise', 'past_due'],
      [
        event('invoice.paid', { parent: { subscription_details: { subscription: 'sub_1' } } }, 6),
        'enterprise',
        'active',
      ],
      [updated(7, { status: 'unpaid', ...priced('price_enterprise_monthly') }), 'enterprise', 'unpaid'],
    ] as const) {
      expect((await deliver(port, delivered)).status).toBe(200)
      expect(followed(await elsewhere.customers.get('acme'))).toEqual({
        tier,
        subscriptionId: 'sub_1',
        subscriptionStatus: status,
        billingCycleAnchor: anchor,
      })
      await answers(status === 'unpaid' || status === 'paused' ? 403 : 200)
    }
    expect(
      (await deliver(other, event('customer.subscription.deleted', subscription({ status: 'canceled' }), 8))).status,
    ).toBe(200)
    expect(followed(await billing.customers.get('acme'))).toMatchObject({ tier: null, subscriptionStatus: 'canceled' })
    await answers(200)
  })

  test('Checkout says whose a subscription is, before or after it is told of', async () => {
    for (const order of [0, 1]) {
      const billing = open()
      await billing.customers.upsert({ id: 'acme' })
      const port = await serveBilling(billing)
      const session = { mode: 'subscription', customer: 'cus_1', subscription: 'sub_1', client_reference_id: 'acme' }
      const events = [
        event('customer.subscription.created', subscription(), 0),
        event('checkout.session.completed', session, 1),
      ]
      for (const delivered of order === 0 ? events : events.reverse()) {
        expect((await deliver(port, delivered)).status).toBe(200)
      }
      expect(await billing.customers.get('acme')).toMatchObject({
        tier: 'starter',
        stripeCustomerId: 'cus_1',
        subscriptionId: 'sub_1',
      })
    }
  })

  test('what nobody is known for waits for the customer', async () => {
    const billing = open()
    const port = await serveBilling(billing)
    expect((await deliver(port, updated(1))).status).toBe(200)
    expect(await billing.customers.upsert({ id: 'acme', stripeCustomerId: 'cus_1' })).toMatchObject({
      tier: 'starter',
      subscriptionStatus: 'active',
    })
  })

  test('a suspension by hand is lifted by hand', async () => {
    const billing = await known(open())
    const key = await keyOf(billing, 'acme')
    const port = await serveBilling(billing)
    await billing.customers.upsert({ id: 'acme', suspended: true })
    await deliver(port, updated(1))
    expect((await call(port, '/api/execute', { key })).status).toBe(403)
    await billing.customers.upsert({ id: 'acme', suspended: false })
    expect((await call(port, '/api/execute', { key })).status).toBe(200)
  })

  test('what is unknown and what is thin are kept and acknowledged', async () => {
    const billing = open()
    const port = await serveBilling(billing)
    const thin = {
      id: 'evt_thin',
      object: 'v2.core.event',
      type: 'v1.billing.meter.error_report_triggered',
      created: '2026-03-10T12:00:00.123Z',
      related_object: { id: 'mtr_1', type: 'billing.meter', url: '/v1/billing/meters/mtr_1' },
    }
    const unknown = event('radar.early_fraud_warning.created', { id: 'issfr_1', text: 'Zoë \u0000' })
    for (const delivered of [thin, unknown]) {
      const payload = JSON.stringify(delivered, null, 2)
      expect((await deliver(port, delivered)).status).toBe(200)
      expect(await billing.stripeEvent(delivered.id)).toMatchObject({ type: delivered.type, state: 'kept', payload })
    }
    expect(await billing.stripeEvent('evt_none')).toBeNull()
  })
})

describe('once each, in any order', () => {
  test('duplicates are acknowledged and do nothing', async () => {
    const billing = await known(open())
    const port = await serveBilling(billing)
    const told: StripeEvent[] = []
    const { happened: bothTold, happen } = happening()
    billing.on('stripeEvent', (delivered) => {
      if (told.push(delivered) === 2) happen()
    })
    const first = updated(1)
    expect((await deliver(port, first)).status).toBe(200)
    await billing.customers.upsert({ id: 'acme', tier: 'enterprise' })
    expect((await deliver(port, first)).status).toBe(200)
    expect(await billing.customers.get('acme')).toMatchObject({ tier: 'enterprise' })
    const last = updated(2)
    expect((await deliver(port, last)).status).toBe(200)
    await bothTold
    expect(told).toEqual([first, last])
    expect(await billing.stripeEvent(first.id)).toMatchObject({ state: 'done', payload: null })
  })

  test('what is late does not undo what is newer', async () => {
    const billing = await known(open())
    const port = await serveBilling(billing)
    for (const delivered of [
      updated(5, priced('price_professional_monthly')),
      event('customer.subscription.created', subscription({ status: 'incomplete' }), 5),
      updated(4, { status: 'unpaid' }),
      event('invoice.payment_failed', { subscription: 'sub_1' }, 3),
    ]) {
      expect((await deliver(port, delivered)).status).toBe(200)
    }
    expect(await billing.customers.get('acme')).toMatchObject({ tier: 'professional', subscriptionStatus: 'active' })
  })

  test.each(places)('%s: of processes that get the same events at once, one works on each', async (_, make) => {
    const place = make()
    const billing = await known(open(place))
    const answered: Scripted = { body: subscription(priced('price_professional_monthly')) }
    const recorder = await Recorder.start({ '/v1/subscriptions/sub_1': answered })
    const options = { ...PATIENT, ...place, stripe: { ...stripe, secretKey: 'sk_test_1', baseUrl: recorder.baseUrl } }
    const programs = [1, 2, 3].map(() => start('stripeWebhook.cjs', options))
    const ports = await Promise.all(programs.map(async ({ next }) => (await next()) as number))
    const events = Array.from({ length: 20 }, (_, second) => updated(second))
    const statuses = await Promise.all(
      events.flatMap((delivered) => ports.map(async (port) => (await deliver(port, delivered)).status)),
    )
    expect(statuses.filter((status) => status !== 200 && status !== 409)).toEqual([])
    expect(recorder.asked).toHaveLength(20)
    for (const delivered of events) expect((await deliver(ports[0] as number, delivered)).status).toBe(200)
    expect(recorder.asked).toHaveLength(20)
    expect(await billing.customers.get('acme')).toMatchObject({ tier: 'professional' })
  })

  test.each(places)('%s: what a process had claimed when it was killed is worked on again', async (_, make) => {
    const place = make()
    const clock = new ManualClock(Date.now())
    const billing = await known(open({ ...place, clock }))
    const port = await serveBilling(billing)
    // Stripe does not answer, so that the event stays claimed.
    const { happened: isAsked, happen: ask } = happening()
    const silentStripe = await serve(() => ask())
    const options = {
      ...PATIENT,
      ...place,
      stripe: { ...stripe, secretKey: 'sk_1', baseUrl: `http://127.0.0.1:${silentStripe}` },
    }
    const program = start('stripeWebhook.cjs', options)
    const delivered = updated(1)
    const lost = deliver((await program.next()) as number, delivered).catch(() => 'lost')
    await isAsked
    const again = (): ReturnType<typeof deliver> => {
      const payload = JSON.stringify(delivered, null, 2)
      const timestamp = Math.floor(clock.now() / 1000)
      return deliver(port, delivered, { payload, header: generateTestHeader({ payload, secret, timestamp }) })
    }
    expect((await again()).status).toBe(409)
    program.process.kill('SIGKILL')
    await once(program.process, 'exit')
    expect(await lost).toBe('lost')
    expect(await billing.customers.get('acme')).toMatchObject({ tier: null })
    // The claim is of when the other process was asked.
    clock.set(Date.now() + 61_000)
    expect((await again()).status).toBe(200)
    expect(await billing.customers.get('acme')).toMatchObject({ tier: 'starter' })
    expect((await again()).status).toBe(200)
  })
})

describe('where Stripe can be asked', () => {
  const asking = async (
    answers: Record<string, Scripted | Scripted[]>,
  ): Promise<{ billing: Billing; recorder: Recorder }> => {
    const recorder = await Recorder.start(answers)
    const { baseUrl } = recorder
    const billing = openBilling({ stripe: { ...stripe, secretKey: 'sk_test_1', baseUrl, maxNetworkRetries: 0 } })
    return { billing: await known(billing), recorder }
  }

  test('what counts is how the subscription is now', async () => {
    const { billing, recorder } = await asking({
      '/v1/subscriptions/sub_1': { body: subscription(priced('price_professional_monthly')) },
    })
    const port = await serveBilling(billing)
    expect((await deliver(port, updated(1, { status: 'unpaid' }))).status).toBe(200)
    expect(await billing.customers.get('acme')).toMatchObject({ tier: 'professional', subscriptionStatus: 'active' })
    expect((await deliver(port, event('customer.created', { id: 'cus_1' }))).status).toBe(200)
    expect(recorder.asked.map(({ path }) => path)).toEqual(['/v1/subscriptions/sub_1'])
  })

  test('what Stripe does not know counts as it was told', async () => {
    const { billing } = await asking({})
    expect((await deliver(await serveBilling(billing), updated(1))).status).toBe(200)
    expect(await billing.customers.get('acme')).toMatchObject({ tier: 'starter' })
  })

  test('where Stripe fails the event is to be sent again, and may be at once', async () => {
    const { billing } = await asking({
      '/v1/subscriptions/sub_1': [{ status: 500, body: { error: { message: 'oops' } } }, { body: subscription() }],
    })
    const logged: unknown[] = []
    const port = await serveBilling(billing, { logger: { error: (error) => logged.push(error) } })
    const delivered = updated(1)
    const failed = await deliver(port, delivered)
    expect([failed.status, failed.text]).toEqual([500, '{"error":"Billing processing failed"}'])
    expect(logged).toEqual([expect.objectContaining({ type: 'StripeAPIError' })])
    expect((await deliver(port, delivered)).status).toBe(200)
    expect(await billing.customers.get('acme')).toMatchObject({ tier: 'starter' })
  })

  test('it need not be', async () => {
    const { billing, recorder } = await asking({})
    expect((await deliver(await serveBilling(billing, { retrieve: false }), updated(1))).status).toBe(200)
    expect(recorder.asked).toEqual([])
  })
})

test('where the store fails the event is to be sent again', async () => {
  const billing = open()
  const logged: unknown[] = []
  const port = await serveBilling(billing, { logger: { error: (error) => logged.push(error) } })
  await billing.close()
  expect((await deliver(port, updated(1))).status).toBe(500)
  expect(logged).toEqual([expect.objectContaining({ code: 'closed' })])
})

test('localstripe, a signing server of another author with events of 2017', async () => {
  const directory = temporaryDirectory()
  const localstripe = await startLocalstripe(directory)
  try {
    const billing = open()
    const port = await serveBilling(billing)
    const { happened: isDeleted, happen: deleted } = happening()
    billing.on('stripeEvent', ({ type }) => type === 'customer.subscription.deleted' && deleted())
    const ask = async (method: string, path: string, form?: Record<string, string>): Promise<Record<string, any>> => {
      const response = await fetch(`http://127.0.0.1:${localstripe.port}${path}`, {
        method,
        headers: { authorization: 'Bearer sk_test_1' },
        ...(form && { body: new URLSearchParams(form) }),
      })
      expect([path, response.status]).toEqual([path, 200])
      const text = await response.text()
      return text === '' ? {} : (JSON.parse(text) as Record<string, any>)
    }
    await ask('POST', '/_config/webhooks/weighbridge', { url: `http://127.0.0.1:${port}/webhooks/stripe`, secret })
    const customer = await ask('POST', '/v1/customers', { email: 'ada@example.com' })
    await billing.customers.upsert({ id: 'acme', stripeCustomerId: customer['id'] })
    const plan = { id: 'price_starter_monthly', amount: '0', currency: 'usd', interval: 'month', name: 'Starter' }
    await ask('POST', '/v1/plans', plan)
    const { id } = await ask('POST', '/v1/subscriptions', {
      customer: customer['id'],
      'items[0][plan]': 'price_starter_monthly',
    })
    await until(async () => (await billing.customers.get('acme'))?.subscriptionStatus, 'active')
    expect(await billing.customers.get('acme')).toMatchObject({ tier: 'starter', subscriptionId: id })
    await ask('DELETE', `/v1/subscriptions/${id}`)
    await isDeleted
    expect(await billing.customers.get('acme')).toMatchObject({ tier: null, subscriptionStatus: 'canceled' })
  } finally {
    const exited = once(localstripe.process, 'exit')
    localstripe.process.kill()
    await exited
  }
}, 240_000)
