import Stripe from 'stripe'
import { BillingError, StripeService, subscriptionTiers, type SyncCatalogOptions } from 'weighbridge'
import { CatalogFake } from './support/stripeCatalog'

const secretKey = 'sk_test_4eC39HqLyjWDarjtT1zdp7dc'
const meters = [
  { eventName: 'api_requests', displayName: 'API requests', unitPrice: '0.0000000001' },
  { eventName: 'logins', aggregation: 'count' as const },
]

const serviceAt = (port: number): StripeService =>
  new StripeService({ secretKey, baseUrl: `http://127.0.0.1:${port}`, maxNetworkRetries: 0 })

const officialAt = (port: number): Stripe =>
  new Stripe(secretKey, { host: '127.0.0.1', port, protocol: 'http', telemetry: false, maxNetworkRetries: 0 })

const actions = (steps: { action: string }[]): string[] => [...new Set(steps.map(({ action }) => action))]

test('a dry run says what would be made, and makes nothing', async () => {
  const fake = await CatalogFake.start()
  const plan = await serviceAt(fake.port).syncCatalog({ meters, dryRun: true })
  expect(plan).toHaveLength(2 + 2 * 4)
  expect(actions(plan)).toEqual(['create'])
  expect(plan.slice(0, 4)).toEqual([
    { action: 'create', object: 'billing.meter', eventName: 'api_requests' },
    { action: 'create', object: 'billing.meter', eventName: 'logins' },
    {
      action: 'create',
      object: 'product',
      lookupKey: 'starter_monthly',
      tierId: 'starter',
      id: 'weighbridge_starter_monthly',
    },
    { action: 'create', object: 'price', lookupKey: 'starter_monthly', tierId: 'starter' },
  ])
  expect(fake.posts).toEqual([])
})

test('what is missing is made once, and the official package finds it', async () => {
  const fake = await CatalogFake.start()
  const service = serviceAt(fake.port)
  const made = await service.syncCatalog({ meters })
  expect(actions(made)).toEqual(['create'])
  expect(fake.posts).toHaveLength(10)

  const official = officialAt(fake.port)
  const { data: prices } = await official.prices.list({ lookup_keys: ['professional_monthly', 'api_requests'] })
  const { data: found } = await official.billing.meters.list({ status: 'active' })
  expect(prices).toMatchObject([
    { unit_amount: 9900, currency: 'usd', recurring: { interval: 'month', usage_type: 'licensed', meter: null } },
    { unit_amount: null, recurring: { usage_type: 'metered', meter: found[0]?.id } },
  ])
  expect(String(prices[1]?.unit_amount_decimal)).toBe('0.00000001')
  expect(found).toMatchObject([
    { event_name: 'api_requests', display_name: 'API requests', default_aggregation: { formula: 'sum' } },
    { event_name: 'logins', display_name: 'logins', default_aggregation: { formula: 'count' } },
  ])
  expect(await official.products.retrieve('weighbridge_starter_monthly')).toMatchObject({ name: 'Starter' })

  for (const options of [{ meters }, { meters, dryRun: true }]) {
    const kept = await service.syncCatalog(options)
    expect(kept).toEqual(made.map((step) => ({ ...step, action: 'keep' })))
  }
  expect(fake.posts).toHaveLength(10)
})

test('what broke off is completed', async () => {
  const fake = await CatalogFake.start()
  const service = serviceAt(fake.port)
  // Ten objects are missing: each time one is made before it breaks off, and the tenth time it does not.
  for (let made = 1; made < 10; made++) {
    fake.allowed = 1
    await expect(service.syncCatalog({ meters })).rejects.toMatchObject({ message: 'The test says no.' })
  }
  fake.allowed = 1
  await service.syncCatalog({ meters })
  expect(actions(await service.syncCatalog({ meters }))).toEqual(['keep'])
  expect([fake.meters.length, fake.products.length, fake.prices.length]).toEqual([2, 4, 4])
})

test('more meters and prices than fit one page are all found', async () => {
  const fake = await CatalogFake.start()
  const many = Array.from({ length: 120 }, (_, number) => ({ eventName: `event_${number}`, unitPrice: 1 }))
  await serviceAt(fake.port).syncCatalog({ tiers: [], meters: many })
  expect(actions(await serviceAt(fake.port).syncCatalog({ tiers: [], meters: many }))).toEqual(['keep'])
  expect(fake.meters).toHaveLength(120)
})

test.each<[string, (fake: CatalogFake) => void, SyncCatalogOptions, string]>([
  [
    'a price with another amount',
    () => {},
    { tiers: [{ ...subscriptionTiers[0]!, monthlyPrice: 39 }] },
    '2900 and not 3900',
  ],
  ['a price in another currency', () => {}, { currency: 'eur' }, 'is in usd and not in eur'],
  ['an archived price', (fake) => (fake.prices[0]!.active = false), {}, 'is archived'],
  ['a yearly price', (fake) => (fake.prices[0]!.recurring!.interval = 'year'), {}, 'not paid by the month'],
  ['a price of another meter', (fake) => (fake.prices[3]!.recurring!.meter = 'mtr_9'), { meters }, 'another meter'],
  [
    'a meter that counts otherwise',
    (fake) => (fake.meters[0]!.default_aggregation.formula = 'last'),
    { meters },
    'by last',
  ],
])('%s is a conflict, and nothing is made', async (_, change, options, says) => {
  const fake = await CatalogFake.start()
  const service = serviceAt(fake.port)
  await service.syncCatalog({ meters })
  change(fake)
  const before = fake.posts.length
  const tiers = [...(options.tiers ?? subscriptionTiers), { ...subscriptionTiers[0]!, id: 'another' }]
  const error: unknown = await service.syncCatalog({ ...options, tiers }).catch((error) => error)
  expect(error).toBeInstanceOf(BillingError)
  expect(error).toMatchObject({ code: 'stripe_catalog_conflict', message: expect.stringContaining(says) })
  expect(fake.posts).toHaveLength(before)
})

test.each<[string, unknown, string]>([
  ['an unknown option', { dry: true }, 'syncCatalog: unknown option "dry"'],
  ['tiers that are no array', { tiers: {} }, '`tiers`'],
  ['half a cent a month', { tiers: [{ ...subscriptionTiers[0], monthlyPrice: 0.005 }] }, 'tiers[0].monthlyPrice'],
  ['a lookup key with a space', { tiers: [{ ...subscriptionTiers[0], lookupKey: 'a b' }] }, '`lookupKey`'],
  ['one tier twice', { tiers: [subscriptionTiers[0], subscriptionTiers[0]] }, 'twice'],
  ['a misspelt field of a meter', { meters: [{ eventName: 'a', unitprice: 1 }] }, 'did you mean "unitPrice"'],
  ['an aggregation that Stripe lacks', { meters: [{ eventName: 'a', aggregation: 'max' }] }, 'meters[0].aggregation'],
  ['a currency that is none', { currency: 'gold' }, '`currency`'],
  ['a dry run that is a text', { dryRun: 'yes' }, '`dryRun`'],
])('%s is refused before Stripe is asked', async (_, options, says) => {
  const error: unknown = await serviceAt(1)
    .syncCatalog(options as never)
    .catch((error) => error)
  expect(error).toBeInstanceOf(BillingError)
  expect(error).toMatchObject({ code: 'invalid_argument', message: expect.stringContaining(says) })
})
