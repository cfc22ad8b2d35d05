import express, { type RequestHandler } from 'express'
import { type Billing, type BillingOptions, type Catalog, ManualClock, previewInvoice, round } from 'weighbridge'
import { keyOf, openBilling, temporaryDirectory } from './support/billing'
import { byStatus, call, callOften, serve } from './support/http'
import { sharedDatabase } from './support/postgres'

const now = Date.UTC(2026, 3, 10, 12)
const april = { start: Date.UTC(2026, 3, 1), end: Date.UTC(2026, 4, 1) }
const ok: RequestHandler = (_, res) => void res.json({ ok: true })

function catalog(version = '1', changes: Partial<Catalog> = {}): Catalog {
  return {
    id: 'public',
    version,
    currency: 'USD',
    meters: ['api_request', 'tokens'],
    tiers: [
      { id: 'free' },
      {
        id: 'pro',
        baseAmount: '49',
        minimumAmount: '60',
        included: [{ meter: 'tokens', units: 1_000, overage: 'charge' }],
      },
    ],
    prices: [
      {
        id: 'requests',
        meter: 'api_request',
        price: {
          model: 'graduated',
          tiers: [
            { upTo: '5', unitAmount: '0.1' },
            { upTo: null, unitAmount: '0.03' },
          ],
        },
      },
      { id: 'export', meter: 'api_request', route: 'POST /export', price: { model: 'per_unit', unitAmount: '0.5' } },
      { id: 'tokens', meter: 'tokens', price: { model: 'package', amount: '0.2', packageSize: '100' } },
    ],
    ...changes,
  }
}

const stores: [name: string, place: () => BillingOptions][] = [
  ['SQLite', () => ({ dir: temporaryDirectory() })],
  ['PostgreSQL', () => ({ ...sharedDatabase().options, dir: temporaryDirectory() })],
]

describe.each(stores)('the preview of an invoice in %s', (_, place) => {
  /** Seven requests, two exports and 1,250 tokens of a customer. */
  async function used(billing: Billing, customerId: string, tier: string): Promise<string> {
    const key = await keyOf(billing, customerId, tier)
    const port = await serve(express().use(billing.middleware()).use(ok))
    expect(byStatus(await callOften(port, '/search', 7, { key }))).toEqual({ 200: 7 })
    for (let time = 0; time < 2; time += 1) {
      expect((await call(port, '/export', { key, method: 'POST' })).status).toBe(200)
    }
    await billing.usage.recordEvent({ customerId, eventType: 'tokens', units: 1_250, timestamp: now })
    await billing.flush()
    return key
  }

  test('has what the customer used, to the last digit, and so do his events', async () => {
    const billing = openBilling({ ...place(), clock: new ManualClock(now), catalog: catalog() })
    await used(billing, 'ann', 'pro')
    const invoice = await billing.invoices.preview({ customerId: 'ann' })
    expect(invoice).toMatchObject({
      customerId: 'ann',
      catalog: { id: 'public', version: '1' },
      tierId: 'pro',
      currency: 'USD',
      period: april,
      meters: [
        { meter: 'api_request', used: '9', included: '0', overage: '9' },
        { meter: 'tokens', used: '1250', included: '1000', overage: '250' },
      ],
      events: 10,
      missingEvents: 0,
      unknownMeters: [],
      // 5 at 0.1, 2 at 0.03, 2 exports at 0.5, and 3 packages at 0.2.
      recordedCost: '2.16',
      subtotal: '60',
      total: '60',
      payable: '60.00',
    })
    const lines = invoice!.lines.map(({ type, price, units, amount }) => [type, price, units, amount])
    expect(lines).toEqual([
      ['base', null, '0', '49'],
      ['usage', 'requests', '5', '0.5'],
      ['usage', 'requests', '2', '0.06'],
      ['usage', 'export', '2', '1'],
      ['included', null, '1000', '0'],
      ['usage', 'tokens', '3', '0.6'],
      ['minimum', null, '0', '8.84'],
    ])
    const usage = await billing.usage.query({ customerId: 'ann', from: april.start, to: april.end })
    expect(usage).toMatchObject([{ units: 1_259, cost: '2.16' }])
    // What anybody can calculate.
    const given = previewInvoice({
      catalog: catalog(),
      tierId: 'pro',
      usage: [
        { meter: 'tokens', quantity: '1250' },
        { meter: 'api_request', method: 'POST', path: '/export', quantity: '2', events: '2' },
        { meter: 'api_request', path: '/search', quantity: 7, events: 7 },
      ],
    })
    expect({ lines: given.lines, total: given.total }).toEqual({ lines: invoice!.lines, total: invoice!.total })
  })

  test('takes off credits, and a share of the base amount for a part of the period', async () => {
    const billing = openBilling({ ...place(), clock: new ManualClock(now), catalog: catalog() })
    await used(billing, 'ann', 'pro')
    const held = { start: Date.UTC(2026, 3, 16), end: april.end }
    expect(await billing.invoices.preview({ customerId: 'ann', held, credits: ['1.5', '100'] })).toMatchObject({
      lines: expect.arrayContaining([expect.objectContaining({ type: 'base', amount: '24.5' })]),
      subtotal: '30',
      credits: [
        { amount: '1.5', applied: '1.5' },
        { amount: '100', applied: '28.5' },
      ],
      total: '0',
      payable: '0.00',
    })
  })

  test('is by the version that the customer has, by another catalog, or by another tier', async () => {
    const dearer = catalog('2', { tiers: [{ id: 'free' }, { id: 'pro', baseAmount: '490' }] })
    const billing = openBilling({ ...place(), clock: new ManualClock(now), catalog: [catalog(), dearer] })
    await billing.customers.upsert({ id: 'ann', tier: 'pro', catalogVersion: '1' })
    await used(billing, 'ann', 'pro')
    const total = async (question: object): Promise<string | undefined> =>
      (await billing.invoices.preview({ customerId: 'ann', ...question }))?.subtotal
    expect(await total({})).toBe('60')
    expect(await total({ tierId: 'free' })).toBe('4.16')
    const yen = catalog('1', {
      currency: 'JPY',
      tiers: [{ id: 'pro' }],
      prices: [{ id: 'all', meter: 'api_request', price: { model: 'per_unit', unitAmount: '1.5' } }],
    })
    expect(await billing.invoices.preview({ customerId: 'ann', catalog: yen })).toMatchObject({
      currency: 'JPY',
      total: '13.5',
      payable: round('13.5', 'JPY'),
    })
    expect(await billing.invoices.preview({ customerId: 'ann', at: april.end })).toMatchObject({
      period: { start: april.end },
      events: 0,
      total: '60',
    })
    expect(await billing.invoices.preview({ customerId: 'nobody' })).toBeNull()
  })
})

test('a period has an anchor, and its end is not in it', async () => {
  const clock = new ManualClock(now)
  const billing = openBilling({ clock, catalog: catalog() })
  await billing.customers.upsert({ id: 'ann', tier: 'free', billingCycleAnchor: Date.UTC(2026, 2, 31, 6) })
  const start = Date.UTC(2026, 2, 31, 6)
  const end = Date.UTC(2026, 3, 30, 6)
  for (const timestamp of [start - 1, start, end - 1, end]) {
    await billing.usage.recordEvent({ customerId: 'ann', eventType: 'tokens', units: 1, timestamp })
  }
  const preview = (at: number) => billing.invoices.preview({ customerId: 'ann', at })
  expect(await preview(now)).toMatchObject({ period: { start, end }, events: 2, total: '0.2', recordedCost: '0.2' })
  expect(await preview(start - 1)).toMatchObject({ events: 1, total: '0.2' })
  expect(await preview(end)).toMatchObject({ period: { start: end }, events: 1, total: '0.2' })
})

test.each([
  [{ customerId: 'ann' }, 'invalid_catalog', '`catalog`'],
  [{ customerId: 'ann', catalog: catalog() }, 'unknown_tier', 'tierId'],
  [{ customerId: 'ann', catalog: catalog(), tierId: 'por' }, 'unknown_tier', 'pro'],
  [{ customerId: 'ann', catalog: catalog(), tierId: 'pro', credits: ['-1'] }, 'invalid_argument', 'credits'],
  [
    { customerId: 'ann', catalog: catalog(), tierId: 'pro', held: { start: 0, end: april.end } },
    'invalid_argument',
    'period',
  ],
  [{ customerId: 'ann', catalog: catalog(), teirId: 'pro' }, 'invalid_argument', 'teirId'],
])('%j is refused: %s', async (question, code, message) => {
  const billing = openBilling({ clock: new ManualClock(now) })
  await billing.customers.upsert({ id: 'ann' })
  await expect(billing.invoices.preview(question as never)).rejects.toMatchObject({
    code,
    message: expect.stringContaining(message),
  })
})
