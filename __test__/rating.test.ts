import express, { type RequestHandler } from 'express'
import { type Billing, type BillingOptions, type Catalog, ManualClock } from 'weighbridge'
import { keyOf, openBilling, temporaryDirectory, totals } from './support/billing'
import { byStatus, call, callOften, serve } from './support/http'
import { sharedDatabase } from './support/postgres'

const now = Date.UTC(2026, 3, 10, 12)
const ok: RequestHandler = (_, res) => void res.json({})

/** Requests cost 0.10 each, after the tenth 0.5 once and 0.02 each; the tier `plus` includes a thousand tokens. */
const catalog = (version = '1', packageAmount = '5'): Catalog => ({
  id: 'public',
  version,
  currency: 'USD',
  meters: ['api_request', 'tokens'],
  tiers: [
    { id: 'free' },
    { id: 'plus', baseAmount: '20', included: [{ meter: 'tokens', units: 1000, overage: 'charge' }] },
  ],
  prices: [
    {
      id: 'request',
      meter: 'api_request',
      price: {
        model: 'graduated',
        tiers: [
          { upTo: '10', unitAmount: '0.1' },
          { upTo: null, unitAmount: '0.02', flatAmount: '0.5' },
        ],
      },
    },
    {
      id: 'batch',
      meter: 'api_request',
      route: 'POST /api/batch/:kind',
      price: { model: 'package', amount: packageAmount, packageSize: '4' },
    },
    { id: 'token', meter: 'tokens', price: { model: 'per_unit', unitAmount: '0.001' } },
    {
      id: 'large token',
      meter: 'tokens',
      dimensions: { model: 'large' },
      price: { model: 'percentage', rate: '2', fixedAmount: '0.05', freeEvents: 1 },
    },
  ],
})

const stores: [name: string, place: () => BillingOptions][] = [
  ['SQLite', () => ({ dir: temporaryDirectory() })],
  ['PostgreSQL', () => ({ ...sharedDatabase().options, dir: temporaryDirectory() })],
]

const clock = new ManualClock(now)
const open = (options: BillingOptions): Billing => openBilling({ clock, catalog: catalog(), ...options })
const appOf = (billing: Billing): express.Express => express().use(billing.middleware()).use(ok)

describe.each(stores)('events rated in %s', (_, place) => {
  test('are the invoice to the last digit', async () => {
    const at = place()
    const billings = [open(at), open(at)]
    const [billing] = billings as [Billing, Billing]
    const key = await keyOf(billing, 'ann', 'plus')
    const ports = await Promise.all(billings.map((each) => serve(appOf(each))))
    const batch = { key, method: 'POST' }
    await Promise.all(
      ports.flatMap((port) => [
        callOften(port, '/anything', 7, { key }),
        ...Array.from({ length: 3 }, () => call(port, '/api/batch/nightly', batch)),
      ]),
    )
    await Promise.all(billings.map((each) => each.flush()))
    // 10 at 0.1, then 0.5 and 4 at 0.02; of 6 batches two packages.
    expect(await totals(billing, 'ann')).toEqual({ events: 20, units: 20, cost: '11.58' })

    const tokens = { customerId: 'ann', eventType: 'tokens', timestamp: now }
    await billing.usage.recordEvent({ ...tokens, units: 900 })
    const large = { ...tokens, metadata: { model: 'large' } }
    expect(
      await billing.usage.recordEvents([
        { ...large, units: 50 },
        { ...tokens, units: 100 },
      ]),
    ).toHaveLength(2)
    expect(
      await billing.usage.consume({ customerId: 'ann', eventType: 'tokens', units: 7, metadata: { model: 'large' } }),
    ).toMatchObject({ allowed: true })

    // The same price by the method in the endpoint, and by that in the metadata: the third package of four, and what fits into it.
    const later = { customerId: 'ann', eventType: 'api_request', timestamp: now }
    await billing.usage.recordEvent({ ...later, endpoint: 'POST /api/batch/weekly', units: 3 })
    await billing.usage.recordEvent({ ...later, endpoint: '/api/batch/weekly', metadata: { method: 'post' } })

    const preview = await billing.invoices.preview({ customerId: 'ann', catalog: catalog() })
    // 1,057 tokens, of which 1,000 are included, the first ones those of "token"; so 50 + 7 large ones at 2 %, and 0.05 once.
    expect(preview).toMatchObject({ recordedCost: '17.77', subtotal: '37.77', events: 26 })
    expect(await totals(billing, 'ann')).toMatchObject({ cost: '17.77' })
  })

  test('spend a cap exactly, in the middle of a tier, over two Billings', async () => {
    const at = place()
    const billings = [open(at), open(at)]
    const key = await keyOf(billings[0]!, 'ann', 'free')
    await billings[0]!.customers.upsert({ id: 'ann', spendCap: '1.60' })
    const ports = await Promise.all(billings.map((billing) => serve(appOf(billing))))
    const answers = (await Promise.all(ports.map((port) => callOften(port, '/anything', 15, { key })))).flat()
    // 1 for ten, 0.52 for the eleventh, and 0.02 for four more.
    expect(byStatus(answers)).toEqual({ 200: 15, 402: 15 })
    for (const { status, body } of answers) {
      if (status === 402) expect(body).toMatchObject({ spendCap: '1.6', spent: '1.6', cost: '0.02' })
    }
    expect(await totals(billings[1]!, 'ann')).toEqual({ events: 15, units: 15, cost: '1.6' })
  })

  test('are the same by their id, whatever they would cost later', async () => {
    const at = place()
    const first = open(at)
    const key = await keyOf(first, 'ann', 'free')
    const request = (billing: Billing) => async (): Promise<number> => {
      const headers = { 'idempotency-key': 'order-1' }
      return (await call(await serve(appOf(billing)), '/api/batch/nightly', { key, method: 'POST', headers })).status
    }
    const tokens = { customerId: 'ann', eventType: 'tokens', units: 10, timestamp: now, id: 'order-2' }
    expect(await request(first)()).toBe(200)
    expect(await first.usage.recordEvents([tokens])).toEqual([{ status: 'recorded' }])
    await first.close()

    const second = open({ ...at, catalog: [catalog(), catalog('2', '7')] })
    await second.customers.upsert({ id: 'ann', catalogVersion: '2', tier: 'plus' })
    expect(await request(second)()).toBe(200)
    expect(await second.usage.recordEvents([tokens])).toEqual([{ status: 'duplicate' }])
    expect(await totals(second, 'ann')).toEqual({ events: 2, units: 11, cost: '5.01' })
    const named = { ...tokens, id: 'order-3', cost: '1' }
    expect(await second.usage.recordEvents([named, { ...named, cost: '2' }])).toMatchObject([
      { status: 'recorded' },
      { status: 'rejected', code: 'idempotency_conflict' },
    ])
  })
})

test('what is held is judged by what it would cost, and settled at what it costs then', async () => {
  const billing = open({})
  const key = await keyOf(billing, 'ann', 'free')
  await billing.customers.upsert({ id: 'ann', spendCap: '1.52' })
  const app = express()
    .use(billing.middleware({ billOn: 'success' }))
    .use(ok)
  const port = await serve(app)
  expect(byStatus(await callOften(port, '/anything', 10, { key }))).toEqual({ 200: 10 })
  await billing.flush()
  expect(await call(port, '/anything', { key })).toMatchObject({ status: 200 })
  await billing.flush()
  expect(await call(port, '/anything', { key })).toMatchObject({ status: 402, body: { spent: '1.52', cost: '0.02' } })
  expect(await totals(billing, 'ann')).toEqual({ events: 11, units: 11, cost: '1.52' })
})

test('what several holds have set apart for a request is used up by it', async () => {
  const billing = open({})
  const key = await keyOf(billing, 'ann', 'free')
  await billing.customers.upsert({ id: 'ann', spendCap: '1.00' })
  const handler: RequestHandler = async (req, res) => {
    await req.billing!.hold(10)
    await req.billing!.settle({ units: 10 })
    res.json({})
  }
  const port = await serve(
    express()
      .use(billing.middleware({ billOn: 'success' }))
      .use(handler),
  )
  expect(await call(port, '/anything', { key })).toMatchObject({ status: 200 })
  await billing.flush()
  expect(await totals(billing, 'ann')).toMatchObject({ units: 10, cost: '1' })
  expect(await call(port, '/anything', { key })).toMatchObject({ status: 402, body: { spent: '1', cost: '0.52' } })
})

test('explain says what would be asked now, after what was used', async () => {
  const billing = open({})
  const key = await keyOf(billing, 'ann', 'free')
  const port = await serve(appOf(billing))
  await callOften(port, '/anything', 9, { key })
  const ask = { customerId: 'ann', method: 'GET', path: '/anything' }
  expect(await billing.explain({ ...ask, units: 3 })).toMatchObject({
    allowed: true,
    price: { id: 'request', cost: '0.64', pricePerRequest: null },
    reason: expect.stringContaining('It costs 0.64'),
  })
  await billing.customers.upsert({ id: 'ann', spendCap: '1.53' })
  expect(await billing.explain({ ...ask, units: 3 })).toMatchObject({
    allowed: false,
    code: 'spend_cap_exceeded',
    reason: 'It costs 0.64, which would pass the spend cap: 0.9 of 1.53 are spent.',
  })
  expect(await billing.explain({ ...ask, units: 2 })).toMatchObject({ allowed: true, price: { cost: '0.62' } })
})
