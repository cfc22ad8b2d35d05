import { ManualClock, type UsageEvent } from 'weighbridge'
import { event, limitedTo, openBilling, temporaryDirectory, totals } from './support/billing'

describe('recording', () => {
  test('10,000 concurrent events count 10,000', async () => {
    const billing = openBilling()
    const { usage } = billing
    await Promise.all(Array.from({ length: 10_000 }, () => usage.recordEvent(event({ cost: 0.01 }))))
    expect(await totals(billing)).toEqual({ events: 10_000, units: 10_000, cost: '100' })
    expect((await usage.getCustomerUsage('customer-1'))?.usage).toMatchObject({ apiRequests: 10_000, totalCost: 100 })
  })

  test('0.1 added ten times is 1', async () => {
    const billing = openBilling()
    for (let times = 0; times < 10; times++) await billing.usage.recordEvent(event({ cost: 0.1 }))
    expect((await billing.usage.getCustomerUsage('customer-1'))?.usage.totalCost).toBe(1)
    expect((await totals(billing)).cost).toBe('1')
  })

  test('numbers and decimal strings add up to exact money', async () => {
    const billing = openBilling()
    for (const cost of [0.1 + 0.2, '0.000000000001', '999999999999', 0]) {
      await billing.usage.recordEvent(event({ cost }))
    }
    expect((await totals(billing)).cost).toBe('999999999999.300000000001')
  })

  test('an event is recorded past the limit too', async () => {
    const { usage } = openBilling({ tiers: limitedTo(1) })
    await usage.recordEvents([event(), event(), event()])
    expect((await usage.getCustomerUsage('customer-1'))?.usage.apiRequests).toBe(3)
  })

  test('an event may take many units', async () => {
    const billing = openBilling()
    await billing.usage.recordEvent(event({ units: 7, cost: 0.5 }))
    expect(await totals(billing)).toEqual({ events: 1, units: 7, cost: '0.5' })
  })

  test('a batch gets one answer for each event, in order, and bad events leave the others alone', async () => {
    const billing = openBilling()
    const { usage } = billing
    const circular: Record<string, unknown> = {}
    circular['itself'] = circular
    const answers = await usage.recordEvents([
      event({ id: 'a' }),
      event({ id: 'a' }),
      event({ id: 'a', cost: 5 }),
      event({ cost: -1 }),
      event({ metadata: circular }),
      event({ metadata: { text: 'x'.repeat(16 * 1024) } }),
      null as unknown as UsageEvent,
      { customerId: 5 } as unknown as UsageEvent,
      event({ id: 'b' }),
    ])
    expect(answers).toEqual([
      { status: 'recorded' },
      { status: 'duplicate' },
      { status: 'rejected', code: 'idempotency_conflict', message: expect.stringContaining('id') },
      { status: 'rejected', code: 'invalid_argument', message: expect.stringContaining('`cost`') },
      { status: 'rejected', code: 'invalid_argument', message: expect.stringContaining('`metadata`') },
      { status: 'rejected', code: 'metadata_too_large', message: expect.stringContaining('16384') },
      { status: 'rejected', code: 'invalid_argument', message: expect.stringContaining('object') },
      { status: 'rejected', code: 'invalid_argument', message: expect.stringContaining('`customerId`') },
      { status: 'recorded' },
    ])
    expect(await totals(billing)).toEqual({ events: 2, units: 2, cost: '0.2' })
    expect(await usage.recordEvents([])).toEqual([])
  })
})

describe('an event with an id', () => {
  test('counts once, however often and by whomever it is sent', async () => {
    const dir = temporaryDirectory()
    const first = openBilling({ dir })
    const second = openBilling({ dir })
    const same = event({ id: 'order-1' })
    await Promise.all([first, second, first, second].map(({ usage }) => usage.recordEvent({ ...same })))
    await first.close()
    const reopened = openBilling({ dir })
    // A retry happens later; nothing else of it may differ.
    expect(await reopened.usage.recordEvents([{ ...same, timestamp: same.timestamp + 1 }])).toEqual([
      { status: 'duplicate' },
    ])
    expect(await totals(reopened)).toEqual({ events: 1, units: 1, cost: '0.1' })
  })

  test('is another event for another customer', async () => {
    const billing = openBilling()
    await billing.usage.recordEvents([event({ id: 'one' }), event({ id: 'one', customerId: 'customer-2' })])
    expect((await totals(billing)).events).toBe(2)
  })

  test('is refused with other contents, and the first stays', async () => {
    const billing = openBilling()
    await billing.usage.recordEvent(event({ id: 'one' }))
    for (const other of [{ cost: 0.2 }, { units: 2 }, { endpoint: '/other' }, { metadata: { a: 1 } }]) {
      await expect(billing.usage.recordEvent(event({ id: 'one', ...other }))).rejects.toMatchObject({
        code: 'idempotency_conflict',
      })
    }
    await expect(
      billing.usage.consume({ customerId: 'customer-1', eventType: 'agent_execution', id: 'one' }),
    ).rejects.toMatchObject({ code: 'idempotency_conflict' })
    expect(await totals(billing)).toEqual({ events: 1, units: 1, cost: '0.1' })
  })
})

describe('consuming', () => {
  const now = Date.UTC(2026, 4, 5)
  const open = (limit: number) => openBilling({ tiers: limitedTo(limit, Infinity), clock: new ManualClock(now) })

  test('tells where the customer stands', async () => {
    const { usage, customers } = open(3)
    await customers.upsert({ id: 'customer-1', tier: 'limited' })
    const consume = (units?: number) => usage.consume({ customerId: 'customer-1', eventType: 'api_request', units })
    const resetAt = Date.UTC(2026, 5, 1)
    expect(await consume()).toEqual({ allowed: true, code: 'allowed', limit: 3, used: 1, remaining: 2, resetAt })
    expect(await consume(3)).toEqual({
      allowed: false,
      code: 'usage_limit_exceeded',
      limit: 3,
      used: 1,
      remaining: 2,
      resetAt,
    })
    expect(await consume(2)).toEqual({ allowed: true, code: 'allowed', limit: 3, used: 3, remaining: 0, resetAt })
    expect(await consume()).toMatchObject({ allowed: false, used: 3, remaining: 0 })
  })

  test('3,000 concurrent consumptions of a limit of 1,000 admit exactly 1,000', async () => {
    const billing = open(1_000)
    await billing.customers.upsert({ id: 'customer-1', tier: 'limited' })
    const answers = await Promise.all(
      Array.from({ length: 3_000 }, () =>
        billing.usage.consume({ customerId: 'customer-1', eventType: 'api_request' }),
      ),
    )
    expect(answers.filter(({ allowed }) => allowed)).toHaveLength(1_000)
    expect((await totals(billing)).events).toBe(1_000)
  })

  test('a repeated id is allowed again and counted once, at the limit too', async () => {
    const billing = open(1)
    await billing.customers.upsert({ id: 'customer-1', tier: 'limited' })
    const consumption = { customerId: 'customer-1', eventType: 'api_request', id: 'call-1' } as const
    expect(await billing.usage.consume(consumption)).toMatchObject({ allowed: true, code: 'allowed' })
    expect(await billing.usage.consume(consumption)).toMatchObject({ allowed: true, code: 'duplicate', used: 1 })
    expect((await totals(billing)).events).toBe(1)
  })

  test('costs what the price list says, or what the call says', async () => {
    const billing = openBilling({
      pricing: { 'POST /jobs': { pricePerRequest: '0.5' }, '/a/:id': { pricePerRequest: 2 } },
    })
    const consume = (rest: object) =>
      billing.usage.consume({ customerId: 'customer-1', eventType: 'agent_execution', ...rest })
    await consume({ endpoint: 'POST /jobs', units: 3 })
    expect((await totals(billing)).cost).toBe('1.5')
    await consume({ endpoint: '/a/7' })
    expect((await totals(billing)).cost).toBe('3.5')
    await consume({ endpoint: '/a/7', cost: '0.25' })
    expect((await totals(billing)).cost).toBe('3.75')
    await consume({ endpoint: '/unknown' })
    expect(await totals(billing)).toMatchObject({ events: 4, cost: '3.75' })
  })

  test('there is no limit where the tier says Infinity, or for data access', async () => {
    const { usage, customers } = open(0)
    await customers.upsert({ id: 'customer-1', tier: 'limited' })
    const consume = (eventType: UsageEvent['eventType']) =>
      usage.consume({ customerId: 'customer-1', eventType, units: 1_000_000 })
    expect(await consume('agent_execution')).toMatchObject({ allowed: true, limit: null, remaining: null })
    expect(await consume('data_access')).toMatchObject({ allowed: true, limit: null, remaining: null })
    expect(await consume('api_request')).toMatchObject({ allowed: false, limit: 0, remaining: 0 })
    expect((await usage.getCustomerUsage('customer-1'))?.limits).toEqual({ apiRequests: 0, agentExecutions: Infinity })
  })

  test('a suspended customer is told so', async () => {
    const billing = openBilling()
    await billing.customers.upsert({ id: 'customer-1', suspended: true })
    expect(await billing.usage.consume({ customerId: 'customer-1', eventType: 'api_request' })).toMatchObject({
      allowed: false,
      code: 'customer_suspended',
    })
    expect((await totals(billing)).events).toBe(0)
  })
})

describe('limits', () => {
  test.each([
    ['no tier', null, 1_000, 50],
    ['starter', 'starter', 1_000, 50],
    ['professional', 'professional', 10_000, 500],
    ['enterprise', 'enterprise', 100_000, 5_000],
  ])('with %s they are those of the tier', async (_, tier, apiRequests, agentExecutions) => {
    const { usage, customers } = openBilling()
    await customers.upsert({ id: 'customer-1', tier })
    expect((await usage.getCustomerUsage('customer-1'))?.limits).toEqual({ apiRequests, agentExecutions })
    await usage.recordEvent(event({ eventType: 'agent_execution', units: agentExecutions - 1 }))
    expect(await usage.checkLimits('customer-1', 'agent_execution')).toBe(true)
    await usage.recordEvent(event({ eventType: 'agent_execution' }))
    expect(await usage.checkLimits('customer-1', 'agent_execution')).toBe(false)
    expect(await usage.checkLimits('customer-1', 'api_request')).toBe(true)
    await usage.recordEvent(event({ units: apiRequests }))
    expect(await usage.checkLimits('customer-1', 'api_request')).toBe(false)
  })

  test('nobody whom Weighbridge does not know is at a limit, and nothing is that has none', async () => {
    const { usage, customers } = openBilling({ tiers: limitedTo(0, 0) })
    expect(await usage.checkLimits('nobody', 'api_request')).toBe(true)
    await customers.upsert({ id: 'customer-1', tier: 'limited' })
    expect(await usage.checkLimits('customer-1', 'api_request')).toBe(false)
    expect(await usage.checkLimits('customer-1', 'data_access')).toBe(true)
    expect(await usage.checkLimits('customer-1', 'something_else')).toBe(true)
    expect(await usage.checkLimits('customer-1', 'constructor')).toBe(true)
  })

  test("a new tier's limits hold at once, and what was used stays used", async () => {
    const { usage, customers } = openBilling({ tiers: limitedTo(2) })
    await customers.upsert({ id: 'customer-1', tier: 'limited' })
    await usage.recordEvent(event({ units: 2 }))
    expect(await usage.checkLimits('customer-1', 'api_request')).toBe(false)
    await customers.upsert({ id: 'customer-1', tier: 'professional' })
    expect(await usage.consume({ customerId: 'customer-1', eventType: 'api_request' })).toMatchObject({
      allowed: true,
      limit: 10_000,
      used: 3,
    })
  })

  test('tiers belong to the store', async () => {
    const dir = temporaryDirectory()
    await openBilling({ dir, tiers: limitedTo(7) }).ready()
    const { usage, customers } = openBilling({ dir })
    await customers.upsert({ id: 'customer-1', tier: 'limited' })
    expect((await usage.getCustomerUsage('customer-1'))?.limits.apiRequests).toBe(7)
  })
})

describe('periods', () => {
  test.each([
    ['UTC', '2026-03-01T00:00:00Z', '2026-04-01T00:00:00Z'],
    ['UTC', '2028-02-01T00:00:00Z', '2028-03-01T00:00:00Z'],
    ['UTC', '2026-12-01T00:00:00Z', '2027-01-01T00:00:00Z'],
    // The clocks go forward on 29 March and back on 25 October.
    ['Europe/Berlin', '2026-03-01T00:00:00+01:00', '2026-04-01T00:00:00+02:00'],
    ['Europe/Berlin', '2026-10-01T00:00:00+02:00', '2026-11-01T00:00:00+01:00'],
    ['Asia/Kolkata', '2026-03-01T00:00:00+05:30', '2026-04-01T00:00:00+05:30'],
    ['America/New_York', '2026-11-01T00:00:00-04:00', '2026-12-01T00:00:00-05:00'],
  ])('in %s a month begins %s and ends %s, to the millisecond', async (timeZone, first, next) => {
    const [start, end] = [Date.parse(first), Date.parse(next)]
    const clock = new ManualClock(start)
    const billing = openBilling({ clock, timeZone })
    const { usage } = billing
    await usage.recordEvents([
      event({ timestamp: start - 1, cost: 1 }),
      event({ timestamp: start, cost: 20 }),
      event({ timestamp: end - 1, cost: 300 }),
      event({ timestamp: end, cost: 4000 }),
    ])
    const costAt = async (at?: number) => {
      const report = await usage.getCustomerUsage('customer-1', { at })
      return [report?.currentPeriodStart, report?.currentPeriodEnd, report?.usage.totalCost]
    }
    expect((await costAt(start - 1)).slice(1)).toEqual([start, 1])
    expect(await costAt(start)).toEqual([start, end, 320])
    expect(await costAt(end - 1)).toEqual([start, end, 320])
    expect((await costAt(end))[0]).toBe(end)
    expect((await costAt(end))[2]).toBe(4000)

    expect(await costAt()).toEqual([start, end, 320])
    clock.set(end - 1)
    expect(await costAt()).toEqual([start, end, 320])
    clock.advance(1)
    expect((await costAt())[2]).toBe(4000)

    const months = await usage.query({ from: start - 1, to: end + 1, window: 'month' })
    expect(months.map(({ windowStart, windowEnd, cost }) => [windowStart, windowEnd, cost])).toEqual([
      [start - 1, start, '1'],
      [start, end, '320'],
      [end, end + 1, '4000'],
    ])
  })

  test('an elapsed period reads as zero before the next event, and its limit is free again', async () => {
    const clock = new ManualClock(Date.UTC(2026, 0, 31, 23, 59, 59, 999))
    const { usage, customers } = openBilling({ clock, tiers: limitedTo(1) })
    await customers.upsert({ id: 'customer-1', tier: 'limited' })
    const consume = () => usage.consume({ customerId: 'customer-1', eventType: 'api_request', cost: 3 })
    expect(await consume()).toMatchObject({ allowed: true, resetAt: Date.UTC(2026, 1, 1) })
    expect(await consume()).toMatchObject({ allowed: false })
    expect(await usage.checkLimits('customer-1', 'api_request')).toBe(false)

    clock.advance(1)
    expect(await usage.getCustomerUsage('customer-1')).toMatchObject({
      currentPeriodStart: Date.UTC(2026, 1, 1),
      currentPeriodEnd: Date.UTC(2026, 2, 1),
      usage: { apiRequests: 0, agentExecutions: 0, dataAccessQueries: 0, totalCost: 0 },
    })
    expect(await usage.checkLimits('customer-1', 'api_request')).toBe(true)
    expect(await consume()).toMatchObject({ allowed: true, used: 1, resetAt: Date.UTC(2026, 2, 1) })
  })

  test('the time zone belongs to the store, and another one counts past events into its months anew', async () => {
    const dir = temporaryDirectory()
    const timestamp = Date.UTC(2026, 2, 31, 23)
    const utc = openBilling({ dir })
    await utc.usage.recordEvent(event({ timestamp }))
    expect(await utc.usage.getCustomerUsage('customer-1', { at: timestamp })).toMatchObject({
      currentPeriodStart: Date.UTC(2026, 2, 1),
      usage: { apiRequests: 1 },
    })
    await utc.close()
    await openBilling({ dir, timeZone: 'Europe/Berlin' }).ready()
    expect(await openBilling({ dir }).usage.getCustomerUsage('customer-1', { at: timestamp })).toMatchObject({
      currentPeriodStart: Date.parse('2026-04-01T00:00:00+02:00'),
      usage: { apiRequests: 1 },
    })
  })
})

describe('reports', () => {
  const hour = 3_600_000
  const start = Date.UTC(2026, 5, 10)

  async function filled() {
    const billing = openBilling()
    await billing.usage.recordEvents([
      event({ timestamp: start, endpoint: '/a', cost: 1 }),
      event({ timestamp: start + 1, endpoint: '/b', cost: 2, units: 5 }),
      event({ timestamp: start + hour, endpoint: '/a', cost: 4, customerId: 'customer-2' }),
      event({ timestamp: start + 30 * hour, eventType: 'data_access', cost: 8 }),
    ])
    return billing.usage
  }

  test('sum a span, its end excluded', async () => {
    const usage = await filled()
    const [row, ...more] = await usage.query({ from: start + 1, to: start + 30 * hour })
    expect(more).toEqual([])
    expect(row).toEqual({ windowStart: start + 1, windowEnd: start + 30 * hour, events: 2, units: 6, cost: '6' })
    expect(await usage.query({ from: start - 5, to: start })).toEqual([])
    expect(await usage.query({ from: start, to: start })).toEqual([])
  })

  test('have a row for each window and group with usage, in the order of time', async () => {
    const usage = await filled()
    expect(
      await usage.query({ from: start, to: start + 48 * hour, window: 'hour', groupBy: ['customerId', 'endpoint'] }),
    ).toEqual([
      {
        windowStart: start,
        windowEnd: start + hour,
        customerId: 'customer-1',
        endpoint: '/a',
        events: 1,
        units: 1,
        cost: '1',
      },
      {
        windowStart: start,
        windowEnd: start + hour,
        customerId: 'customer-1',
        endpoint: '/b',
        events: 1,
        units: 5,
        cost: '2',
      },
      {
        windowStart: start + hour,
        windowEnd: start + 2 * hour,
        customerId: 'customer-2',
        endpoint: '/a',
        events: 1,
        units: 1,
        cost: '4',
      },
      {
        windowStart: start + 30 * hour,
        windowEnd: start + 31 * hour,
        customerId: 'customer-1',
        events: 1,
        units: 1,
        cost: '8',
      },
    ])
    expect(
      await usage.query({
        customerId: 'customer-1',
        from: start,
        to: start + 48 * hour,
        window: 'day',
        groupBy: ['eventType'],
      }),
    ).toEqual([
      { windowStart: start, windowEnd: start + 24 * hour, eventType: 'api_request', events: 2, units: 6, cost: '3' },
      {
        windowStart: start + 24 * hour,
        windowEnd: start + 48 * hour,
        eventType: 'data_access',
        events: 1,
        units: 1,
        cost: '8',
      },
    ])
  })

  test('days begin at the local midnight where the offset is no whole hour', async () => {
    const midnight = Date.parse('2026-06-10T00:00:00+05:30')
    const { usage } = openBilling({ timeZone: 'Asia/Kolkata' })
    await usage.recordEvents([
      event({ timestamp: midnight - 1, cost: 1 }),
      event({ timestamp: midnight, cost: 2 }),
      event({ timestamp: midnight + 1, cost: 4 }),
    ])
    const rows = await usage.query({ from: midnight - 24 * hour, to: midnight + 24 * hour, window: 'day' })
    expect(rows.map(({ windowStart, cost }) => [windowStart, cost])).toEqual([
      [midnight - 24 * hour, '1'],
      [midnight, '6'],
    ])
  })
})
