import express from 'express'
import { Webhook } from 'standardwebhooks'
import { type Alert, type Billing, type BillingOptions, ManualClock, type ThresholdReached } from 'weighbridge'
import { event, keyOf, limitedTo, openBilling, PATIENT, temporaryDirectory } from './support/billing'
import { byStatus, callOften, serve } from './support/http'
import { sharedDatabase } from './support/postgres'
import { start } from './support/processes'
import { until } from './support/until'

const secret = `whsec_${Buffer.from('a secret of thirty-two bytes, see').toString('base64')}`

/** What was delivered, or tried to be. */
interface Delivery {
  id: string
  body: { type: string; timestamp: string; data: ThresholdReached }
}

/** A receiver, written with the library of Standard Webhooks, that answers with these in turn, and then with 204. */
async function receiver(answers: number[] = [], hangs = false): Promise<{ url: string; deliveries: Delivery[] }> {
  const deliveries: Delivery[] = []
  const webhook = new Webhook(secret)
  const app = express().post('/alerts', express.raw({ type: 'application/json' }), (req, res) => {
    const headers = req.headers as Record<string, string>
    const body = webhook.verify(req.body as Buffer, headers) as Delivery['body']
    deliveries.push({ id: headers['webhook-id'] ?? '', body })
    if (!hangs) res.sendStatus(answers.shift() ?? 204)
  })
  return { url: `http://127.0.0.1:${await serve(app)}/alerts`, deliveries }
}

const percents = (deliveries: Delivery[]): unknown =>
  deliveries.map(({ body: { data } }) => `${data.of} ${data.percent}`).sort()

async function states(billing: Billing): Promise<string[]> {
  const { data } = await billing.alerts.list({ limit: 100 })
  return data.map(({ state }) => state)
}

async function only(billing: Billing): Promise<Alert> {
  const { data } = await billing.alerts.list()
  expect(data).toHaveLength(1)
  return data[0] as Alert
}

const database = sharedDatabase()

describe.each([
  ['SQLite', (): BillingOptions => ({ dir: temporaryDirectory() })],
  ['PostgreSQL', (): BillingOptions => ({ dir: temporaryDirectory(), ...database.options })],
])('on %s', (_, place) => {
  beforeEach(() => database.drop())

  test('a receiver is told once of each share of a limit, a spend cap and credit, signed', async () => {
    const { url, deliveries } = await receiver()
    const at = place()
    const billings = [1, 2].map(() => openBilling({ ...at, tiers: limitedTo(10), alerts: { url, secret } }))
    const [billing, other] = billings as [Billing, Billing]
    const told: ThresholdReached[] = []
    for (const each of billings) each.on('threshold', (reached) => told.push(reached))
    await billing.customers.upsert({ id: 'customer-1', tier: 'limited', spendCap: '1.00' })
    await billing.credits.grant('customer-1', { id: 'order-1', amount: '0.8' })
    for (let time = 0; time < 4; time += 1) await billing.usage.recordEvent(event())
    for (let time = 0; time < 4; time += 1) await other.usage.recordEvent(event())
    const all = ['credit 100', 'credit 50', 'credit 80', 'limit 50', 'limit 80', 'spend_cap 50', 'spend_cap 80']
    await until(() => percents(deliveries), all)
    expect(told.map(({ of, percent }) => `${of} ${percent}`).sort()).toEqual(all)
    expect(new Set(deliveries.map(({ id }) => id)).size).toBe(all.length)
    const data = (name: string): unknown =>
      deliveries.find(({ body }) => `${body.data.of} ${body.data.percent}` === name)?.body.data
    expect(data('limit 80')).toMatchObject({ customerId: 'customer-1', eventType: 'api_request', limit: 10, used: 8 })
    expect(data('spend_cap 50')).toMatchObject({ spendCap: '1', spent: '0.5' })
    expect(data('credit 50')).toMatchObject({ unit: 'money', available: '0.8', used: '0.4' })
    await until(() => states(billing), Array(7).fill('delivered'))
  })

  test('an alert is sent again until it is taken, under the same id', async () => {
    const { url, deliveries } = await receiver([500, 302])
    const clock = new ManualClock()
    const billing = openBilling({ ...place(), clock, tiers: limitedTo(2), alerts: { url, secret } })
    await billing.customers.upsert({ id: 'customer-1', tier: 'limited' })
    await billing.usage.recordEvent(event({ timestamp: clock.now() }))
    await until(async () => (await only(billing)).reason, 'HTTP 500')
    const failed = await only(billing)
    expect(failed).toMatchObject({ state: 'pending', attempts: 1, reached: { of: 'limit', percent: 50 } })
    expect(failed.nextAttemptAt).toBeGreaterThanOrEqual(clock.now() + 5_000)
    clock.advance(6_000)
    await until(async () => (await only(billing)).reason, 'HTTP 302')
    clock.advance(331_000)
    // Its signature tells when it was sent, which receivers compare with their own clock: that is not the one of the test.
    await until(async () => (await only(billing)).attempts, 3)
    expect(deliveries.map(({ id }) => id)).toEqual(Array(2).fill(failed.id))
  })

  test('410 ends it, and it can be sent again by hand', async () => {
    const { url, deliveries } = await receiver([410])
    const billing = openBilling({ ...place(), tiers: limitedTo(2), alerts: { url, secret } })
    const given = new Promise((resolve) => billing.on('alertFailed', (failure) => resolve([failure])))
    await billing.customers.upsert({ id: 'customer-1', tier: 'limited' })
    await billing.usage.recordEvent(event())
    const [failure] = (await given) as [unknown]
    expect(await states(billing)).toEqual(['failed'])
    const { id, reason, nextAttemptAt } = await only(billing)
    expect(failure).toEqual({ id, reason })
    expect([reason, nextAttemptAt]).toEqual(['HTTP 410', null])
    expect(await billing.alerts.retry(id)).toBe(true)
    await until(() => states(billing), ['delivered'])
    expect(deliveries.map((delivery) => delivery.id)).toEqual([id, id])
    expect(await billing.alerts.retry(id)).toBe(false)
    expect(await billing.alerts.list({ customerId: 'customer-2' })).toEqual({ data: [], hasMore: false })
  })
})

test('over two servers, one of which is killed while it sends, each alert arrives', async () => {
  const dir = temporaryDirectory()
  const hanging = await receiver([], true)
  const clock = new ManualClock()
  const billing = openBilling({ dir, clock, tiers: limitedTo(10) })
  const key = await keyOf(billing, 'customer-1', 'limited')
  const alerts = { url: hanging.url, secret }
  const servers = [1, 2].map(() => start('server.cjs', { dir, alerts }))
  const ports = (await Promise.all(servers.map(({ next }) => next()))).map(Number)
  const answers = await Promise.all(ports.map((port) => callOften(port, '/api/execute', 10, { key })))
  expect(byStatus(answers.flat())).toEqual({ 200: 10, 429: 10 })
  await until(() => percents(hanging.deliveries), ['limit 100', 'limit 50', 'limit 80'])
  for (const server of servers) server.process.kill('SIGKILL')
  await Promise.all(servers.map(({ ended }) => ended))
  expect(await states(billing)).toEqual(Array(3).fill('sending'))

  const { url, deliveries } = await receiver()
  // The claims of the dead run out within half a minute.
  clock.advance(60_000)
  const heir = openBilling({ dir, clock, alerts: { url, secret } })
  await until(() => percents(deliveries), ['limit 100', 'limit 50', 'limit 80'])
  const ids = (of: Delivery[]): string[] => of.map(({ id }) => id).sort()
  expect(ids(deliveries)).toEqual(ids(hanging.deliveries))
  await until(() => states(heir), Array(3).fill('delivered'))
})

test('who has no receiver counts for those who have; without any, alerts are kept and never sent', async () => {
  const { url, deliveries } = await receiver()
  const dir = temporaryDirectory()
  const counting = openBilling({ dir, tiers: limitedTo(2) })
  await counting.customers.upsert({ id: 'customer-1', tier: 'limited' })
  await counting.usage.recordEvent(event())
  expect(await states(counting)).toEqual(['kept'])
  const sending = openBilling({ dir, alerts: { url, secret } })
  await sending.ready()
  await counting.usage.recordEvent(event())
  await until(() => percents(deliveries), ['limit 100', 'limit 80'])
  await until(() => states(sending), ['kept', 'delivered', 'delivered'])
  await openBilling({ dir, alerts: null }).ready()
  await counting.usage.recordEvent(event({ timestamp: Date.UTC(2020, 0, 1), units: 1 }))
  await until(() => states(sending), ['kept', 'delivered', 'delivered', 'kept'])
})

test('closing waits for no receiver', async () => {
  const { url, deliveries } = await receiver([], true)
  const dir = temporaryDirectory()
  const billing = openBilling({ dir, tiers: limitedTo(2), alerts: { url, secret } })
  await billing.customers.upsert({ id: 'customer-1', tier: 'limited' })
  await billing.usage.recordEvent(event())
  await until(() => percents(deliveries), ['limit 50'])
  await billing.close()
  expect(await only(openBilling({ dir }))).toMatchObject({
    state: 'pending',
    attempts: 0,
    reason: 'this Billing was closed meanwhile',
  })
})

test.each<[alerts: unknown, message: string]>([
  [{ url: 'ftp://user:pass@example.com', secret }, '`alerts.url`'],
  [{ url: '/alerts', secret }, '`alerts.url`'],
  [{ url: 'https://user:pass@example.com', secret }, '`alerts.url` must hold no user name'],
  [{ url: 'https://user@example.com', secret }, '`alerts.url` must hold no user name'],
  [{ url: 'https://example.com', secret: secret.slice(6) }, '`alerts.secret`'],
  [{ url: 'https://example.com', secret: 'whsec_c2hvcnQ=' }, '`alerts.secret`'],
  [{ url: 'https://example.com' }, '`alerts.secret`'],
  [{ url: 'https://example.com', secret, signingKey: 1 }, 'signingKey'],
  ['https://example.com', 'alerts'],
])('%j is refused, and nothing of it shown', (alerts, message) => {
  expect(() => openBilling({ ...PATIENT, alerts: alerts as never })).toThrow(
    expect.objectContaining({
      code: 'invalid_argument',
      message: expect.stringMatching(new RegExp(`^(?!.*(pass@|c2hvcnQ|${secret.slice(6, 20)})).*${message}`)),
    }),
  )
})
