import { Billing, BillingError, type BillingOptions } from 'weighbridge'
import { openBilling } from './support/billing'
import { freshDirectory } from './support/directory'

const good = { customerId: 'acme', eventType: 'api_request', timestamp: 1_700_000_000_000, cost: 1 }
const circular: Record<string, unknown> = {}
circular['self'] = circular

/** What the message must name, the bad value, and the code where it is not `invalid_argument`. */
type BadValue = [names: string, value: Record<string, unknown> | null, code?: string]

const withCode = ([names, value, code = 'invalid_argument']: BadValue) => [names, value, code] as const

/** Bad values of an event, by the field that the message must name. */
const badEvents: BadValue[] = [
  ['customerId', { customerId: '' }],
  ['customerId', { customerId: 'x'.repeat(256) }],
  ['customerId', { customerId: 'é'.repeat(128) }],
  ['customerId', { customerId: 'a\u0000b' }],
  ['customerId', { customerId: 5 }],
  ['customerId', { customerId: undefined }],
  ['customerId', { customerId: null }],
  ['id', { id: '' }],
  ['id', { id: 'x'.repeat(256) }],
  ['eventType', { eventType: 'api_requests' }],
  ['eventType', { eventType: undefined }],
  ['cost', { cost: NaN }],
  ['cost', { cost: Infinity }],
  ['cost', { cost: -0.01 }],
  ['cost', { cost: 1e12 }],
  ['cost', { cost: 1e-13 }],
  ['cost', { cost: '' }],
  ['cost', { cost: '1,5' }],
  ['cost', { cost: '0.1234567890123' }],
  ['cost', { cost: null }],
  ['cost', { cost: 1n }],
  ['timestamp', { timestamp: NaN }],
  ['timestamp', { timestamp: -1 }],
  ['timestamp', { timestamp: 0.5 }],
  ['timestamp', { timestamp: 253_402_300_800_000 }],
  ['timestamp', { timestamp: '2026-01-01' }],
  ['timestamp', { timestamp: new Date() }],
  ['units', { units: 0 }],
  ['units', { units: -1 }],
  ['units', { units: 1.5 }],
  ['units', { units: 2 ** 53 }],
  ['units', { units: '3' }],
  ['metadata', { metadata: 'text' }],
  ['metadata', { metadata: [1] }],
  ['metadata', { metadata: circular }],
  ['metadata', { metadata: { big: 1n } }],
  ['metadata', { metadata: { text: 'x'.repeat(16 * 1024) } }, 'metadata_too_large'],
  ['endpoint', { endpoint: 7 }],
  ['endpoint', { endpoint: '/'.repeat(2049) }],
  ['agentType', { agentType: {} }],
  ['subscriptionId', { subscriptionId: '' }],
]

test.each(badEvents.map(withCode))(
  'an event with a bad %s is refused and changes nothing (%#)',
  async (field, changes, code) => {
    const { usage, customers } = openBilling()
    const error = await refusal(() => usage.recordEvent({ ...good, ...changes } as never))
    expect(error).toBeInstanceOf(BillingError)
    expect(error).toBeInstanceOf(Error)
    expect(error).toMatchObject({ code, message: expect.stringContaining(field) })
    expect((await customers.list()).data).toEqual([])
    expect(await usage.query({ from: 0, to: 253_402_300_799_999 })).toEqual([])
  },
)

test('what is no event is refused', async () => {
  const { usage } = openBilling()
  for (const value of [null, undefined, 'event', 7]) {
    expect(await refusal(() => usage.recordEvent(value as never))).toMatchObject({ code: 'invalid_argument' })
  }
  expect(await refusal(() => usage.recordEvents('events' as never))).toMatchObject({ code: 'invalid_argument' })
})

const badCalls: [name: string, names: string, call: (billing: Billing) => unknown][] = [
  ['consume: a misspelt name', 'units', ({ usage }) => usage.consume({ ...consumption, unit: 3 } as never)],
  ['consume: no units', 'units', ({ usage }) => usage.consume({ ...consumption, units: 0 })],
  ['consume: nothing', 'consume', ({ usage }) => usage.consume(undefined as never)],
  ['query: backwards', 'from', ({ usage }) => usage.query({ from: 5, to: 1 })],
  ['query: no number', 'to', ({ usage }) => usage.query({ from: 0, to: 'now' as never })],
  ['query: another window', 'window', ({ usage }) => usage.query({ from: 0, to: 1, window: 'week' as never })],
  ['query: another group', 'groupBy', ({ usage }) => usage.query({ from: 0, to: 1, groupBy: ['tier' as never] })],
  ['getCustomerUsage: at', 'at', ({ usage }) => usage.getCustomerUsage('acme', { at: NaN })],
  ['getCustomerUsage: id', 'customerId', ({ usage }) => usage.getCustomerUsage(5 as never)],
  ['checkLimits: type', 'eventType', ({ usage }) => usage.checkLimits('acme', 5 as never)],
  ['keys.create: expiry', 'expiresAt', ({ keys }) => keys.create({ customerId: 'acme', expiresAt: -1 })],
  ['keys.create: key', 'key', ({ keys }) => keys.create({ customerId: 'acme', key: 'with a space' })],
  ['keys.create: name', 'name', ({ keys }) => keys.create({ customerId: 'acme', name: '' })],
  ['keys.create: customer', 'customerId', ({ keys }) => keys.create({ customerId: '' })],
  ['keys.rotate: overlap', 'overlapMs', ({ keys }) => keys.rotate('key_1', { overlapMs: NaN })],
  ['keys.verify: no string', 'key', ({ keys }) => keys.verify(undefined as never)],
  [
    'customers.upsert: suspended',
    'suspended',
    ({ customers }) => customers.upsert({ id: 'acme', suspended: 1 as never }),
  ],
  ['customers.upsert: tier', 'tier', ({ customers }) => customers.upsert({ id: 'acme', tier: '' })],
  [
    'customers.upsert: a misspelt name',
    'tier',
    ({ customers }) => customers.upsert({ id: 'acme', teir: 'x' } as never),
  ],
  ['customers.list: limit', 'limit', ({ customers }) => customers.list({ limit: 1001 })],
  ['close: timeout', 'timeoutMs', (billing) => billing.close({ timeoutMs: -1 })],
  ['middleware: unpriced', 'unpriced', (billing) => billing.middleware({ unpriced: 'no' as never })],
  ['middleware: handler', 'handler', (billing) => billing.middleware({ handler: 5 as never })],
  ['usageHandler: a stranger', 'colour', (billing) => billing.usageHandler({ colour: 1 } as never)],
]
const consumption = { customerId: 'acme', eventType: 'api_request' } as const

test.each(badCalls)('%s is refused and changes nothing', async (_name, names, call) => {
  const billing = openBilling()
  const error = await refusal(() => call(billing))
  expect(error).toBeInstanceOf(BillingError)
  expect(error).toMatchObject({ code: 'invalid_argument', message: expect.stringContaining(names) })
  expect((await billing.customers.list()).data).toEqual([])
})

const badOptions: BadValue[] = [
  ['did you mean "tiers"?', { tier: [] }],
  ['takes an object', null],
  ['dir', { dir: 5 }],
  ['dir', { dir: '' }],
  ['store', { store: 'redis://x' }],
  ['timeZone', { timeZone: 'Mars/Olympus' }],
  ['timeZone', { timeZone: 5 }],
  ['clock', { clock: {} }],
  ['clock', { clock: { now: () => NaN } }],
  ['actionLogger.startWork', { actionLogger: {} }],
  ['tiers', { tiers: 'starter' }],
  ['tiers[0]', { tiers: [{ id: 'x' }] }],
  ['apiRequestsPerMonth', { tiers: [tier('x', -1)] }, 'invalid_catalog'],
  ['listed twice', { tiers: [tier('x', 1), tier('x', 2)] }, 'invalid_catalog'],
  ['pricing', { pricing: [] }],
  ['pricing', { pricing: { '/x': 5 } }],
  ['"x"', { pricing: { x: { pricePerRequest: 1 } } }, 'invalid_catalog'],
  ['/a/:id(', { pricing: { '/a/:id(\\d+)': { pricePerRequest: 1 } } }, 'invalid_catalog'],
  ['pricePerRequest', { pricing: { '/x': { pricePerRequest: NaN } } }],
  ['gold', { pricing: { '/x': { pricePerRequest: 1, requiredTier: 'gold' } } }, 'invalid_catalog'],
  ['secret', { stripe: { secret: 'sk_test' } }],
  ['baseUrl', { stripe: { secretKey: 'sk_test_1', baseUrl: 'ftp://x' } }],
]

test.each(badOptions.map(withCode))('new Billing refuses what concerns %s (%#)', (names, options, code) => {
  const dir = freshDirectory()
  let error: unknown
  try {
    new Billing(options === null ? (null as never) : ({ dir, ...options } as BillingOptions))
  } catch (thrown) {
    error = thrown
  }
  expect(error).toBeInstanceOf(BillingError)
  expect(error).toMatchObject({ code, message: expect.stringContaining(names) })
  expect((error as Error).message).not.toContain('sk_test')
})

function tier(id: string, apiRequestsPerMonth: number): object {
  return { id, features: { apiRequestsPerMonth, agentExecutionsPerMonth: 1 } }
}

/** What a call throws or rejects with. */
async function refusal(call: () => unknown): Promise<unknown> {
  try {
    await call()
  } catch (error) {
    return error
  }
  throw new Error('the call was not refused')
}
