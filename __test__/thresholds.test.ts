import { type Billing, type BillingOptions, ManualClock, type ThresholdReached } from 'weighbridge'
import { event, limitedTo, openBilling, PATIENT, temporaryDirectory } from './support/billing'
import { sharedDatabase } from './support/postgres'

const now = Date.UTC(2026, 3, 10, 12)
const [april, may, june] = [3, 4, 5].map((month) => Date.UTC(2026, month, 1))
const consumption = { customerId: 'customer-1', eventType: 'api_request' } as const

/** What a Billing tells, as it does. */
function listen(billing: Billing): ThresholdReached[] {
  const reached: ThresholdReached[] = []
  billing.on('threshold', (threshold) => reached.push(threshold))
  return reached
}

async function limited(options: BillingOptions, limit = 100): Promise<Billing> {
  const billing = openBilling({ clock: new ManualClock(now), tiers: limitedTo(limit), ...options })
  await billing.customers.upsert({ id: 'customer-1', tier: 'limited' })
  return billing
}

async function consume(billing: Billing | undefined, times: number): Promise<void> {
  await Promise.all(Array.from({ length: times }, () => billing?.usage.consume(consumption)))
}

const database = sharedDatabase()

describe.each([
  ['SQLite', (): BillingOptions => ({ dir: temporaryDirectory() })],
  ['PostgreSQL', (): BillingOptions => ({ dir: temporaryDirectory(), ...database.options })],
])('on %s', (_, place) => {
  beforeEach(() => database.drop())

  test('each threshold is told once in a period, by one of several Billings', async () => {
    const shared = place()
    const clock = new ManualClock(now)
    const one = await limited({ ...shared, clock })
    const all = [one, openBilling({ ...shared, clock }), openBilling({ ...shared, clock })]
    const reached: ThresholdReached[] = []
    for (const billing of all) billing.on('threshold', (threshold) => reached.push(threshold))
    const spendAll = async (): Promise<void> => {
      await Promise.all(all.map((billing) => consume(billing, 50)))
      for (const billing of all) await billing.flush()
    }
    const told = (): unknown => reached.map(({ percent }) => percent).sort((a, b) => a - b)
    await spendAll()
    expect(told()).toEqual([50, 80, 100])
    expect(reached[0]).toMatchObject({ ...consumption, limit: 100, periodStart: april, periodEnd: may })
    for (const { percent, ...measure } of reached)
      expect(Number('used' in measure && measure.used)).toBeGreaterThanOrEqual(percent)
    reached.length = 0
    clock.set(may as number)
    await spendAll()
    expect(told()).toEqual([50, 80, 100])
    expect(reached[0]).toMatchObject({ periodStart: may, periodEnd: june })
  })

  test('recorded events reach them too, several at once, and past the limit', async () => {
    const billing = await limited({ ...place(), thresholds: [150, 10, 100] })
    const reached = listen(billing)
    await billing.usage.recordEvent(event({ timestamp: now, units: 9 }))
    await billing.usage.recordEvents([
      event({ timestamp: now, id: 'once', units: 100 }),
      event({ timestamp: now, id: 'once', units: 100 }),
      event({ timestamp: now, units: 41 }),
      event({ timestamp: now, units: 1 }),
    ])
    expect(reached).toMatchObject([10, 100, 150].map((percent) => ({ of: 'limit', percent, limit: 100, used: 151 })))
  })
})

test('nobody is told without thresholds, or without a limit', async () => {
  const [off, unlimited] = [await limited({ thresholds: [] }), await limited({}, Infinity)]
  const reached = [off, unlimited].map(listen)
  await Promise.all([off, unlimited].map((billing) => consume(billing, 100)))
  await Promise.all([off, unlimited].map((billing) => billing.flush()))
  expect(reached).toEqual([[], []])
})

test.each([[[0]], [[1.5]], [[1_001]], [[Number.NaN]], [['50']], ['50']])('%j is refused', (thresholds) => {
  expect(() => openBilling({ thresholds: thresholds as number[], ...PATIENT })).toThrow(
    expect.objectContaining({ code: 'invalid_argument', message: expect.stringContaining('thresholds') }),
  )
})
