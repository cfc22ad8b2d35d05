import express from 'express'
import { type Billing, BillingError, type Explanation, ManualClock, type Question } from 'weighbridge'
import { contents, keyOf, limitedTo, openBilling, temporaryDirectory, totals } from './support/billing'
import { rows } from './support/database'
import { call, serve } from './support/http'
import { until } from './support/until'

const now = Date.UTC(2026, 3, 10, 12)
const [periodStart, periodEnd] = [Date.UTC(2026, 3, 1), Date.UTC(2026, 4, 1)]
const limit = 1_000
const request = { method: 'POST', path: '/api/execute' }

const open = (dir: string = temporaryDirectory()): Billing =>
  openBilling({ dir, clock: new ManualClock(now), tiers: limitedTo(limit) })

const consume = (billing: Billing, units = 1) =>
  billing.usage.consume({ customerId: 'customer-1', eventType: 'api_request', units })

describe('explain() by key', () => {
  test('a request that would be counted', async () => {
    const billing = open()
    const { key: secret, ...key } = await billing.keys.create({ customerId: 'customer-1' })
    const customer = await billing.customers.upsert({ id: 'customer-1', tier: 'limited' })
    const explanation = await billing.explain({ key: secret, ...request })
    expect(explanation).toEqual<Explanation>({
      allowed: true,
      code: 'recorded',
      status: 200,
      reason: 'It costs 0.1; 1000 of 1000 are left before it.',
      key,
      customer,
      price: { endpoint: '/api/execute', pricePerRequest: '0.1', cost: '0.1', requiredTier: null },
      quota: {
        eventType: 'api_request',
        window: 'period',
        periodStart,
        periodEnd,
        limit,
        used: 0,
        remaining: limit,
        heldHere: 0,
        leasedHere: 0,
        leasedElsewhere: 0,
      },
      spending: null,
      credit: null,
    })
  })

  test('a key that was mistyped, or that nobody has, says nothing of anybody', async () => {
    const billing = open()
    const key = await keyOf(billing, 'customer-1')
    const unknown = {
      allowed: false,
      code: 'invalid_key',
      status: 401,
      key: null,
      customer: null,
      price: null,
      quota: null,
      spending: null,
      credit: null,
    }
    const mistyped = key.slice(0, -1) + (key.endsWith('0') ? '1' : '0')
    expect(await billing.explain({ key: mistyped, ...request })).toEqual({
      ...unknown,
      reason: expect.stringContaining('mistyped'),
    })
    const reason = 'No customer has this key.'
    expect(await billing.explain({ key: 'somebody-elses-key', ...request })).toEqual({ ...unknown, reason })
  })

  test('a revoked and an expired key are told apart, and whose they are', async () => {
    const clock = new ManualClock(now)
    const billing = openBilling({ clock })
    const revoked = await billing.keys.create({ customerId: 'customer-1' })
    await billing.keys.revoke(revoked.id)
    const expired = await billing.keys.create({ customerId: 'customer-1', expiresAt: now + 1 })
    expect((await billing.explain({ key: expired.key, ...request })).code).toBe('recorded')
    clock.advance(1)
    for (const [{ key, id }, reason] of [
      [revoked, 'The key was revoked.'],
      [expired, 'The key has expired.'],
    ] as const) {
      expect(await billing.explain({ key, ...request })).toMatchObject({
        allowed: false,
        code: 'invalid_key',
        status: 401,
        reason,
        key: { id, customerId: 'customer-1' },
        customer: { id: 'customer-1' },
        price: { endpoint: '/api/execute' },
      })
    }
  })

  test('as the middleware then decides', async () => {
    const billing = open()
    const port = await serve(express().use(billing.middleware(), (_, res) => void res.end()))
    const keys = {
      limited: await keyOf(billing, 'customer-1', 'limited'),
      professional: await keyOf(billing, 'customer-2', 'professional'),
      suspended: await keyOf(billing, 'customer-3'),
      unknown: 'nobodys-key',
    }
    await billing.customers.upsert({ id: 'customer-3', suspended: true })
    for (const key of Object.values(keys)) {
      for (const path of ['/api/execute', '/api/funding-data', '/api/none', '/API/Execute/']) {
        const { status } = await billing.explain({ key, method: 'GET', path: `${path}?query#fragment` })
        expect([path, (await call(port, path, { key })).status]).toEqual([path, status])
      }
    }
  })
})

describe('explain() by customer', () => {
  const asked = (billing: Billing, question: Partial<Question> = {}): Promise<Explanation> =>
    billing.explain({ customerId: 'customer-1', ...request, ...question })

  test('a suspended customer', async () => {
    const billing = open()
    await billing.customers.upsert({ id: 'customer-1', suspended: true })
    expect(await asked(billing)).toMatchObject({
      allowed: false,
      code: 'customer_suspended',
      status: 403,
      reason: 'The customer is suspended.',
      key: null,
      customer: { id: 'customer-1', suspended: true },
    })
  })

  test('a tier that is too low', async () => {
    const billing = open()
    await billing.customers.upsert({ id: 'customer-1', tier: 'limited' })
    expect(await asked(billing, { path: '/api/funding-data' })).toMatchObject({
      allowed: false,
      code: 'tier_required',
      status: 403,
      reason: 'POST /api/funding-data requires the tier "professional" or a higher one.',
      price: { requiredTier: 'professional', cost: '0.01' },
    })
    await billing.customers.upsert({ id: 'customer-1', tier: 'professional' })
    expect(await asked(billing, { path: '/api/funding-data' })).toMatchObject({ allowed: true, code: 'recorded' })
  })

  test('a path without a price', async () => {
    const billing = open()
    expect(await asked(billing, { path: '/api/none' })).toMatchObject({
      allowed: true,
      code: 'unpriced',
      status: 200,
      reason: 'POST /api/none has no price.',
      price: null,
    })
  })

  test('units, up to the last one and beyond', async () => {
    const billing = open()
    await billing.customers.upsert({ id: 'customer-1', tier: 'limited' })
    await consume(billing, 990)
    expect(await asked(billing, { units: 10 })).toMatchObject({
      code: 'recorded',
      reason: 'It costs 1; 10 of 1000 are left before it.',
      price: { pricePerRequest: '0.1', cost: '1' },
      quota: { used: 990, remaining: 10 },
    })
    expect(await asked(billing, { units: 11 })).toMatchObject({
      allowed: false,
      code: 'usage_limit_exceeded',
      status: 429,
      reason: '11 more would pass the limit: 990 of 1000 are used.',
      price: { cost: '1.1' },
    })
    await consume(billing, 10)
    expect(await asked(billing)).toMatchObject({ code: 'usage_limit_exceeded', quota: { used: 1000, remaining: 0 } })
  })

  test('what requests hold whose end is not known yet', async () => {
    const billing = open()
    await billing.customers.upsert({ id: 'customer-1', tier: 'limited' })
    const { key } = await billing.keys.create({ customerId: 'customer-1' })
    const app = express().use(billing.middleware({ billOn: 'success', units: () => 990 }), async (_, res) => {
      res.json(await asked(billing, { units: 11 }))
    })
    const { body } = await call(await serve(app), '/api/execute', { key })
    expect(body).toMatchObject({
      code: 'usage_limit_exceeded',
      reason: '11 more would pass the limit: 0 of 1000 are used, 990 are held.',
      quota: { used: 0, heldHere: 990, remaining: 10 },
    })
  })

  test('a customer without a limit', async () => {
    const billing = openBilling({ tiers: limitedTo(Infinity) })
    await billing.customers.upsert({ id: 'customer-1', tier: 'limited' })
    expect(await asked(billing, { units: 1_000_000 })).toMatchObject({
      code: 'recorded',
      reason: 'It costs 100000; there is no limit.',
      quota: { limit: null, remaining: null },
    })
  })

  test('a customer never seen is not made by asking', async () => {
    const billing = open()
    expect(await asked(billing)).toMatchObject({ allowed: true, customer: { id: 'customer-1', tier: null } })
    expect(await billing.customers.get('customer-1')).toBeNull()
  })

  test('what is leased here and elsewhere', async () => {
    const dir = temporaryDirectory()
    const [here, there] = [open(dir), open(dir)]
    await here.customers.upsert({ id: 'customer-1', tier: 'limited' })
    await here.usage.consume({ customerId: 'customer-1', eventType: 'api_request' })
    const quota = (await asked(here)).quota
    expect(quota).toMatchObject({ used: 1, remaining: 999, leasedElsewhere: 0, leasedHere: expect.any(Number) })
    const leased = quota?.leasedHere ?? 0
    expect(leased).toBeGreaterThan(0)
    expect((await asked(there)).quota).toMatchObject({ used: 1, leasedHere: 0, leasedElsewhere: leased })
    await there.usage.consume({ customerId: 'customer-1', eventType: 'api_request' })
    await there.flush()
    const both = (await asked(here)).quota
    expect(both).toMatchObject({ used: 2, leasedHere: leased })
    expect(both?.leasedElsewhere).toBeGreaterThan(0)
    // What another one has leased and not used does not refuse anything.
    expect(await asked(here, { units: 998 })).toMatchObject({ allowed: true })
    expect(await asked(here, { units: 999 })).toMatchObject({ allowed: false })
    await here.close()
    await until(async () => (await asked(there)).quota?.leasedElsewhere, 0)
  })

  test('changes nothing', async () => {
    const dir = temporaryDirectory()
    const billing = open(dir)
    const key = await keyOf(billing, 'customer-1', 'limited')
    await consume(billing)
    await billing.flush()
    const names = (await rows(dir, "SELECT name FROM sqlite_schema WHERE type = 'table'")).map(({ name }) => name)
    expect(names).toEqual(expect.arrayContaining(['events', 'leases', 'lease_recalls']))
    const everything = () => Promise.all(names.map((name) => rows(dir, `SELECT * FROM ${name}`)))
    const before = [await contents(billing), await everything()]
    const questions: Question[] = [
      { key, ...request },
      { key, ...request, units: 5_000 },
      { key: 'nobodys-key', ...request },
      { customerId: 'customer-1', ...request },
      { customerId: 'nobody', ...request },
    ]
    for (const question of questions) await billing.explain(question)
    expect([await contents(billing), await everything()]).toEqual(before)
    expect((await totals(billing)).units).toBe(1)
  })
})

test.each<[string, Record<string, unknown>]>([
  ['neither a key nor a customer', request],
  ['both a key and a customer', { key: 'key', customerId: 'customer-1', ...request }],
  ['no method', { customerId: 'customer-1', path: '/api/execute' }],
  ['no path', { customerId: 'customer-1', method: 'GET' }],
  ['no units', { customerId: 'customer-1', ...request, units: 0 }],
  ['half a unit', { customerId: 'customer-1', ...request, units: 0.5 }],
  ['units that are text', { customerId: 'customer-1', ...request, units: '1' }],
  ['a key that is no text', { key: 1, ...request }],
  ['an empty customer', { customerId: '', ...request }],
  ['an unknown option', { customer: 'customer-1', ...request }],
])('explain() with %s is refused', async (_, question) => {
  const refused = open().explain(question as unknown as Question)
  await expect(refused).rejects.toBeInstanceOf(BillingError)
  await expect(refused).rejects.toMatchObject({ code: 'invalid_argument' })
})

test('explain() after close() is refused', async () => {
  const billing = open()
  await billing.close()
  await expect(billing.explain({ customerId: 'customer-1', ...request })).rejects.toMatchObject({ code: 'closed' })
})
