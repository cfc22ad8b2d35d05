import { type Billing, type BillingOptions, ManualClock, type Reconciliation } from 'weighbridge'
import { event, openBilling, temporaryDirectory } from './support/billing'
import { command, type Ended } from './support/command'
import { sharedDatabase } from './support/postgres'
import { HttpFaults } from './support/httpFaults'
import { StripeMeters } from './support/stripeMeters'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const NOON = Date.UTC(2026, 9, 20, 12)
const fast = { callsPerSecond: 1_000 }

interface World {
  clock: ManualClock
  meters: StripeMeters
  faults: HttpFaults
  billing: Billing
  /** Counts usage an hour and a half before noon. */
  use(units: number, at?: number, customer?: number): Promise<void>
  reconcile(options?: { repair?: boolean; customerId?: string }): Promise<Reconciliation>
}

/** Customers who are known to Stripe as `cus_` and their number, at half past noon. */
async function world(place: BillingOptions = {}): Promise<World> {
  const clock = new ManualClock(NOON + HOUR / 2)
  const meters = await StripeMeters.start({ now: () => clock.now() })
  const faults = await HttpFaults.before(meters.port, 0)
  const stripe = { secretKey: 'sk_test_1', baseUrl: faults.baseUrl, timeoutMs: 2_000, exportUsage: fast }
  const billing = openBilling({ ...place, clock, stripe })
  for (const number of [1, 2]) {
    await billing.customers.upsert({ id: `customer-${number}`, stripeCustomerId: `cus_${number}` })
  }
  return {
    clock,
    meters,
    faults,
    billing,
    async use(units, at = NOON - 1.5 * HOUR, customer = 1) {
      await billing.usage.recordEvent(event({ customerId: `customer-${customer}`, units, timestamp: at, cost: 0 }))
    },
    async reconcile(options = {}) {
      const to = Math.ceil(clock.now() / HOUR) * HOUR
      return billing.stripe.reconcile({ from: NOON - 2 * HOUR, to, ...options })
    },
  }
}

const causes = ({ differences }: Reconciliation) => differences.map(({ cause, units }) => [cause, units])

describe.each([
  ['SQLite', () => ({})],
  ['PostgreSQL', () => sharedDatabase().options],
])('%s', (_, place) => {
  test('what all have counted alike agrees', async () => {
    const { billing, use, reconcile } = await world(place())
    await use(3)
    await use(4, NOON + 60_000)
    await use(5, NOON, 2)
    await billing.stripe.outbox.flush()
    const { agrees, customers, stripe, differences } = await reconcile()
    expect({ agrees, differences }).toEqual({ agrees: true, differences: [] })
    const ours = (customerId: string, units: number) => ({
      ...{ customerId, eventType: 'api_request', events: units, rollups: units },
      reported: { sent: units },
    })
    expect(customers).toEqual([ours('customer-1', 7), ours('customer-2', 5)])
    expect(stripe.filter(({ sent }) => sent > 0)).toMatchObject([
      { stripeCustomerId: 'cus_1', customerIds: ['customer-1'], sent: 7, counted: '7' },
      { stripeCustomerId: 'cus_2', customerIds: ['customer-2'], sent: 5, counted: '5' },
    ])
  })

  test('what Stripe has lost is sent again', async () => {
    const { billing, clock, meters, use, reconcile } = await world(place())
    await use(10)
    await billing.stripe.outbox.flush()
    const [lost] = meters.taken
    if (lost !== undefined) lost.value = 7
    expect(causes(await reconcile({ repair: true }))).toEqual([['late', 3]])
    clock.advance(2 * HOUR)
    expect(await reconcile()).toMatchObject({
      agrees: false,
      differences: [
        { cause: 'missing_at_stripe', units: 3, stripeCustomerId: 'cus_1', repairs: ['resend'], repaired: false },
      ],
    })
    const repaired = await reconcile({ repair: true })
    expect(repaired.differences).toMatchObject([{ cause: 'missing_at_stripe', repaired: true, reason: null }])
    expect(causes(await reconcile())).toEqual([['on_its_way', 3]])
    await billing.stripe.outbox.flush()
    expect(meters.totals).toEqual({ 'api_request cus_1': 10 })
    expect(await reconcile()).toMatchObject({ agrees: true, differences: [] })
  })

  test('what Stripe has too much is taken back within a day', async () => {
    const { billing, clock, meters, use, reconcile } = await world(place())
    await use(10)
    await billing.stripe.outbox.flush()
    clock.advance(2 * HOUR)
    const [own] = meters.taken
    if (own !== undefined) meters.taken.push({ ...own, value: 4, identifier: 'of somebody else' })
    const repaired = await reconcile({ repair: true })
    expect(repaired.differences).toMatchObject([
      { cause: 'counted_at_stripe_only', units: 4, repairs: ['cancel'], repaired: true },
    ])
    expect(meters.totals).toEqual({ 'api_request cus_1': 4 })
    await billing.stripe.outbox.flush()
    expect(meters.totals).toEqual({ 'api_request cus_1': 10 })
    expect(await reconcile()).toMatchObject({ agrees: true })
  })

  test('later than that it is carried forward', async () => {
    const { billing, clock, meters, use, reconcile } = await world(place())
    await use(10)
    await billing.stripe.outbox.flush()
    const [own] = meters.taken
    if (own !== undefined) meters.taken.push({ ...own, value: 4, identifier: 'of somebody else' })
    clock.advance(25 * HOUR)
    const waiting = await reconcile({ repair: true })
    expect(waiting.differences).toMatchObject([
      {
        cause: 'counted_at_stripe_only',
        units: 4,
        repairs: ['carry_forward'],
        repaired: false,
        reason: '4 units wait for usage that is still to be sent',
      },
    ])
    await use(6, clock.now())
    expect((await reconcile({ repair: true })).differences[0]).toMatchObject({ repaired: true })
    await billing.stripe.outbox.flush()
    expect(meters.totals).toEqual({ 'api_request cus_1': 16 })
    expect(await reconcile()).toMatchObject({ agrees: true })
  })

  test.each([
    ['arrived', 'cut after', 'settle'],
    ['did not arrive', 'cut before', 'resend'],
  ] as const)('what is uncertain and %s is settled by what Stripe has counted', async (_, fault, repair) => {
    const { billing, clock, faults, meters, use, reconcile } = await world(place())
    await use(5)
    faults.always = fault
    await expect(billing.stripe.outbox.flush({ timeoutMs: 100 })).rejects.toMatchObject({ code: 'export_timeout' })
    faults.always = undefined
    clock.advance(25 * HOUR)
    await billing.stripe.outbox.flush()
    const repaired = await reconcile({ repair: true })
    expect(repaired.differences).toMatchObject([{ cause: 'uncertain', units: 5, repairs: [repair], repaired: true }])
    await billing.stripe.outbox.flush()
    expect(meters.totals).toEqual({ 'api_request cus_1': 5 })
    expect(await reconcile()).toMatchObject({ agrees: true })
  })
})

test('what was refused is sent again when its cause is mended', async () => {
  const { billing, clock, meters, use, reconcile } = await world()
  await use(5)
  meters.eventNames = new Set(['agent_execution', 'data_access'])
  await billing.stripe.outbox.flush()
  meters.eventNames = undefined
  clock.advance(2 * HOUR)
  expect((await reconcile({ repair: true })).differences).toMatchObject([
    { cause: 'dead', units: 5, repairs: ['resend'], repaired: true },
  ])
  await billing.stripe.outbox.flush()
  expect(meters.totals).toEqual({ 'api_request cus_1': 5 })
})

test('what is too old for Stripe is carried forward', async () => {
  const { billing, clock, meters, use } = await world()
  await use(5, NOON - 36 * DAY)
  await billing.stripe.outbox.flush()
  const span = { from: NOON - 37 * DAY, to: NOON + HOUR }
  expect((await billing.stripe.reconcile({ ...span, repair: true })).differences).toMatchObject([
    { cause: 'frozen', units: 5, repairs: ['resend'], repaired: true },
  ])
  await billing.stripe.outbox.flush()
  expect(meters.taken).toMatchObject([{ value: 5, timestamp: Math.floor(clock.now() / 1_000) }])
  expect(await billing.stripe.reconcile(span)).toMatchObject({ agrees: true })
})

test('what nobody reports is told as such', async () => {
  const { billing, use, reconcile } = await world()
  await billing.usage.recordEvent(event({ customerId: 'free', units: 2, timestamp: NOON, cost: 0 }))
  await billing.usage.recordEvent(event({ customerId: 'late', units: 3, timestamp: NOON, cost: 0 }))
  await billing.customers.upsert({ id: 'late', stripeCustomerId: 'cus_late' })
  await use(1)
  const { differences } = await reconcile()
  expect(differences).toMatchObject([
    { cause: 'no_stripe_customer', customerId: 'free', units: 2, repairs: [] },
    { cause: 'before_export', customerId: 'late', units: 3, repairs: [] },
    { cause: 'on_its_way', stripeCustomerId: 'cus_1', units: 1, at: NOON - 2 * HOUR },
  ])
  expect(causes(await reconcile({ customerId: 'free' }))).toEqual([['no_stripe_customer', 2]])
})

test('customers who are one at Stripe are compared together', async () => {
  const { billing, use, reconcile } = await world()
  await billing.customers.upsert({ id: 'customer-2', stripeCustomerId: 'cus_1' })
  await use(3)
  await use(4, NOON, 2)
  await billing.stripe.outbox.flush()
  for (const options of [{}, { customerId: 'customer-2' }]) {
    const { agrees, stripe } = await reconcile(options)
    expect(agrees).toBe(true)
    expect(stripe).toContainEqual({
      stripeCustomerId: 'cus_1',
      eventType: 'api_request',
      customerIds: ['customer-1', 'customer-2'],
      sent: 7,
      counted: '7',
    })
  }
})

test.each<[string, object, string]>([
  ['no whole hours', { from: NOON - HOUR, to: NOON - 1 }, 'whole UTC hours'],
  ['nothing between', { from: NOON, to: NOON }, 'before'],
  ['too long ago', { from: NOON - 41 * DAY, to: NOON }, '40 days'],
  ['no instant', { from: '2026-10-20', to: NOON }, 'milliseconds'],
  ['an unknown meter', { from: NOON, to: NOON + HOUR, meters: { api_request: 'nobody' } }, 'no active meter'],
  ['an unknown option', { from: NOON, to: NOON + HOUR, repairs: true }, 'did you mean "repair"'],
])('a mistake: %s', async (_, options, message) => {
  const { billing } = await world()
  await expect(billing.stripe.reconcile(options as never)).rejects.toMatchObject({
    code: 'invalid_argument',
    message: expect.stringContaining(message),
  })
})

describe('weighbridge reconcile', () => {
  async function reconciled(baseUrl: string, ...args: string[]): Promise<Ended> {
    const environment = { STRIPE_SECRET_KEY: 'sk_test_1', STRIPE_BASE_URL: baseUrl }
    return command(['reconcile', ...args], environment).ended
  }

  test('the exit code says whether all agree', async () => {
    const meters = await StripeMeters.start()
    const dir = temporaryDirectory()
    const billing = openBilling({ dir, stripe: { secretKey: 'sk_test_1', baseUrl: meters.baseUrl, exportUsage: fast } })
    await billing.customers.upsert({ id: 'customer-1', stripeCustomerId: 'cus_1' })
    const hour = Math.floor(Date.now() / HOUR) * HOUR
    await billing.usage.recordEvent(event({ units: 5, timestamp: hour - HOUR, cost: 0 }))
    await billing.stripe.outbox.flush()
    const span = ['--dir', dir, '--from', new Date(hour - 2 * HOUR).toISOString(), '--to', new Date(hour).toISOString()]
    const agreeing = await reconciled(meters.baseUrl, ...span)
    expect(agreeing).toMatchObject({ code: 0, errors: '', output: expect.stringContaining('All agree.') })
    const json = await reconciled(meters.baseUrl, ...span, '--json', '--meter', 'api_request=api_request')
    expect(JSON.parse(json.output)).toMatchObject({ agrees: true })
    meters.taken.pop()
    const differing = await reconciled(meters.baseUrl, ...span)
    expect(differing).toMatchObject({ code: 1, output: expect.stringMatching(/late +cus_1 +api_request .* 5/) })
    const away = await reconciled('http://127.0.0.1:9', ...span)
    expect(away).toMatchObject({ code: 1, output: '', errors: expect.stringContaining('weighbridge reconcile: ') })
  })

  test.each([
    ['no span', []],
    ['a day that is none', ['--from', 'yesterday']],
    ['an argument too many', ['--from', '2026-01-01', 'more']],
    ['a meter without a name', ['--from', '2026-01-01', '--meter', 'api_request']],
    ['an unknown option', ['--form', '2026-01-01']],
  ])('a wrong call: %s', async (_, args) => {
    expect(await reconciled('http://127.0.0.1:9', ...args)).toMatchObject({ code: 2, output: '' })
  })
})
