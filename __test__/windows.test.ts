import express, { type RequestHandler } from 'express'
import { type Billing, type BillingOptions, type Catalog, ManualClock } from 'weighbridge'
import { keyOf, openBilling, temporaryDirectory, totals } from './support/billing'
import { byStatus, call, callOften, serve } from './support/http'
import { sharedDatabase } from './support/postgres'

const SECOND = 1_000
const HOUR = 3_600 * SECOND
const now = Date.UTC(2026, 3, 10, 12)
const ok: RequestHandler = (_, res) => void res.json({ ok: true })

type Limits = NonNullable<Catalog['tiers'][number]['limits']>

function catalog(limits: Limits): Catalog {
  return {
    id: 'public',
    version: '1',
    currency: 'USD',
    meters: ['api_request'],
    tiers: [{ id: 'free', limits }],
    prices: [{ id: 'request', meter: 'api_request', price: { model: 'per_unit', unitAmount: '0.01' } }],
  }
}

const limit = (per: Limits[number]['per'], units: number): Limits[number] => ({ meter: 'api_request', per, units })

const stores: [name: string, place: () => BillingOptions][] = [
  ['SQLite', () => ({ dir: temporaryDirectory() })],
  ['PostgreSQL', () => ({ ...sharedDatabase().options, dir: temporaryDirectory() })],
]

const appOf = (billing: Billing) => express().use(billing.middleware()).use(ok)

describe.each(stores)('limits of windows in %s', (_, place) => {
  test('a day, an hour and the last minute are each held exactly over two Billings', async () => {
    const clock = new ManualClock(now)
    const options = {
      ...place(),
      clock,
      catalog: catalog([limit('day', 60), limit('hour', 50), limit({ slidingSeconds: 60 }, 20)]),
    }
    const all = [openBilling(options), openBilling(options)]
    const key = await keyOf(all[0]!, 'customer-1', 'free')
    const ports = await Promise.all(all.map((billing) => serve(appOf(billing))))
    const passed = async (): Promise<number> => {
      const answers = await Promise.all(ports.map((port) => callOften(port, '/api', 40, { key })))
      expect(answers.flat().every(({ status }) => status === 200 || status === 429)).toBe(true)
      return byStatus(answers.flat())[200] ?? 0
    }
    expect(await passed()).toBe(20)
    clock.set(now + 62 * SECOND)
    expect(await passed()).toBe(20)
    clock.set(now + 124 * SECOND)
    expect(await passed()).toBe(10)
    clock.set(now + HOUR)
    expect(await passed()).toBe(10)
    clock.set(now + 2 * HOUR)
    expect(await passed()).toBe(0)
    await Promise.all(all.map((billing) => billing.close()))
    expect(await totals(openBilling({ ...options, catalog: undefined }))).toMatchObject({ units: 60, cost: '0.6' })
  })

  test('429 tells the window that is full, and when it is not any more', async () => {
    const clock = new ManualClock(now)
    const billing = openBilling({ ...place(), clock, catalog: catalog([limit('month', 5), limit('hour', 1)]) })
    const key = await keyOf(billing, 'customer-1', 'free')
    const port = await serve(appOf(billing))
    expect((await call(port, '/api', { key })).headers['ratelimit-policy']).toContain('q=5')
    const refused = await call(port, '/api', { key })
    expect([refused.status, refused.headers['retry-after'], refused.headers['ratelimit-policy']]).toEqual([
      429,
      '3600',
      '"api_request";q=1;w=3600',
    ])
    expect(refused.body).toEqual({
      error: 'Usage limit exceeded',
      message: 'Upgrade your subscription for higher limits',
    })
    expect(await billing.explain({ key, method: 'GET', path: '/api' })).toMatchObject({
      allowed: false,
      code: 'usage_limit_exceeded',
      reason: '1 more would pass the limit of the hour: 1 of 1 are used.',
      quota: { window: 'hour', limit: 1, used: 1, periodStart: now, periodEnd: now + HOUR },
    })
    clock.set(now + HOUR)
    expect((await call(port, '/api', { key })).status).toBe(200)
    expect(await billing.usage.consume({ customerId: 'customer-1', eventType: 'api_request' })).toMatchObject({
      allowed: false,
      code: 'usage_limit_exceeded',
    })
  })

  test('what was admitted counts against the window after the Billing that did so was closed', async () => {
    const clock = new ManualClock(now)
    const options = { ...place(), clock, catalog: catalog([limit('day', 30)]) }
    const billing = openBilling(options)
    const key = await keyOf(billing, 'customer-1', 'free')
    expect(byStatus(await callOften(await serve(appOf(billing)), '/api', 10, { key }))).toEqual({ 200: 10 })
    await billing.close()
    const next = openBilling(options)
    expect(byStatus(await callOften(await serve(appOf(next)), '/api', 40, { key }))).toEqual({ 200: 20, 429: 20 })
  })
})
