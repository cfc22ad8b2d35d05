import express from 'express'
import { type Billing, type BillingError, ManualClock } from 'weighbridge'
import { event, keyOf, openBilling, temporaryDirectory, totals } from './support/billing'
import { byStatus, call, callOften, serve } from './support/http'
import { start } from './support/processes'

const now = Date.UTC(2026, 3, 10, 12)
const DAY = 86_400_000
const pricing = { '/api/paid': { pricePerRequest: '0.03' }, '/api/free': { pricePerRequest: '0' } }

const appOf = (billing: Billing) =>
  express()
    .use(billing.middleware())
    .use((_, res) => void res.json({}))

async function codeOf(refused: Promise<unknown>): Promise<string> {
  return refused.then(
    () => 'none',
    ({ code }: BillingError) => code,
  )
}

test('credit of 3.00 at 0.03 a request pays for 100 over two servers, and the others are answered 402', async () => {
  const dir = temporaryDirectory()
  const billing = openBilling({ dir, pricing })
  const key = await keyOf(billing, 'customer-1')
  expect(await billing.customers.upsert({ id: 'customer-1', prepaid: true })).toMatchObject({ prepaid: true })
  await billing.credits.grant('customer-1', { id: 'order-1', amount: '3.00' })
  const servers = [1, 2].map(() => start('server.cjs', { dir, pricing }))
  const ports = (await Promise.all(servers.map(({ next }) => next()))).map(Number)
  const answers = (await Promise.all(ports.map((port) => callOften(port, '/api/paid', 80, { key })))).flat()
  expect(byStatus(answers)).toEqual({ 200: 100, 402: 60 })
  const refused = await call(ports[0] ?? 0, '/api/paid', { key })
  expect([refused.status, refused.body]).toEqual([
    402,
    {
      error: 'Credit exhausted',
      message: 'Buy credit, and send the request again',
      unit: 'money',
      balance: '0',
      cost: '0.03',
    },
  ])
  expect((await call(ports[1] ?? 0, '/api/free', { key })).status).toBe(200)
  await billing.credits.grant('customer-1', { id: 'order-2', amount: '0.05' })
  expect(byStatus(await callOften(ports[0] ?? 0, '/api/paid', 3, { key }))).toEqual({ 200: 1, 402: 2 })
  expect(await billing.credits.balance('customer-1')).toMatchObject({
    balance: '0.02',
    overage: '0',
    grants: [
      { id: 'order-1', granted: '3', burnt: '3', left: '0' },
      { id: 'order-2', granted: '0.05', burnt: '0.03', left: '0.02' },
    ],
  })
})

test('what a server answered 200 is burnt, though it was killed the moment after, and nothing twice', async () => {
  const dir = temporaryDirectory()
  const billing = openBilling({ dir, pricing })
  const key = await keyOf(billing, 'customer-1')
  await billing.credits.grant('customer-1', { id: 'order-1', amount: '3.00' })
  const server = start('server.cjs', { dir, pricing })
  const port = Number(await server.next())
  expect(byStatus(await callOften(port, '/api/paid', 120, { key }))).toEqual({ 200: 120 })
  await billing.close()
  server.process.kill('SIGKILL')
  expect(await server.ended).toMatchObject({ signal: 'SIGKILL' })
  const again = openBilling({ dir, pricing })
  await again.ready()
  expect(await totals(again)).toEqual({ events: 120, units: 120, cost: '3.6' })
  expect(await again.credits.balance('customer-1')).toMatchObject({
    balance: '0',
    overage: '0.6',
    grants: [{ granted: '3', burnt: '3', left: '0', expired: '0', voided: '0' }],
  })
})

test('units that credit covers cost nothing, and money pays for the rest', async () => {
  const billing = openBilling({ pricing })
  const key = await keyOf(billing, 'customer-1')
  await billing.credits.grant('customer-1', { id: 'trial', unit: 'api_request', amount: 2 })
  await billing.credits.grant('customer-1', { id: 'bought', amount: '0.03' })
  await billing.customers.upsert({ id: 'customer-1', prepaid: true })
  const port = await serve(appOf(billing))
  const question = { customerId: 'customer-1', method: 'GET', path: '/api/paid' }
  expect(await billing.explain(question)).toMatchObject({ allowed: true, credit: { money: '0.03', units: '2' } })
  const statuses = []
  for (let request = 0; request < 4; request += 1) statuses.push((await call(port, '/api/paid', { key })).status)
  expect(statuses).toEqual([200, 200, 200, 402])
  expect(await totals(billing)).toEqual({ events: 3, units: 3, cost: '0.03' })
  expect(await billing.explain(question)).toMatchObject({
    allowed: false,
    code: 'credit_exhausted',
    status: 402,
    reason: 'It costs 0.03, which the credit does not cover: 0 and 0 units are left.',
    credit: { money: '0', units: '0' },
  })
  const consumption = { customerId: 'customer-1', eventType: 'agent_execution', cost: '0.02' } as const
  expect(await billing.usage.consume(consumption)).toMatchObject({ allowed: false, code: 'credit_exhausted' })
})

test('a hold waits for credit too', async () => {
  const billing = openBilling({ pricing })
  const key = await keyOf(billing, 'customer-1')
  await billing.customers.upsert({ id: 'customer-1', prepaid: true })
  const app = express()
    .use(billing.middleware({ billOn: 'success' }))
    .use((_, res) => void res.json({}))
  const port = await serve(app)
  expect((await call(port, '/api/paid', { key })).status).toBe(402)
  await billing.credits.grant('customer-1', { id: 'bought', amount: '0.03' })
  expect((await call(port, '/api/paid', { key })).status).toBe(200)
  expect(await billing.credits.balance('customer-1')).toMatchObject({ balance: '0' })
})

test('grants, voids and refunds can be retried', async () => {
  const { credits, usage } = openBilling({ clock: new ManualClock(now) })
  const grant = { id: 'order-1', amount: '10', priority: 3, expiresAt: now + DAY }
  const given = await credits.grant('customer-1', grant)
  expect(given).toEqual({
    ...grant,
    unit: 'money',
    effectiveAt: now,
    createdAt: now,
    voidedAt: null,
    recurrence: null,
    rollover: null,
  })
  expect(await credits.grant('customer-1', { ...grant, amount: 10 })).toEqual(given)
  expect(await codeOf(credits.grant('customer-1', { ...grant, amount: 11 }))).toBe('idempotency_conflict')
  await usage.recordEvent(event({ timestamp: now, cost: '4' }))
  const refund = { id: 'refund-1', amount: '1.5' }
  expect(await credits.refund('customer-1', refund)).toEqual({ ...refund, unit: 'money', at: now })
  expect(await credits.refund('customer-1', refund)).toMatchObject(refund)
  expect(await codeOf(credits.refund('customer-1', { ...refund, amount: 2 }))).toBe('idempotency_conflict')
  expect(await codeOf(credits.refund('customer-1', { id: 'refund-2', amount: '2.6' }))).toBe('invalid_argument')
  expect(await credits.balance('customer-1')).toMatchObject({ balance: '7.5' })
  const voided = await credits.void('customer-1', 'order-1')
  expect(voided).toEqual({ ...given, voidedAt: now + 1 })
  expect(await credits.void('customer-1', 'order-1', { at: now + DAY / 2 })).toEqual(voided)
  expect(await codeOf(credits.void('customer-1', 'order-2'))).toBe('unknown_grant')
  expect(await credits.list('customer-1')).toEqual([voided])
  expect(await credits.balance('customer-1', { at: now + 2 })).toMatchObject({
    balance: '0',
    grants: [{ granted: '10', burnt: '2.5', left: '0', voided: '7.5', ended: 'voided' }],
  })
})

test('the balance of any instant stays what it was, over recurrences, periods and reopening', async () => {
  const clock = new ManualClock(now)
  const dir = temporaryDirectory()
  const billing = openBilling({ dir, clock })
  const daily = { id: 'daily', amount: '2', recurrence: { every: 'day' } } as const
  await billing.credits.grant('customer-1', daily)
  await billing.credits.grant('customer-1', { id: 'plan', amount: '20', priority: 60, rollover: { maximum: '5' } })
  const told: [number, string, string][] = []
  for (let day = 0; day < 30; day += 1) {
    await billing.usage.recordEvent(event({ timestamp: clock.now(), cost: day % 3 === 0 ? '2.5' : '0.25' }))
    clock.set(clock.now() + 1)
    const { at, balance, overage } = await billing.credits.balance('customer-1', { at: clock.now() })
    told.push([at, balance, overage])
    clock.set(clock.now() + DAY - 1)
  }
  expect(told[0]).toEqual([now + 1, '19.5', '0'])
  await billing.close()
  const again = openBilling({ dir, clock })
  for (const [at, balance, overage] of told) {
    expect(await again.credits.balance('customer-1', { at })).toMatchObject({ at, balance, overage })
  }
  const may = Date.UTC(2026, 4, 1)
  const before = await again.credits.balance('customer-1', { at: may - 1 })
  const plan = before.grants.find(({ id }) => id === 'plan')
  expect(Number(plan?.left)).toBeGreaterThan(5)
  expect((await again.credits.balance('customer-1', { at: may })).grants).toEqual(
    expect.arrayContaining([expect.objectContaining({ id: 'plan', left: '5' })]),
  )
})

test.each([
  ['without an amount', {}, 'amount'],
  ['of nothing', { amount: 0 }, 'amount'],
  ['of less than nothing', { amount: '-1' }, 'amount'],
  ['of an unknown unit', { amount: 1, unit: 'Requests' }, 'unit'],
  ['of no meter', { amount: 1, unit: 'requests' }, 'requests'],
  ['that has expired', { amount: 1, expiresAt: now }, 'expiresAt'],
  ['that expires before it counts', { amount: 1, effectiveAt: now + 2, expiresAt: now + 1 }, 'expiresAt'],
  ['with an unknown field', { amount: 1, voidedAt: now }, 'voidedAt'],
])('a grant %s is refused and changes nothing', async (_, fields, named) => {
  const billing = openBilling({ clock: new ManualClock(now) })
  const grant = billing.credits.grant('customer-1', { id: 'g', ...fields } as never)
  await expect(grant).rejects.toMatchObject({ code: 'invalid_argument', message: expect.stringContaining(named) })
  expect(await billing.customers.get('customer-1')).toBeNull()
})

test('a customer without credit has none', async () => {
  const { credits } = openBilling({ clock: new ManualClock(now) })
  const nothing = { unit: 'money', at: now, balance: '0', overage: '0', billed: '0', grants: [] }
  expect(await credits.balance('nobody')).toEqual(nothing)
  expect(await credits.list('nobody')).toEqual([])
  expect(await codeOf(credits.refund('nobody', { id: 'r', amount: 1 }))).toBe('invalid_argument')
})
