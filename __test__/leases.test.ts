import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import express from 'express'
import { type Billing, ManualClock } from 'weighbridge'
import { keyOf, limitedTo, openBilling, temporaryDirectory, totals } from './support/billing'
import { rows } from './support/database'
import { byStatus, call, callOften, serve } from './support/http'
import { start } from './support/processes'
import { until } from './support/until'

const april = Date.UTC(2026, 3, 30, 23, 59, 59, 999)
const consumption = { customerId: 'customer-1', eventType: 'api_request' } as const

/** So many Billings on one directory, and a customer who has so many units. */
async function billings(count: number, limit: number): Promise<{ dir: string; all: Billing[]; clock: ManualClock }> {
  const dir = temporaryDirectory()
  const clock = new ManualClock(april)
  const all = [openBilling({ dir, clock, tiers: limitedTo(limit) })]
  await all[0]?.customers.upsert({ id: 'customer-1', tier: 'limited' })
  while (all.length < count) all.push(openBilling({ dir, clock }))
  return { dir, all, clock }
}

/** How many of so many calls at once are admitted. */
async function admitted(billing: Billing | undefined, times: number, units = 1): Promise<number> {
  const calls = Array.from({ length: times }, () => billing?.usage.consume({ ...consumption, units }))
  return (await Promise.all(calls)).filter((answer) => answer?.allowed).length
}

const sum = (numbers: number[]): number => numbers.reduce((total, number) => total + number, 0)

test.each([1, 10, 257])('three Billings at once admit exactly a limit of %i', async (limit) => {
  const { dir, all } = await billings(3, limit)
  const counts = await Promise.all(all.map((billing) => admitted(billing, limit)))
  expect(sum(counts)).toBe(limit)
  await Promise.all(all.map((billing) => billing.close()))
  expect((await totals(openBilling({ dir }))).units).toBe(limit)
})

test('calls of several units are admitted as long as they fit, whoever holds what is left', async () => {
  const { all } = await billings(3, 100)
  for (const billing of all) expect(await admitted(billing, 1)).toBe(1)
  expect(await admitted(all[0], 1, 90)).toBe(1)
  expect(await admitted(all[1], 1, 8)).toBe(0)
  expect(await admitted(all[2], 1, 7)).toBe(1)
  for (const billing of all) expect(await admitted(billing, 1)).toBe(0)
})

test('the last unit goes to whoever asks for it, though another Billing holds it', async () => {
  const { all } = await billings(2, 100)
  const [one, other] = all
  expect(await admitted(one, 1)).toBe(1)
  // The first one has leased units that it does not use.
  expect(await admitted(other, 98)).toBe(98)
  expect(await admitted(other, 1)).toBe(1)
  expect(await admitted(other, 1)).toBe(0)
  expect(await admitted(one, 1)).toBe(0)
})

test('two processes that take turns find every unit', async () => {
  const dir = temporaryDirectory()
  const billing = openBilling({ dir, tiers: limitedTo(300) })
  const key = await keyOf(billing, 'customer-1', 'limited')
  const servers = [start('server.cjs', { dir }), start('server.cjs', { dir })]
  const ports = await Promise.all(servers.map(({ next }) => next()))
  let passed = 0
  for (let round = 0; passed < 300 && round < 40; round += 1) {
    const answers = await callOften(Number(ports[round % 2]), '/api/execute', 10, { key })
    passed += byStatus(answers)[200] ?? 0
  }
  expect(passed).toBe(300)
  for (const port of ports) expect((await call(Number(port), '/api/execute', { key })).status).toBe(429)
})

test('two processes at once find every unit of an odd limit', async () => {
  const dir = temporaryDirectory()
  const billing = openBilling({ dir, tiers: limitedTo(333) })
  await billing.customers.upsert({ id: 'customer-1', tier: 'limited' })
  const starter = join(temporaryDirectory(), 'go')
  const programs = [1, 2].map(() => start('consume.cjs', { dir, times: 300, starter }))
  for (const { next } of programs) expect(await next()).toBe('ready')
  writeFileSync(starter, '')
  const [, counts] = await Promise.all([
    admitted(billing, 1),
    Promise.all(programs.map(async ({ next }) => Number(await next()))),
  ])
  expect(sum(counts)).toBeLessThanOrEqual(333)
  for (const { ended } of programs) expect(await ended).toMatchObject({ code: 0 })
  await until(async () => (await totals(billing)).units, 333)
})

describe('a change by one Billing is soon heeded by another that has units', () => {
  async function warm(limit: number) {
    const { all, dir } = await billings(2, limit)
    const [here, there] = all as [Billing, Billing]
    expect(await admitted(there, 3)).toBe(3)
    await there.flush()
    return { here, there, dir }
  }
  const tier = (id: string, requests: number) => ({ ...limitedTo(requests)[0], id }) as ReturnType<typeof limitedTo>[0]

  test('a lower tier', async () => {
    const { dir, there } = await warm(1_000)
    const here = openBilling({ dir, clock: new ManualClock(april), tiers: [tier('low', 500), tier('limited', 1_000)] })
    await here.customers.upsert({ id: 'customer-1', tier: 'low' })
    await until(async () => (await there.usage.consume(consumption)).limit, 500)
    // From now on the new limit is exact over both of them.
    const before = (await totals(there)).units
    const counts = await Promise.all([admitted(here, 300), admitted(there, 300)])
    expect(sum(counts)).toBe(500 - before)
    await here.flush()
    expect((await totals(there)).units).toBe(500)
  })

  test('a higher tier, where the limit was reached', async () => {
    const { dir, there } = await warm(3)
    expect(await admitted(there, 1)).toBe(0)
    const here = openBilling({ dir, clock: new ManualClock(april), tiers: limitedTo(3) })
    await here.customers.upsert({ id: 'customer-1', tier: 'starter' })
    await until(async () => (await there.usage.consume(consumption)).allowed, true)
    expect((await there.usage.consume(consumption)).limit).toBe(1_000)
  })

  test('a lower limit of the same tier', async () => {
    const { dir, there } = await warm(1_000)
    await openBilling({ dir, clock: new ManualClock(april), tiers: limitedTo(10) }).ready()
    await until(async () => (await there.usage.consume(consumption)).allowed, false)
    await until(async () => (await rows(dir, 'SELECT sum(units) AS units FROM leases'))[0]?.['units'] || 0, 0)
  })

  test('a suspension', async () => {
    const { here, there } = await warm(1_000)
    await here.customers.upsert({ id: 'customer-1', suspended: true })
    await until(async () => (await there.usage.consume(consumption)).code, 'customer_suspended')
    await here.customers.upsert({ id: 'customer-1', suspended: false })
    await until(async () => (await there.usage.consume(consumption)).code, 'allowed')
  })
})

describe('at the end of the month', () => {
  test('a new period has all its units, and the old one’s are not among them', async () => {
    const { all, clock } = await billings(2, 100)
    const [one, other] = all as [Billing, Billing]
    // Both hold units of April.
    expect(await admitted(one, 1)).toBe(1)
    expect(await admitted(other, 1)).toBe(1)
    clock.advance(1)
    const may = await Promise.all([admitted(one, 80), admitted(other, 80)])
    expect(sum(may)).toBe(100)
    const usage = async (at: number) => (await one.usage.getCustomerUsage('customer-1', { at }))?.usage.apiRequests
    await other.flush()
    expect([await usage(april), await usage(clock.now())]).toEqual([2, 100])
    // A clock that goes back finds what April has left, and no more.
    clock.set(april)
    expect(sum(await Promise.all([admitted(one, 80), admitted(other, 80)]))).toBe(98)
    await other.flush()
    expect([await usage(april), await usage(april + 1)]).toEqual([100, 100])
  })

  test('a request that was held in the old period is counted in it', async () => {
    const { all, clock } = await billings(1, 2)
    const [billing] = all as [Billing]
    const key = await keyOf(billing, 'customer-1')
    const app = express()
      .use(billing.middleware({ billOn: 'success' }))
      .get('/api/execute', (_, res) => {
        clock.set(april + 1)
        res.end()
      })
      .get('/api/analyze', (_, res) => void res.end())
    const port = await serve(app)
    expect((await call(port, '/api/execute', { key })).status).toBe(200)
    const usage = async (at: number) => (await billing.usage.getCustomerUsage('customer-1', { at }))?.usage.apiRequests
    await until(() => usage(april), 1)
    expect(await usage(april + 1)).toBe(0)
    expect(byStatus(await callOften(port, '/api/analyze', 3, { key }))).toEqual({ 200: 2, 429: 1 })
    clock.set(april)
    expect(byStatus(await callOften(port, '/api/analyze', 2, { key }))).toEqual({ 200: 1, 429: 1 })
  })
})

test('units of several customers and meters are kept apart', async () => {
  const dir = temporaryDirectory()
  const all = [openBilling({ dir, tiers: limitedTo(20, 5) }), openBilling({ dir })]
  const customers = ['customer-1', 'customer-2', 'customer-3']
  for (const id of customers) await all[0]?.customers.upsert({ id, tier: 'limited' })
  const counts = await Promise.all(
    customers.flatMap((customerId) =>
      (['api_request', 'agent_execution'] as const).map(async (eventType) => {
        const calls = all.flatMap(({ usage }) =>
          Array.from({ length: 20 }, () => usage.consume({ customerId, eventType })),
        )
        return (await Promise.all(calls)).filter(({ allowed }) => allowed).length
      }),
    ),
  )
  expect(counts).toEqual([20, 5, 20, 5, 20, 5])
})
