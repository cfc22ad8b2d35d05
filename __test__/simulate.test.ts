import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import {
  type Billing,
  type BillingOptions,
  type Catalog,
  CatalogError,
  ManualClock,
  simulateAccessLog,
} from 'weighbridge'
import { openBilling, temporaryDirectory } from './support/billing'
import { command } from './support/command'
import { sharedDatabase } from './support/postgres'

const now = Date.UTC(2026, 3, 10, 12)
const april = { from: Date.UTC(2026, 3, 1), to: Date.UTC(2026, 4, 1) }

/** So much a request, and a base amount of the tier `pro`. */
function catalog(unitAmount: string, baseAmount = '0', tiers: Catalog['tiers'] = [{ id: 'free' }]): Catalog {
  return {
    id: 'simulated',
    version: '1',
    currency: 'USD',
    meters: ['api_request'],
    tiers: [...tiers, { id: 'pro', baseAmount }],
    prices: [
      { id: 'requests', meter: 'api_request', price: { model: 'per_unit', unitAmount } },
      { id: 'heavy', meter: 'api_request', route: 'POST /heavy/:id', price: { model: 'per_unit', unitAmount: '1' } },
    ],
  }
}

const stores: [name: string, place: () => BillingOptions][] = [
  ['SQLite', () => ({ dir: temporaryDirectory() })],
  ['PostgreSQL', () => ({ ...sharedDatabase().options, dir: temporaryDirectory() })],
]

describe.each(stores)('what recorded usage would cost in %s', (_, place) => {
  /** `ann` is in the tier pro, `bob` in none, and `eve` in one that only she has. */
  async function recorded(): Promise<Billing> {
    const billing = openBilling({
      ...place(),
      clock: new ManualClock(now),
      catalog: catalog('0.1', '9', [{ id: 'old' }]),
    })
    await billing.customers.upsert({ id: 'ann', tier: 'pro' })
    await billing.customers.upsert({ id: 'eve', tier: 'old' })
    const event = (customerId: string, units: number, timestamp = now, endpoint = '/light') =>
      ({ customerId, eventType: 'api_request', units, timestamp, endpoint }) as const
    await billing.usage.recordEvents([
      event('ann', 10),
      event('ann', 2, now, 'POST /heavy/7'),
      event('ann', 100, april.from - 1),
      event('bob', 5, april.from),
      event('bob', 7, april.to),
      event('eve', 3, april.to - 1),
    ])
    return billing
  }

  test('is added up by customer, from the first instant up to the last', async () => {
    const billing = await recorded()
    const tiers = { old: 'pro' }
    const answer = await billing.simulate({ ...april, catalog: catalog('0.2'), tiers, customers: { bob: 'free' } })
    expect(answer).toEqual({
      currency: 'USD',
      events: 4,
      unpricedEvents: 0,
      missingEvents: 0,
      // 1 and 2 of ann, 0.5 of bob, 0.3 of eve.
      oldTotal: '3.8',
      newTotal: '5.6',
      difference: '1.8',
      winners: { customers: 0, amount: '0' },
      losers: { customers: 3, amount: '1.8' },
      customerCount: 3,
      customers: [
        { customerId: 'ann', tierId: 'pro', periods: 1, events: 2, oldTotal: '3', newTotal: '4', difference: '1' },
        { customerId: 'bob', tierId: 'free', periods: 1, events: 1, oldTotal: '0.5', newTotal: '1', difference: '0.5' },
        {
          customerId: 'eve',
          tierId: 'pro',
          periods: 1,
          events: 1,
          oldTotal: '0.3',
          newTotal: '0.6',
          difference: '0.3',
        },
      ],
      unassignedCount: 0,
      unassigned: [],
    })
  })

  test('is compared with what another catalog would have brought', async () => {
    const billing = await recorded()
    const baseline = { catalog: catalog('0.5', '20'), tierId: 'pro' }
    const answer = await billing.simulate({
      ...april,
      catalog: catalog('0.5', '10'),
      tierId: 'pro',
      baseline,
      limit: 1,
    })
    expect(answer).toMatchObject({
      oldTotal: '71',
      newTotal: '41',
      difference: '-30',
      winners: { customers: 3, amount: '30' },
      losers: { customers: 0 },
      customerCount: 3,
    })
    expect(answer.customers).toHaveLength(1)
  })

  test('tells of customers for whom nobody has named a tier', async () => {
    const billing = await recorded()
    expect(await billing.simulate({ ...april, catalog: catalog('0.2') })).toMatchObject({
      events: 2,
      customerCount: 1,
      unassignedCount: 2,
      unassigned: [
        { customerId: 'bob', tier: null, lacking: 'catalog', events: 1, recordedCost: '0.5' },
        { customerId: 'eve', tier: 'old', lacking: 'catalog', events: 1, recordedCost: '0.3' },
      ],
    })
  })
})

test('a catalog with mistakes, a tier that is none and a span that ends before it begins are refused', async () => {
  const billing = openBilling()
  const simulation = (question: object) => billing.simulate({ ...april, catalog: catalog('1'), ...question })
  await expect(simulation({ catalog: { ...catalog('1'), tiers: 'none' } })).rejects.toThrow(CatalogError)
  await expect(simulation({ tierId: 'por' })).rejects.toMatchObject({ code: 'unknown_tier' })
  await expect(simulation({ customers: { ann: 'por' } })).rejects.toMatchObject({ code: 'unknown_tier' })
  await expect(simulation({ to: april.from - 1 })).rejects.toMatchObject({ code: 'invalid_argument' })
  await expect(simulation({ form: 1 })).rejects.toMatchObject({ code: 'invalid_argument' })
})

const COMMON = [
  '192.0.2.1 - ann [10/Apr/2026:12:00:00 +0000] "GET /light HTTP/1.1" 200 512',
  '192.0.2.1 - ann [10/Apr/2026:14:00:00 +0200] "POST /heavy/7?x=1 HTTP/1.1" 500 -',
  '192.0.2.2 - - [30/Apr/2026:23:59:59 -0100] "GET /light HTTP/1.1" 200 1',
  '192.0.2.2 - - [10/Apr/2026:12:00:00 +0000] "GET /light HTTP/1.1" 429 1',
  'nonsense',
]
const COMBINED = COMMON.map((line) => (line === 'nonsense' ? line : `${line} "-" "curl/8.0"`))
const JSON_LINES = [
  { time: '2026-04-10T12:00:00Z', user: 'ann', method: 'GET', path: '/light', status: 200 },
  { timestamp: now, user: 'ann', method: 'POST', url: '/heavy/7?x=1', status: '500' },
  { time_iso8601: '2026-04-30T23:59:59-01:00', remote_addr: '192.0.2.2', method: 'GET', uri: '/light', status: 200 },
  { time: '2026-04-10T12:00:00Z', remote_addr: '192.0.2.2', method: 'GET', uri: '/light', status: 429 },
  'nonsense',
].map((line) => JSON.stringify(line))

function log(lines: string[], name = 'access.log', compress = false): string {
  const file = join(temporaryDirectory(), name)
  const text = `${lines.join('\n')}\n`
  writeFileSync(file, compress ? gzipSync(text) : text)
  return file
}

describe.each([
  ['Common Log Format', COMMON, false],
  ['Combined Log Format', COMBINED, false],
  ['JSON lines', JSON_LINES, false],
  ['Combined Log Format by gzip', COMBINED, true],
])('an access log: %s', (_, lines, compress) => {
  test('tells what its requests would cost', async () => {
    const file = log(lines, 'access.log', compress)
    const answer = await simulateAccessLog({ file, catalog: catalog('0.25', '9'), tierId: 'pro' })
    expect(answer).toMatchObject({
      lines: 5,
      unbilledLines: 1,
      badLines: 1,
      firstBadLines: [{ line: 5 }],
      events: 3,
      oldTotal: null,
      // The second customer's request was made in May, in UTC.
      newTotal: '19.5',
      customers: [
        { customerId: 'ann', tierId: 'pro', periods: 1, events: 2, newTotal: '10.25' },
        { customerId: '192.0.2.2', tierId: 'pro', periods: 1, events: 1, newTotal: '9.25' },
      ],
    })
    const success = await simulateAccessLog({
      file,
      catalog: catalog('0.25'),
      tierId: 'pro',
      billOn: 'success',
      ...april,
    })
    expect(success).toMatchObject({ events: 1, newTotal: '0.25' })
  })
})

describe('weighbridge simulate', () => {
  const files = (): [log: string, catalog: string] => {
    const directory = temporaryDirectory()
    writeFileSync(join(directory, 'catalog.json'), JSON.stringify(catalog('0.25', '9')))
    return [log(COMMON), join(directory, 'catalog.json')]
  }

  test('prints sums and customers, or the answer as JSON', async () => {
    const [file, prices] = files()
    const told = await command(['simulate', file, '--catalog', prices, '--tier', 'pro']).ended
    expect(told).toMatchObject({ code: 0, errors: '' })
    expect(told.output).toMatch(/by the catalog, USD +19\.5\n/)
    expect(told.output).toMatch(/\nann +pro +2 +10\.25\n/)
    expect(told.output).toContain('line 5 ')
    const json = await command(['simulate', file, '--catalog', prices, '--tier', 'pro', '--json']).ended
    expect(JSON.parse(json.output)).toEqual(
      await simulateAccessLog({ file, catalog: catalog('0.25', '9'), tierId: 'pro', limit: 20 }),
    )
  })

  test('ends with 1 where nothing is told and 2 for a wrong call', async () => {
    const [file, prices] = files()
    const code = async (...args: string[]): Promise<number | null> => (await command(['simulate', ...args]).ended).code
    expect(await code(log(['nonsense']), '--catalog', prices)).toBe(1)
    expect(await code(file, '--catalog', prices, '--tier', 'por')).toBe(1)
    expect(await code(join(temporaryDirectory(), 'missing.log'), '--catalog', prices)).toBe(2)
    expect(await code(file)).toBe(2)
    expect(await code(file, '--catalog', prices, '--teir', 'pro')).toBe(2)
    expect(await code('--help')).toBe(0)
  })
})
