import { ManualClock, type UsageEvent } from 'weighbridge'
import { openBilling } from './support/billing'
import { freshDirectory } from './support/directory'

const MARCH = Date.UTC(2026, 2, 1)
const APRIL = Date.UTC(2026, 3, 1)

const event = (changes: Partial<UsageEvent> = {}): UsageEvent => ({
  customerId: 'acme',
  eventType: 'api_request',
  timestamp: MARCH,
  cost: 0.1,
  ...changes,
})

test("a customer's usage has the seed's shape, and a customer never seen has none", async () => {
  const billing = openBilling({ clock: new ManualClock(MARCH) })
  expect(await billing.usage.getCustomerUsage('acme')).toBeNull()
  await billing.usage.recordEvent(event())
  await billing.usage.recordEvent(event({ eventType: 'agent_execution', cost: 0.25 }))
  await billing.usage.recordEvent(event({ eventType: 'data_access', cost: '0.000000000001' }))
  expect(await billing.usage.getCustomerUsage('acme')).toEqual({
    customerId: 'acme',
    currentPeriodStart: MARCH,
    currentPeriodEnd: APRIL,
    usage: { apiRequests: 1, agentExecutions: 1, dataAccessQueries: 1, totalCost: 0.350000000001 },
    limits: { apiRequests: 1000, agentExecutions: 50 },
  })
})

test('10,000 concurrent events count 10,000', async () => {
  const { usage } = openBilling({ clock: new ManualClock(MARCH) })
  await Promise.all(Array.from({ length: 10_000 }, () => usage.recordEvent(event())))
  expect(await usage.getCustomerUsage('acme')).toMatchObject({ usage: { apiRequests: 10_000, totalCost: 1000 } })
})

test('a tenth added ten times is one, to the last digit', async () => {
  const { usage } = openBilling({ clock: new ManualClock(MARCH) })
  for (let count = 0; count < 10; count += 1) await usage.recordEvent(event({ cost: 0.1 }))
  await usage.recordEvent(event({ customerId: 'other', cost: 0.1 + 0.2 }))
  const [acme, other] = await usage.query({ from: MARCH, to: APRIL, groupBy: ['customerId'] })
  expect([acme?.cost, other?.cost]).toEqual(['1', '0.3'])
})

test('an event with an id counts once, whoever sends it again', async () => {
  const dir = freshDirectory()
  const clock = new ManualClock(MARCH)
  const [first, second] = [openBilling({ dir, clock }), openBilling({ dir, clock })]
  const sent = event({ id: 'e-1' })
  expect(await first.usage.recordEvents([sent, sent])).toEqual([{ status: 'recorded' }, { status: 'duplicate' }])
  expect(await second.usage.recordEvents([{ ...sent, timestamp: MARCH + 5 }])).toEqual([{ status: 'duplicate' }])
  await second.usage.recordEvent({ ...sent, customerId: 'other' })
  await expect(second.usage.recordEvent({ ...sent, cost: 9 })).rejects.toMatchObject({ code: 'idempotency_conflict' })
  await first.close()
  const again = openBilling({ dir, clock })
  expect(await again.usage.recordEvents([sent])).toEqual([{ status: 'duplicate' }])
  expect(await again.usage.getCustomerUsage('acme')).toMatchObject({ usage: { apiRequests: 1 } })
  expect(await again.usage.getCustomerUsage('other')).toMatchObject({ usage: { apiRequests: 1 } })
})

test('a bad event in a batch is rejected and leaves the others alone', async () => {
  const { usage } = openBilling({ clock: new ManualClock(MARCH) })
  const circular: Record<string, unknown> = {}
  circular['self'] = circular
  const bad = [{ ...event(), cost: -1 }, { ...event(), metadata: circular }, null, { ...event(), customerId: 7 }]
  const recordings = await usage.recordEvents([event(), ...(bad as UsageEvent[]), event()])
  expect(recordings.map(({ status }) => status)).toEqual([
    'recorded',
    'rejected',
    'rejected',
    'rejected',
    'rejected',
    'recorded',
  ])
  expect(recordings[1]).toMatchObject({ code: 'invalid_argument', message: expect.stringContaining('cost') })
  expect(await usage.getCustomerUsage('acme')).toMatchObject({ usage: { apiRequests: 2 } })
})

test.each([
  ['UTC', Date.UTC(2026, 3, 1)],
  ['Europe/Berlin', Date.UTC(2026, 2, 31, 22)],
  ['America/New_York', Date.UTC(2026, 3, 1, 4)],
  ['Asia/Kolkata', Date.UTC(2026, 2, 31, 18, 30)],
])('in %s the last millisecond of March is March and the next one April', async (timeZone, april) => {
  const clock = new ManualClock(april - 1)
  const { usage } = openBilling({ timeZone, clock })
  await usage.recordEvent(event({ timestamp: april - 1 }))
  await usage.recordEvents([event({ timestamp: april, cost: 1 }), event({ timestamp: april, cost: 1 })])
  expect(await usage.getCustomerUsage('acme')).toMatchObject({
    currentPeriodEnd: april,
    usage: { apiRequests: 1, totalCost: 0.1 },
  })
  clock.advance(1)
  expect(await usage.getCustomerUsage('acme')).toMatchObject({
    currentPeriodStart: april,
    usage: { apiRequests: 2, totalCost: 2 },
  })
  expect(await usage.getCustomerUsage('acme', { at: april - 1 })).toMatchObject({ usage: { apiRequests: 1 } })
  const months = await usage.query({ from: april - 86_400_000, to: april + 86_400_000, window: 'month' })
  expect(months.map(({ windowStart, events }) => [windowStart, events])).toEqual([
    [april - 86_400_000, 1],
    [april, 2],
  ])
})

test('an elapsed period reads as zero before the next event', async () => {
  const clock = new ManualClock(MARCH)
  const { usage } = openBilling({ clock })
  await usage.recordEvent(event())
  clock.set(APRIL)
  expect(await usage.getCustomerUsage('acme')).toMatchObject({
    currentPeriodStart: APRIL,
    usage: { apiRequests: 0, totalCost: 0 },
  })
})

test('consuming checks and counts in one step, up to the limit and not one more', async () => {
  const clock = new ManualClock(MARCH)
  const { usage, customers } = openBilling({ clock })
  await customers.upsert({ id: 'acme', tier: 'starter' })
  const attempts = Array.from({ length: 200 }, () =>
    usage.consume({ customerId: 'acme', eventType: 'agent_execution' }),
  )
  const results = await Promise.all(attempts)
  expect(results.filter(({ allowed }) => allowed)).toHaveLength(50)
  expect(results.at(-1)).toEqual({
    allowed: false,
    code: 'usage_limit_exceeded',
    limit: 50,
    used: 50,
    remaining: 0,
    resetAt: APRIL,
  })
  expect(await usage.checkLimits('acme', 'agent_execution')).toBe(false)
  clock.set(APRIL)
  expect(await usage.checkLimits('acme', 'agent_execution')).toBe(true)
  expect(await usage.consume({ customerId: 'acme', eventType: 'agent_execution', units: 51 })).toMatchObject({
    allowed: false,
    used: 0,
  })
  const once = { customerId: 'acme', eventType: 'agent_execution', units: 50, id: 'job-1' } as const
  expect(await usage.consume(once)).toMatchObject({ allowed: true, code: 'allowed', remaining: 0 })
  expect(await usage.consume(once)).toMatchObject({ allowed: true, code: 'duplicate', used: 50 })
})

test('consuming is priced by the price list, and what is without a limit says so', async () => {
  const { usage } = openBilling({ clock: new ManualClock(MARCH) })
  await usage.consume({ customerId: 'acme', eventType: 'api_request', endpoint: '/api/execute', units: 3 })
  expect(await usage.consume({ customerId: 'acme', eventType: 'data_access', cost: '0.7' })).toEqual({
    allowed: true,
    code: 'allowed',
    limit: null,
    used: 1,
    remaining: null,
    resetAt: APRIL,
  })
  expect(await usage.getCustomerUsage('acme')).toMatchObject({ usage: { apiRequests: 3, totalCost: 1 } })
})

test('checking limits is generous to strangers and to what has no limit', async () => {
  const { usage } = openBilling({ clock: new ManualClock(MARCH) })
  expect(await usage.checkLimits('nobody', 'api_request')).toBe(true)
  await usage.consume({ customerId: 'acme', eventType: 'api_request', units: 1000 })
  expect(await usage.checkLimits('acme', 'api_request')).toBe(false)
  expect(await usage.checkLimits('acme', 'data_access')).toBe(true)
  expect(await usage.checkLimits('acme', 'anything')).toBe(true)
})

test('what has happened is recorded past the limit', async () => {
  const { usage } = openBilling({ clock: new ManualClock(MARCH) })
  await usage.recordEvent(event({ units: 1001 }))
  expect(await usage.getCustomerUsage('acme')).toMatchObject({ usage: { apiRequests: 1001 } })
})

test('a tier without a limit is a tier without a limit', async () => {
  const tier = {
    id: 'boundless',
    name: 'Boundless',
    priceId: 'price_boundless',
    monthlyPrice: 999,
    features: {
      apiRequestsPerMonth: Infinity,
      agentExecutionsPerMonth: 0,
      dataAccessLevel: 'enterprise',
      supportLevel: 'priority',
    },
  } as const
  const { usage, customers } = openBilling({ clock: new ManualClock(MARCH), tiers: [tier] })
  await customers.upsert({ id: 'acme', tier: 'boundless' })
  expect(await usage.getCustomerUsage('acme')).toMatchObject({ limits: { apiRequests: Infinity, agentExecutions: 0 } })
  expect(await usage.consume({ customerId: 'acme', eventType: 'api_request', units: 1e9 })).toMatchObject({
    allowed: true,
  })
  expect(await usage.consume({ customerId: 'acme', eventType: 'agent_execution' })).toMatchObject({ allowed: false })
})

test('another time zone sorts what was recorded into its own months', async () => {
  const dir = freshDirectory()
  const berlinsApril = Date.UTC(2026, 2, 31, 22)
  const clock = new ManualClock(berlinsApril)
  const utc = openBilling({ dir, clock })
  await utc.usage.recordEvent(event({ timestamp: berlinsApril }))
  expect(await utc.usage.getCustomerUsage('acme')).toMatchObject({
    currentPeriodStart: MARCH,
    usage: { apiRequests: 1 },
  })
  await utc.close()
  const berlin = openBilling({ dir, clock, timeZone: 'Europe/Berlin' })
  expect(await berlin.usage.getCustomerUsage('acme')).toMatchObject({
    currentPeriodStart: berlinsApril,
    usage: { apiRequests: 1 },
  })
})
