import express, { type RequestHandler } from 'express'
import {
  Billing,
  type BillingError,
  type BillingOptions,
  type Catalog,
  CatalogError,
  ManualClock,
  type ThresholdReached,
} from 'weighbridge'
import { keyOf, openBilling, temporaryDirectory, totals } from './support/billing'
import { byStatus, call, callOften, serve } from './support/http'
import { sharedDatabase } from './support/postgres'

const now = Date.UTC(2026, 3, 10, 12)
const ok: RequestHandler = (_, res) => void res.json({ ok: true })

/** Of the first version; the second one lets the free tier do more, and asks more. */
function catalog(version = '2026-04', requests = 3, price = '0.001'): Catalog {
  return {
    id: 'public',
    version,
    currency: 'USD',
    meters: ['api_request', 'tokens'],
    features: ['export'],
    tiers: [
      {
        id: 'free',
        limits: [{ meter: 'api_request', per: 'month', units: requests }],
        included: [{ meter: 'tokens', units: 100, overage: 'block' }],
      },
      {
        id: 'professional',
        extends: 'free',
        priceId: `price_professional_${version}`,
        baseAmount: '99',
        features: ['export'],
        limits: [{ meter: 'api_request', per: 'month', units: null }],
        included: [{ meter: 'tokens', units: 0, overage: 'charge' }],
      },
    ],
    prices: [
      { id: 'request', meter: 'api_request', price: { model: 'per_unit', unitAmount: price } },
      {
        id: 'analysis',
        meter: 'api_request',
        route: 'POST /api/analyze/:kind',
        price: { model: 'per_unit', unitAmount: '0.05' },
      },
      {
        id: 'analysis for professionals',
        meter: 'api_request',
        tier: 'professional',
        route: 'POST /api/analyze/:kind',
        price: { model: 'per_unit', unitAmount: '0.04' },
      },
      {
        id: 'large',
        meter: 'api_request',
        dimensions: { model: 'large' },
        price: { model: 'per_unit', unitAmount: '0.5' },
      },
      {
        id: 'batch',
        meter: 'api_request',
        route: '/api/batch',
        price: { model: 'package', amount: '5', packageSize: '100' },
      },
      { id: 'tokens', meter: 'tokens', price: { model: 'per_unit', unitAmount: '0.00001' } },
      {
        id: 'large tokens',
        meter: 'tokens',
        dimensions: { model: 'large' },
        price: { model: 'per_unit', unitAmount: '0.00003' },
      },
    ],
    routes: [
      { route: '/api/export', requires: ['export'] },
      { route: '/api/funding-data/*path', requiredTier: 'professional' },
    ],
  }
}

const stores: [name: string, place: () => BillingOptions][] = [
  ['SQLite', () => ({ dir: temporaryDirectory() })],
  ['PostgreSQL', () => ({ ...sharedDatabase().options, dir: temporaryDirectory() })],
]

describe.each(stores)('a catalog in %s', (_, place) => {
  const open = (options: BillingOptions): Billing => openBilling({ clock: new ManualClock(now), ...options })

  /** What a customer was billed for, by endpoint. */
  const billed = async (billing: Billing, customerId: string): Promise<[string | undefined, number, string][]> => {
    const rows = await billing.usage.query({ customerId, from: now, to: now + 1, groupBy: ['endpoint'] })
    return rows.map(({ endpoint, units, cost }) => [endpoint, units, cost])
  }

  test('limits and prices are those of the version and the tier of whoever asks', async () => {
    const at = place()
    const first = open({ ...at, catalog: catalog() })
    const early = await keyOf(first, 'early', 'free')
    await first.close()

    const billing = open({ ...at, catalog: [catalog(), catalog('2026-05', 5, '0.002')] })
    const late = await keyOf(billing, 'late', 'free')
    const professional = await keyOf(billing, 'professional', 'professional')
    expect(await billing.customers.get('early')).toMatchObject({ tier: 'free', catalogVersion: '2026-04' })
    expect(await billing.customers.get('late')).toMatchObject({ tier: 'free', catalogVersion: '2026-05' })

    const port = await serve(express().use(billing.middleware()).use(ok))
    expect(byStatus(await callOften(port, '/anything', 20, { key: early }))).toEqual({ 200: 3, 429: 17 })
    expect(byStatus(await callOften(port, '/anything', 20, { key: late }))).toEqual({ 200: 5, 429: 15 })
    expect(byStatus(await callOften(port, '/anything', 20, { key: professional }))).toEqual({ 200: 20 })
    expect(await billed(billing, 'early')).toEqual([[undefined, 3, '0.003']])
    expect(await billed(billing, 'late')).toEqual([[undefined, 5, '0.01']])

    await billing.customers.upsert({ id: 'early', catalogVersion: '2026-05' })
    expect(byStatus(await callOften(port, '/anything', 20, { key: early }))).toEqual({ 200: 2, 429: 18 })
    expect(await billed(billing, 'early')).toEqual([[undefined, 5, '0.007']])
  })

  test('the most specific price applies: by route, method, dimensions and tier', async () => {
    const billing = open({ ...place(), catalog: { ...catalog(), tiers: catalog().tiers.slice().map(withoutLimits) } })
    const free = await keyOf(billing, 'free', 'free')
    const professional = await keyOf(billing, 'professional', 'professional')
    const dimensions = ({ headers }: { headers: Record<string, unknown> }): Record<string, string> =>
      headers['x-model'] === undefined ? {} : { model: String(headers['x-model']) }
    const port = await serve(express().use(billing.middleware({ dimensions })).use(ok))
    const large = { headers: { 'x-model': 'large' } }
    for (const key of [free, professional]) {
      expect(await call(port, '/API/Analyze/deeply/', { key, method: 'POST' })).toMatchObject({ status: 200 })
      expect(await call(port, '/api/analyze/deeply', { key })).toMatchObject({ status: 200 })
      expect(await call(port, '/elsewhere', { key, ...large })).toMatchObject({ status: 200 })
      expect(await call(port, '/api/batch', { key })).toMatchObject({ status: 200 })
    }
    expect(await billed(billing, 'free')).toEqual([
      [undefined, 2, '0.501'],
      ['/api/analyze/:kind', 1, '0.05'],
      ['/api/batch', 1, '5'],
    ])
    expect(await billed(billing, 'professional')).toEqual([
      [undefined, 2, '0.501'],
      ['/api/analyze/:kind', 1, '0.04'],
      ['/api/batch', 1, '5'],
    ])
  })

  test('routes ask for tiers and features', async () => {
    const billing = open({ ...place(), catalog: catalog() })
    const free = await keyOf(billing, 'free', 'free')
    const nobody = await keyOf(billing, 'nobody')
    const professional = await keyOf(billing, 'professional', 'professional')
    const port = await serve(express().use(billing.middleware()).use(ok))
    for (const key of [free, nobody]) {
      expect(await call(port, '/api/export', { key })).toMatchObject({
        status: 403,
        body: {
          error: 'Feature not included',
          message: 'This endpoint requires what the subscription does not have: export',
          requiredFeatures: ['export'],
        },
      })
      expect(await call(port, '/api/funding-data/2026/4', { key })).toMatchObject({
        status: 403,
        body: { error: 'Subscription tier too low', requiredTier: 'professional' },
      })
    }
    expect(await call(port, '/api/export', { key: professional })).toMatchObject({ status: 200 })
    expect(await call(port, '/api/funding-data/2026/4', { key: professional })).toMatchObject({ status: 200 })
    expect(await totals(billing, 'free')).toMatchObject({ units: 0 })

    const problems = await serve(
      express()
        .use(billing.middleware({ problemDetails: true }))
        .use(ok),
    )
    expect((await call(problems, '/api/export', { key: free })).body).toMatchObject({
      status: 403,
      code: 'feature_required',
      requiredFeatures: ['export'],
    })
    // With the tier comes the feature, at once where it was given.
    await billing.customers.upsert({ id: 'free', tier: 'professional' })
    expect(await call(port, '/api/export', { key: free })).toMatchObject({ status: 200 })
  })

  test("the catalog's meters are recorded, priced, limited and told", async () => {
    const billing = open({ ...place(), catalog: catalog() })
    await billing.customers.upsert({ id: 'free', tier: 'free' })
    await billing.customers.upsert({ id: 'professional', tier: 'professional' })
    const timestamp = now
    await billing.usage.recordEvent({ customerId: 'professional', eventType: 'tokens', units: 1000, timestamp })
    const metadata = { model: 'large', prompt: 7 }
    await billing.usage.recordEvent({
      customerId: 'professional',
      eventType: 'tokens',
      units: 1000,
      timestamp,
      metadata,
    })
    await billing.usage.recordEvent({ customerId: 'professional', eventType: 'tokens', timestamp, cost: '1.5' })
    const rows = await billing.usage.query({ from: now, to: now + 1, groupBy: ['eventType'] })
    expect(rows).toMatchObject([{ eventType: 'tokens', events: 3, units: 2001, cost: '1.54' }])

    const consume = (units: number, customerId = 'free') =>
      billing.usage.consume({ customerId, eventType: 'tokens', units })
    expect(await consume(90)).toMatchObject({ allowed: true, limit: 100, used: 90 })
    expect(await consume(11)).toMatchObject({ allowed: false, code: 'usage_limit_exceeded' })
    expect(await consume(10)).toMatchObject({ allowed: true, remaining: 0 })
    expect(await consume(1_000_000, 'professional')).toMatchObject({ allowed: true, limit: null })
    expect(await billing.usage.checkLimits('free', 'tokens')).toBe(false)
    expect(await billing.usage.getCustomerUsage('free')).toMatchObject({
      limits: { apiRequests: 3, agentExecutions: Infinity },
      meters: { tokens: { used: 100, limit: 100 } },
    })

    await expect(
      billing.usage.recordEvent({ customerId: 'free', eventType: 'token', timestamp, cost: 0 }),
    ).rejects.toMatchObject({
      code: 'invalid_argument',
      message: '`eventType` must be api_request, agent_execution, data_access or tokens, got "token"',
    })
    await expect(
      consume(1, 'free').then(() => billing.usage.consume({ customerId: 'free', eventType: 'pages' })),
    ).rejects.toMatchObject({ code: 'invalid_argument' })
  })

  test('soft limits never refuse, and are told once', async () => {
    const at = place()
    const soft = { meter: 'api_request', per: 'month' as const, units: 10, soft: true }
    const limits = [soft, { ...soft, units: 40, soft: false }]
    const tiers = [
      { id: 'free', limits },
      { id: 'professional', limits: [{ ...soft, meter: 'tokens' }] },
    ]
    const billings = [1, 2].map(() => open({ ...at, catalog: { ...catalog(), tiers, prices: [] } }))
    const [billing, other] = billings as [Billing, Billing]
    const told: ThresholdReached[] = []
    for (const each of billings) each.on('threshold', (reached) => told.push(reached))
    const key = await keyOf(billing, 'free', 'free')
    const ports = await Promise.all(billings.map((each) => serve(express().use(each.middleware()).use(ok))))
    const answers = await Promise.all(ports.map((port) => callOften(port, '/anything', 15, { key })))
    expect(byStatus(answers.flat())).toEqual({ 200: 30 })
    await billing.customers.upsert({ id: 'professional', tier: 'professional' })
    await other.usage.recordEvent({ customerId: 'professional', eventType: 'tokens', units: 9, timestamp: now })
    await Promise.all(billings.map((each) => each.close()))
    const found = told.map(({ customerId, of, percent }) => `${customerId} ${of} ${percent}`).sort()
    expect(found).toEqual([
      'free limit 50',
      'free soft_limit 100',
      'free soft_limit 50',
      'free soft_limit 80',
      'professional soft_limit 50',
      'professional soft_limit 80',
    ])
  })

  test('all processes on the store agree on it, and a version never changes', async () => {
    const at = place()
    const versions = [catalog(), catalog('2026-05', 5)]
    const billing = open({ ...at, catalog: versions })
    await billing.ready()
    const other = open(at)
    const key = await keyOf(other, 'free', 'free')
    expect(await other.customers.get('free')).toMatchObject({ catalogVersion: '2026-05' })
    const port = await serve(express().use(other.middleware()).use(ok))
    expect(byStatus(await callOften(port, '/anything', 20, { key }))).toEqual({ 200: 5, 429: 15 })

    await expect(open({ ...at, catalog: [catalog('2026-04', 4)] }).ready()).rejects.toMatchObject({
      code: 'invalid_catalog',
      message: expect.stringContaining('the version "2026-04" is in use with other contents'),
    })
    await expect(open({ ...at, tiers: [] }).ready()).rejects.toMatchObject({ code: 'invalid_catalog' })
    // Whoever gives only a new version takes nobody out of an old one.
    await open({ ...at, catalog: catalog('2026-06', 6) }).ready()
    await billing.customers.upsert({ id: 'new', tier: 'free' })
    expect(await billing.customers.get('new')).toMatchObject({ catalogVersion: '2026-06' })
    expect(await billing.customers.get('free')).toMatchObject({ catalogVersion: '2026-05' })
    await expect(billing.customers.upsert({ id: 'free', catalogVersion: '2026-6' })).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('did you mean "2026-06"?'),
    })
    await expect(billing.customers.upsert({ id: 'free', tier: 'fre' })).rejects.toMatchObject({ code: 'unknown_tier' })
    expect(await billing.customers.upsert({ id: 'free', catalogVersion: null })).toMatchObject({
      catalogVersion: '2026-06',
    })
    expect(await billing.customers.upsert({ id: 'free', tier: null })).toMatchObject({ catalogVersion: null })
  })

  test('explain names version, price, features and why', async () => {
    const billing = open({ ...place(), catalog: catalog() })
    await billing.customers.upsert({ id: 'professional', tier: 'professional' })
    await billing.customers.upsert({ id: 'free', tier: 'free' })
    const analysis = { method: 'POST', path: '/api/analyze/deeply' }
    expect(await billing.explain({ customerId: 'professional', ...analysis, units: 3 })).toMatchObject({
      allowed: true,
      price: {
        id: 'analysis for professionals',
        endpoint: '/api/analyze/:kind',
        pricePerRequest: '0.04',
        cost: '0.12',
        because: [
          '"analysis for professionals" is the price of the meter "api_request", the route "POST /api/analyze/:kind", the tier "professional"',
          'before "analysis": its tier is nearer to the customer\'s',
          'before "request": its route is more specific',
        ],
      },
      entitlements: { catalogVersion: '2026-04', features: ['export'], required: [] },
    })
    expect(
      await billing.explain({ customerId: 'free', method: 'GET', path: '/', dimensions: { model: 'large' } }),
    ).toMatchObject({ price: { id: 'large', endpoint: null, cost: '0.5' } })
    expect(await billing.explain({ customerId: 'free', method: 'GET', path: '/api/batch' })).toMatchObject({
      allowed: true,
      price: { id: 'batch', cost: '5', pricePerRequest: null },
      reason: expect.stringContaining('It costs 5'),
    })
    expect(await billing.explain({ customerId: 'free', method: 'GET', path: '/api/export' })).toMatchObject({
      allowed: false,
      code: 'feature_required',
      status: 403,
      reason: 'GET /api/export requires the features export; the customer has none.',
      entitlements: { features: [], required: ['export'] },
    })
  })
})

function withoutLimits(tier: Catalog['tiers'][number]): Catalog['tiers'][number] {
  const { limits: _, ...rest } = tier
  return rest
}

function thrown(operation: () => unknown): unknown {
  try {
    operation()
  } catch (error) {
    return error
  }
  return undefined
}

const mistakes = (operation: () => unknown): string[] =>
  (thrown(operation) as CatalogError).mistakes.map(({ place }) => place)
const codeOf = (operation: () => unknown): string => (thrown(operation) as BillingError).code

describe('what is no catalog', () => {
  test('is refused before the store is opened, with all places', () => {
    const broken = {
      ...catalog('2'),
      tiers: [{ id: 'free', extends: 'fre', limits: [{ meter: 'token', per: 'month', units: 1 }] }],
    }
    const open = (options: BillingOptions) => () => new Billing({ dir: temporaryDirectory(), ...options })
    expect(open({ catalog: [catalog('1'), broken as Catalog] })).toThrow(CatalogError)
    expect(mistakes(open({ catalog: [catalog('1'), broken as Catalog] }))).toEqual(
      expect.arrayContaining(['catalog[1].tiers[0].extends', 'catalog[1].tiers[0].limits[0].meter']),
    )
    expect(mistakes(open({ catalog: broken as Catalog }))).toContain('catalog.tiers[0].extends')
    for (const [options, code] of [
      [{ catalog: catalog(), tiers: [] }, 'invalid_argument'],
      [{ catalog: [] }, 'invalid_argument'],
      [{ catalog: [catalog('1'), catalog('1')] }, 'invalid_catalog'],
      [{ catalog: hourly() }, 'invalid_catalog'],
      [
        { catalog: catalog(), pricing: { '/a': { pricePerRequest: 1, requiredTier: 'enterprise' } } },
        'invalid_catalog',
      ],
    ] as [BillingOptions, string][]) {
      expect(codeOf(open(options))).toBe(code)
    }
  })

  /** With a soft limit of which nobody is told. */
  function hourly(): Catalog {
    const limits = [{ meter: 'api_request', per: 'hour' as const, units: 1, soft: true }]
    return { ...catalog(), tiers: [{ id: 'free', limits }, { id: 'professional' }] }
  }
})

test('a price list of its own goes before the prices of the catalog, and the rules of its routes hold', async () => {
  const pricing = { '/paid': { pricePerRequest: '0.7' }, '/api/export': { pricePerRequest: '2' } }
  const billing = openBilling({ clock: new ManualClock(now), catalog: catalog(), pricing })
  const key = await keyOf(billing, 'free', 'free')
  const port = await serve(express().use(billing.middleware()).use(ok))
  expect(await call(port, '/paid', { key })).toMatchObject({ status: 200 })
  expect(await call(port, '/elsewhere', { key })).toMatchObject({ status: 200 })
  expect(await call(port, '/api/export', { key })).toMatchObject({ status: 403 })
  expect(await totals(billing, 'free')).toEqual({ events: 1, units: 1, cost: '0.7' })
})

test('dimensions are texts, and none that a request has anyway', async () => {
  const failures: unknown[] = []
  const logger = { error: (error: unknown) => void failures.push(error) }
  const billing = openBilling({ clock: new ManualClock(now), catalog: catalog() })
  const key = await keyOf(billing, 'free', 'free')
  for (const dimensions of [{ model: 4 }, { method: 'GET' }, 'large', null]) {
    const app = express()
      .use(billing.middleware({ logger, dimensions: () => dimensions as never }))
      .use(ok)
    expect(await call(await serve(app), '/anything', { key })).toMatchObject({ status: 500 })
  }
  expect(failures).toHaveLength(4)
  for (const failure of failures) expect(failure).toMatchObject({ code: 'invalid_argument' })
  expect(await totals(billing, 'free')).toMatchObject({ events: 0 })
})
