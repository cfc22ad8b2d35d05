import express from 'express'
import { type Billing, ManualClock } from 'weighbridge'
import { event, keyOf, openBilling, temporaryDirectory, totals } from './support/billing'
import { call, serve } from './support/http'

const now = Date.UTC(2026, 3, 10, 12)
const resetAt = '2026-05-01T00:00:00.000Z'
const pricing = { '/api/paid': { pricePerRequest: '0.03' }, '/api/free': { pricePerRequest: '0' } }
const clock = new ManualClock(now)

const appOf = (billing: Billing) =>
  express()
    .use(billing.middleware())
    .use((_, res) => void res.json({}))

test('a cap of 1.00 at 0.03 a request admits 33 over three Billings, and the others are answered 402', async () => {
  const dir = temporaryDirectory()
  const all = [0, 1, 2].map(() => openBilling({ dir, clock, pricing }))
  const key = await keyOf(all[0]!, 'customer-1')
  expect(await all[0]!.customers.upsert({ id: 'customer-1', spendCap: '1.00' })).toMatchObject({ spendCap: '1' })
  const ports = await Promise.all(all.map((billing) => serve(appOf(billing))))
  const calls = ports.flatMap((port) => Array.from({ length: 20 }, () => call(port, '/api/paid', { key })))
  const answers = await Promise.all(calls)
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(33)
  for (const { status, body } of answers.filter(({ status }) => status !== 200)) {
    expect([status, body]).toEqual([
      402,
      {
        error: 'Spend cap exceeded',
        message: 'Raise the spend cap, or wait until the billing period ends',
        spendCap: '1',
        spent: '0.99',
        cost: '0.03',
        resetAt,
      },
    ])
  }
  expect((await call(ports[0]!, '/api/free', { key })).status).toBe(200)
  await Promise.all(all.map((billing) => billing.close()))
  expect(await totals(openBilling({ dir }))).toMatchObject({ units: 34, cost: '0.99' })
})

test('a cap that is changed or removed holds from then on', async () => {
  const billing = openBilling({ clock, pricing })
  const key = await keyOf(billing, 'customer-1')
  const port = await serve(appOf(billing))
  const status = async (spendCap: string | null): Promise<number> => {
    await billing.customers.upsert({ id: 'customer-1', spendCap })
    return (await call(port, '/api/paid', { key })).status
  }
  expect([
    await status('0.03'),
    await status('0.03'),
    await status('0.06'),
    await status('0'),
    await status(null),
  ]).toEqual([200, 402, 200, 402, 200])
})

test('explain says that the cap has no room, and consume refuses', async () => {
  const billing = openBilling({ clock, pricing })
  await billing.customers.upsert({ id: 'customer-1', spendCap: '0.05' })
  await billing.usage.recordEvent(event({ timestamp: now, cost: '0.04' }))
  expect(await billing.explain({ customerId: 'customer-1', method: 'GET', path: '/api/paid' })).toMatchObject({
    allowed: false,
    code: 'spend_cap_exceeded',
    status: 402,
    reason: 'It costs 0.03, which would pass the spend cap: 0.04 of 0.05 are spent.',
    spending: { cap: '0.05', spent: '0.04' },
  })
  const consumption = { customerId: 'customer-1', eventType: 'agent_execution', cost: '0.02' } as const
  expect(await billing.usage.consume(consumption)).toMatchObject({ allowed: false, code: 'spend_cap_exceeded' })
  expect(await billing.usage.consume({ ...consumption, cost: '0.01' })).toMatchObject({ allowed: true })
})

test.each(['-1', '1e3', '0.0000000000001', Number.NaN])('%p is no spend cap', async (spendCap) => {
  const billing = openBilling({ clock })
  const update = billing.customers.upsert({ id: 'customer-1', spendCap })
  await expect(update).rejects.toMatchObject({ code: 'invalid_argument', message: expect.stringContaining('spendCap') })
  expect(await billing.customers.get('customer-1')).toBeNull()
})
