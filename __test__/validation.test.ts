import { readdirSync } from 'node:fs'
import {
  Billing,
  BillingError,
  type BillingErrorCode,
  type BillingOptions,
  createBillingMiddleware,
  ManualClock,
  type MiddlewareOptions,
  StripeService,
  subscriptionTiers,
  type UsageEvent,
} from 'weighbridge'
import { contents, event, keyOf, limitedTo, openBilling, temporaryDirectory } from './support/billing'

const tooLong = 'ü'.repeat(128)
const circular: Record<string, unknown> = {}
circular['itself'] = circular
const tooLate = Date.UTC(10_000, 0, 1)

/** What no TypeScript caller could pass without a cast. */
const bad = (value: unknown): never => value as never

type Refused = [what: string, operation: (billing: Billing) => unknown, says: string, code?: BillingErrorCode]

const events: Refused[] = (
  [
    ['no customerId', { customerId: undefined }, '`customerId`'],
    ['a customerId that is a number', { customerId: 5 }, '`customerId`'],
    ['an empty customerId', { customerId: '' }, '`customerId`'],
    ['a customerId of 256 bytes', { customerId: tooLong }, '`customerId`'],
    ['a customerId with a line break', { customerId: 'a\nb' }, '`customerId`'],
    ['an empty id', { id: '' }, '`id`'],
    ['an id of 256 bytes', { id: tooLong }, '`id`'],
    ['an id that is a number', { id: 5 }, '`id`'],
    ['an empty subscriptionId', { subscriptionId: '' }, '`subscriptionId`'],
    ['no eventType', { eventType: undefined }, '`eventType`'],
    ['an eventType that is none', { eventType: 'api_requests' }, 'api_requests'],
    ['an eventType of the prototype', { eventType: 'constructor' }, 'constructor'],
    ['no units', { units: 0 }, '`units`'],
    ['negative units', { units: -1 }, '`units`'],
    ['half a unit', { units: 0.5 }, '`units`'],
    ['units that are NaN', { units: NaN }, '`units`'],
    ['unsafe units', { units: 2 ** 53 }, '`units`'],
    ['units that are a string', { units: '1' }, '`units`'],
    ['no cost', { cost: undefined }, '`cost`'],
    ['a negative cost', { cost: -0.01 }, '`cost`'],
    ['a cost that is NaN', { cost: NaN }, '`cost`'],
    ['an infinite cost', { cost: Infinity }, '`cost`'],
    ['a cost of 10^12', { cost: 1e12 }, '`cost`'],
    ['a cost with 13 decimal places', { cost: '0.0000000000001' }, '`cost`'],
    ['a cost that is no decimal', { cost: '1e3' }, '`cost`'],
    ['a cost that is an object', { cost: {} }, '`cost`'],
    ['no timestamp', { timestamp: undefined }, '`timestamp`'],
    ['a timestamp that is NaN', { timestamp: NaN }, '`timestamp`'],
    ['a negative timestamp', { timestamp: -1 }, '`timestamp`'],
    ['a timestamp with a fraction', { timestamp: 0.5 }, '`timestamp`'],
    ['a timestamp beyond the year 9999', { timestamp: tooLate }, '`timestamp`'],
    ['a timestamp that is a string', { timestamp: '2026-01-01' }, '`timestamp`'],
    ['a timestamp that is a Date', { timestamp: new Date() }, '`timestamp`'],
    ['an endpoint that is a number', { endpoint: 5 }, '`endpoint`'],
    ['an endpoint of 2,049 bytes', { endpoint: `/${'x'.repeat(2048)}` }, '`endpoint`'],
    ['an agentType of 2,049 bytes', { agentType: 'x'.repeat(2049) }, '`agentType`'],
    ['an endpoint with a NUL', { endpoint: '/a\0b' }, '`endpoint`'],
    ['circular metadata', { metadata: circular }, '`metadata`'],
    ['metadata that are an array', { metadata: [1] }, '`metadata`'],
    ['metadata that are a string', { metadata: '{}' }, '`metadata`'],
    ['metadata that are a date', { metadata: new Date(0) }, '`metadata`'],
    ['metadata with a BigInt', { metadata: { big: 1n } }, '`metadata`'],
    ['metadata that are a function', { metadata: () => {} }, '`metadata`'],
    ['metadata that have no JSON', { metadata: { toJSON: () => undefined } }, '`metadata`'],
  ] as const
).map(([what, fields, says]) => [
  `an event with ${what}`,
  ({ usage }) => usage.recordEvent({ ...event(), ...(fields as object) } as UsageEvent),
  says,
])

const consumption = { customerId: 'customer-1', eventType: 'api_request' } as const

const calls: Refused[] = [
  ...events,
  [
    'metadata of more than 16 KiB',
    ({ usage }) => usage.recordEvent(event({ metadata: { text: 'x'.repeat(16 * 1024) } })),
    '`metadata`',
    'metadata_too_large',
  ],
  [
    'metadata of more than 16 KiB to consume',
    ({ usage }) => usage.consume({ ...consumption, metadata: { text: 'x'.repeat(16 * 1024) } }),
    '`metadata`',
    'metadata_too_large',
  ],
  ['no event', ({ usage }) => usage.recordEvent(bad(undefined)), 'event'],
  ['a string for an event', ({ usage }) => usage.recordEvent(bad('event')), 'event'],
  ['events that are no array', ({ usage }) => usage.recordEvents(bad(event())), '`events`'],
  ['nothing to consume', ({ usage }) => usage.consume(bad(undefined)), 'consume'],
  [
    'an unknown name to consume',
    ({ usage }) => usage.consume(bad({ ...consumption, unit: 2 })),
    'did you mean "units"',
  ],
  [
    'a customer to consume who has no id',
    ({ usage }) => usage.consume({ ...consumption, customerId: '' }),
    '`customerId`',
  ],
  ['nobody to consume', ({ usage }) => usage.consume(bad({ eventType: 'api_request' })), '`customerId`'],
  ['an eventType to consume that is none', ({ usage }) => usage.consume({ ...consumption, eventType: bad('x') }), 'x'],
  ['no units to consume', ({ usage }) => usage.consume({ ...consumption, units: 0 }), '`units`'],
  ['NaN units to consume', ({ usage }) => usage.consume({ ...consumption, units: NaN }), '`units`'],
  ['unsafe units to consume', ({ usage }) => usage.consume({ ...consumption, units: 2 ** 53 }), '`units`'],
  ['a negative cost to consume', ({ usage }) => usage.consume({ ...consumption, cost: -1 }), '`cost`'],
  ['an id of 256 bytes to consume', ({ usage }) => usage.consume({ ...consumption, id: tooLong }), '`id`'],
  ['circular metadata to consume', ({ usage }) => usage.consume({ ...consumption, metadata: circular }), '`metadata`'],

  ['usage of a number', ({ usage }) => usage.getCustomerUsage(bad(5)), '`customerId`'],
  ['usage of nobody', ({ usage }) => usage.getCustomerUsage(''), '`customerId`'],
  ['usage at NaN', ({ usage }) => usage.getCustomerUsage('customer-1', { at: NaN }), '`at`'],
  ['usage before 1970', ({ usage }) => usage.getCustomerUsage('customer-1', { at: -1 }), '`at`'],
  ['usage after 9999', ({ usage }) => usage.getCustomerUsage('customer-1', { at: tooLate }), '`at`'],
  ['usage at a string', ({ usage }) => usage.getCustomerUsage('customer-1', { at: bad('now') }), '`at`'],
  ['usage with an unknown option', ({ usage }) => usage.getCustomerUsage('customer-1', bad({ when: 1 })), '"when"'],
  ['limits of nobody', ({ usage }) => usage.checkLimits('', 'api_request'), '`customerId`'],
  ['limits of a number', ({ usage }) => usage.checkLimits(bad(5), 'api_request'), '`customerId`'],
  ['limits of no event type', ({ usage }) => usage.checkLimits('customer-1', bad(undefined)), '`eventType`'],

  ['a query without a span', ({ usage }) => usage.query(bad({})), '`from`'],
  ['a query without an end', ({ usage }) => usage.query(bad({ from: 0 })), '`to`'],
  ['a query from NaN', ({ usage }) => usage.query({ from: NaN, to: 1 }), '`from`'],
  ['a query to Infinity', ({ usage }) => usage.query({ from: 0, to: Infinity }), '`to`'],
  ['a query backwards', ({ usage }) => usage.query({ from: 2, to: 1 }), '`from`'],
  ['a query by the year', ({ usage }) => usage.query({ from: 0, to: 1, window: bad('year') }), 'year'],
  ['a query grouped by the colour', ({ usage }) => usage.query({ from: 0, to: 1, groupBy: bad(['color']) }), 'color'],
  [
    'a query grouped by a string',
    ({ usage }) => usage.query({ from: 0, to: 1, groupBy: bad('endpoint') }),
    '`groupBy`',
  ],
  ['a query about nobody', ({ usage }) => usage.query({ from: 0, to: 1, customerId: '' }), '`customerId`'],
  ['a query with an unknown name', ({ usage }) => usage.query(bad({ from: 0, to: 1, until: 2 })), '"until"'],

  ['a key for nobody', ({ keys }) => keys.create(bad({})), '`customerId`'],
  ['a key for an empty id', ({ keys }) => keys.create({ customerId: '' }), '`customerId`'],
  ['a key for an id of 256 bytes', ({ keys }) => keys.create({ customerId: tooLong }), '`customerId`'],
  ['a key without a name in its name', ({ keys }) => keys.create({ customerId: 'c', name: '' }), '`name`'],
  ['a key with a number for a name', ({ keys }) => keys.create({ customerId: 'c', name: bad(5) }), '`name`'],
  ['a key that expires at NaN', ({ keys }) => keys.create({ customerId: 'c', expiresAt: NaN }), '`expiresAt`'],
  ['a key that expires before 1970', ({ keys }) => keys.create({ customerId: 'c', expiresAt: -1 }), '`expiresAt`'],
  ['a key that expires after 9999', ({ keys }) => keys.create({ customerId: 'c', expiresAt: tooLate }), '`expiresAt`'],
  [
    'a key that expires on a Date',
    ({ keys }) => keys.create({ customerId: 'c', expiresAt: bad(new Date()) }),
    '`expiresAt`',
  ],
  ['an imported key that is too short', ({ keys }) => keys.create({ customerId: 'c', key: 'short' }), '`key`'],
  ['an imported key that is too long', ({ keys }) => keys.create({ customerId: 'c', key: 'x'.repeat(256) }), '`key`'],
  ['an imported key with a space', ({ keys }) => keys.create({ customerId: 'c', key: 'with a space' }), '`key`'],
  [
    'an imported key that looks generated',
    ({ keys }) => keys.create({ customerId: 'c', key: 'wb_notreally' }),
    '`key`',
  ],
  ['an imported key that is a number', ({ keys }) => keys.create({ customerId: 'c', key: bad(12345678) }), '`key`'],
  ['a key with an unknown name', ({ keys }) => keys.create(bad({ customerId: 'c', expires: 5 })), '"expiresAt"'],
  ['nothing for a key', ({ keys }) => keys.create(bad(undefined)), 'keys.create'],
  ['a rotation of nothing', ({ keys }) => keys.rotate(bad(undefined)), '`id`'],
  ['a rotation of an unknown key', ({ keys }) => keys.rotate('none'), 'none', 'unknown_key'],
  ['a rotation with a negative overlap', ({ keys }) => keys.rotate('none', { overlapMs: -1 }), '`overlapMs`'],
  ['a rotation with a NaN overlap', ({ keys }) => keys.rotate('none', { overlapMs: NaN }), '`overlapMs`'],
  ['a rotation with a string overlap', ({ keys }) => keys.rotate('none', { overlapMs: bad('1') }), '`overlapMs`'],
  ['a rotation with an unknown name', ({ keys }) => keys.rotate('none', bad({ overlap: 1 })), '"overlapMs"'],
  ['a revocation of nothing', ({ keys }) => keys.revoke(bad(null)), '`id`'],
  ['a revocation of an unknown key', ({ keys }) => keys.revoke('none'), 'none', 'unknown_key'],
  ['a verification of nothing', ({ keys }) => keys.verify(bad(undefined)), '`key`'],
  ['the keys of nobody', ({ keys }) => keys.list(''), '`customerId`'],
  ['the keys of a number', ({ keys }) => keys.list(bad(5)), '`customerId`'],

  ['a customer without an id', ({ customers }) => customers.upsert(bad({})), '`id`'],
  ['a customer with an empty id', ({ customers }) => customers.upsert({ id: '' }), '`id`'],
  ['a customer with an id of 256 bytes', ({ customers }) => customers.upsert({ id: tooLong }), '`id`'],
  ['a customer with a number for an id', ({ customers }) => customers.upsert({ id: bad(5) }), '`id`'],
  [
    'a customer with an unknown tier',
    ({ customers }) => customers.upsert({ id: 'c', tier: 'gold' }),
    'gold',
    'unknown_tier',
  ],
  ['a customer with an empty tier', ({ customers }) => customers.upsert({ id: 'c', tier: '' }), '`tier`'],
  ['a customer with a number for a tier', ({ customers }) => customers.upsert({ id: 'c', tier: bad(5) }), '`tier`'],
  [
    'a customer with an empty subscription',
    ({ customers }) => customers.upsert({ id: 'c', subscriptionId: '' }),
    '`subscriptionId`',
  ],
  [
    'a customer with a long Stripe id',
    ({ customers }) => customers.upsert({ id: 'c', stripeCustomerId: tooLong }),
    '`stripeCustomerId`',
  ],
  [
    'a customer suspended by a string',
    ({ customers }) => customers.upsert({ id: 'c', suspended: bad('yes') }),
    '`suspended`',
  ],
  ['a customer with an unknown name', ({ customers }) => customers.upsert(bad({ id: 'c', teir: 'starter' })), '"tier"'],
  ['nothing for a customer', ({ customers }) => customers.upsert(bad(null)), 'customers.upsert'],
  ['nobody', ({ customers }) => customers.get(''), '`id`'],
  ['a customer by a number', ({ customers }) => customers.get(bad(5)), '`id`'],
  ['a page of none', ({ customers }) => customers.list({ limit: 0 }), '`limit`'],
  ['a page of 1,001', ({ customers }) => customers.list({ limit: 1001 }), '`limit`'],
  ['a page of NaN', ({ customers }) => customers.list({ limit: NaN }), '`limit`'],
  ['a page of a string', ({ customers }) => customers.list({ limit: bad('5') }), '`limit`'],
  ['a page after a number', ({ customers }) => customers.list({ startingAfter: bad(5) }), '`startingAfter`'],
  ['a page with an unknown name', ({ customers }) => customers.list(bad({ after: 'c' })), '"after"'],

  ['closing in NaN', (billing) => billing.close({ timeoutMs: NaN }), '`timeoutMs`'],
  ['closing in the past', (billing) => billing.close({ timeoutMs: -1 }), '`timeoutMs`'],
  ['closing in a string', (billing) => billing.close({ timeoutMs: bad('5') }), '`timeoutMs`'],
  ['closing with an unknown name', (billing) => billing.close(bad({ timeout: 5 })), '"timeoutMs"'],
]

test.each(calls)('%s is refused, and the store is as it was', async (_, operation, says, code = 'invalid_argument') => {
  const billing = openBilling({ clock: new ManualClock(Date.UTC(2026, 0, 15)) })
  await keyOf(billing, 'customer-1', 'starter')
  await billing.usage.recordEvent(event({ timestamp: Date.UTC(2026, 0, 14) }))
  const before = await contents(billing)

  const error: unknown = await Promise.resolve(operation(billing)).then(
    () => 'nothing was refused',
    (error) => error,
  )
  expect(error).toBeInstanceOf(BillingError)
  expect(error).toBeInstanceOf(Error)
  expect(error).toMatchObject({ name: 'BillingError', code, message: expect.stringContaining(says) })
  expect((error as Error).stack).toContain('BillingError')
  expect(await contents(billing)).toEqual(before)
})

const startedIn = process.cwd()
const [tier] = limitedTo(5)
const withFeatures = (features: object) => [{ ...tier, features: { ...tier?.features, ...features } }]
const price = (pricePerRequest: unknown, more: object = {}) => ({ '/api/execute': { pricePerRequest, ...more } })

const options: [what: string, options: unknown, says: string, code?: BillingErrorCode][] = [
  ['null', null, 'new Billing'],
  ['a string', 'logs/usage', 'new Billing'],
  ['an array', [], 'new Billing'],
  ['a misspelt name', { teirs: [] }, 'did you mean "tiers"'],
  ['a misspelt time zone', { timezone: 'UTC' }, 'did you mean "timeZone"'],
  ['a name like no other', { qqqqqq: 1 }, 'the options are: dir, path, store'],
  ['an empty dir', { dir: '' }, '`dir`'],
  ['a dir that is a number', { dir: 5 }, '`dir`'],
  ['a path that is null', { path: null }, '`path`'],
  ['a store that there is not', { store: 'mysql://localhost/x' }, '`store`'],
  ['a database without a host', { store: 'postgres:///x' }, '`store`'],
  ['a database with a port that is none', { store: 'postgres://localhost:many/x' }, '`store`'],
  ['an sslmode that there is not', { store: 'postgres://localhost/x?sslmode=maybe' }, '`sslmode`'],
  [
    'certificates that are not there',
    { store: 'postgres://h/x?sslmode=verify-full&sslrootcert=none' },
    '`sslrootcert`',
  ],
  ['a schema that is no name', { store: 'postgres://localhost/x', postgres: { schema: 'a b' } }, '`schema`'],
  ['no months at all', { store: 'postgres://localhost/x', postgres: { retentionMonths: 0 } }, '`retentionMonths`'],
  ['a misspelt name for PostgreSQL', { store: 'postgres://h/x', postgres: { shema: 'a' } }, 'did you mean "schema"'],
  ['options for PostgreSQL and none', { postgres: { schema: 'billing' } }, '`postgres`'],
  ['a file and a database', { store: 'postgres://localhost/x', path: 'usage.db' }, '`path`'],
  ['a time zone on Mars', { timeZone: 'Mars/Phobos' }, 'Mars/Phobos'],
  ['an empty time zone', { timeZone: '' }, '`timeZone`'],
  ['a time zone that is a number', { timeZone: 5 }, '`timeZone`'],
  ['a clock that is a function', { clock: () => 0 }, '`clock`'],
  ['a clock that says NaN', { clock: { now: () => NaN } }, 'now'],
  ['a clock before 1970', { clock: { now: () => -1 } }, 'now'],
  ['a clock that says a string', { clock: { now: () => '2026' } }, 'now'],
  ['an action logger without completeWork', { actionLogger: { startWork: () => 1 } }, '`actionLogger.completeWork`'],
  ['an action logger that is null', { actionLogger: null }, '`actionLogger.startWork`'],
  ['tiers that are an object', { tiers: {} }, '`tiers`'],
  ['a tier that is null', { tiers: [null] }, 'tiers[0]'],
  ['a tier without features', { tiers: [{ ...tier, features: undefined }] }, 'tiers[0]'],
  ['a tier without an id', { tiers: [{ ...tier, id: undefined }] }, 'tiers[0].id'],
  ['a tier with an empty id', { tiers: [{ ...tier, id: '' }] }, 'tiers[0].id'],
  ['a tier with an id of 256 bytes', { tiers: [{ ...tier, id: tooLong }] }, 'tiers[0].id'],
  ['a tier with a number for a price id', { tiers: [{ ...tier, priceId: 5 }] }, 'tiers[0].priceId'],
  ['a tier with a negative price', { tiers: [{ ...tier, monthlyPrice: -1 }] }, 'tiers[0].monthlyPrice'],
  ['a tier with a NaN price', { tiers: [{ ...tier, monthlyPrice: NaN }] }, 'tiers[0].monthlyPrice'],
  ['a tier with a negative limit', { tiers: withFeatures({ apiRequestsPerMonth: -1 }) }, 'apiRequestsPerMonth'],
  ['a tier with half a unit', { tiers: withFeatures({ agentExecutionsPerMonth: 0.5 }) }, 'agentExecutionsPerMonth'],
  ['a tier with a NaN limit', { tiers: withFeatures({ apiRequestsPerMonth: NaN }) }, 'apiRequestsPerMonth'],
  ['a tier with an unsafe limit', { tiers: withFeatures({ apiRequestsPerMonth: 2 ** 53 }) }, 'apiRequestsPerMonth'],
  ['a tier with a string limit', { tiers: withFeatures({ apiRequestsPerMonth: '5' }) }, 'apiRequestsPerMonth'],
  ['a tier that goes in circles', { tiers: [{ ...tier, circular }] }, 'tiers[0]'],
  ['a tier listed twice', { tiers: [tier, tier] }, 'listed twice', 'invalid_catalog'],
  ['a price list that is an array', { pricing: [] }, '`pricing`'],
  ['a price that is a number', { pricing: { '/api/execute': 5 } }, '/api/execute'],
  ['no price', { pricing: price(undefined) }, 'pricePerRequest'],
  ['a negative price', { pricing: price(-1) }, 'pricePerRequest'],
  ['a NaN price', { pricing: price(NaN) }, 'pricePerRequest'],
  ['an infinite price', { pricing: price(Infinity) }, 'pricePerRequest'],
  ['a price that is no decimal', { pricing: price('ten') }, 'pricePerRequest'],
  ['a misspelt name in a price', { pricing: price(1, { requiredTeir: 'starter' }) }, 'did you mean "requiredTier"'],
  ['a required tier that is a number', { pricing: price(1, { requiredTier: 5 }) }, 'requiredTier'],
  [
    'a required tier that is not among its tiers',
    { tiers: subscriptionTiers, pricing: price(1, { requiredTier: 'gold' }) },
    'gold',
    'invalid_catalog',
  ],
  ['a route without a slash', { pricing: { 'api/execute': { pricePerRequest: 1 } } }, 'api/execute', 'invalid_catalog'],
  ['a route with a group', { pricing: { '/a{/b}': { pricePerRequest: 1 } } }, '/a{/b}', 'invalid_catalog'],
  ['a misspelt name for Stripe', { stripe: { secretkey: 'sk_test' } }, 'did you mean "secretKey"'],
  ['a secret key that is a number', { stripe: { secretKey: 5 } }, '`secretKey`'],
  ['a negative time-out for Stripe', { stripe: { secretKey: 'sk_test', timeoutMs: -1 } }, '`timeoutMs`'],
  ['half a retry for Stripe', { stripe: { secretKey: 'sk_test', maxNetworkRetries: 0.5 } }, '`maxNetworkRetries`'],
  [
    'a base URL of meter events that is none',
    { stripe: { secretKey: 'sk_test', meterEventsBaseUrl: 'nowhere' } },
    '`meterEventsBaseUrl`',
  ],
  ['a base URL that is none', { stripe: { secretKey: 'sk_test', baseUrl: 'nowhere' } }, '`baseUrl`'],
]

test.each(options)(
  'a Billing with %s is refused before it opens anything',
  (_, given, says, code = 'invalid_argument') => {
    const dir = temporaryDirectory()
    process.chdir(dir)
    const error = thrownBy(() => new Billing(given as BillingOptions))
    process.chdir(startedIn)
    expect(readdirSync(dir)).toEqual([])
    expect(error).toBeInstanceOf(BillingError)
    expect(error).toMatchObject({ code, message: expect.stringContaining(says) })
  },
)

const middlewareOptions: [what: string, options: unknown, says: string, code?: BillingErrorCode][] = [
  ['null', null, 'middleware'],
  ['a number', 5, 'middleware'],
  ['a misspelt name', { skp: () => true }, 'did you mean "skip"'],
  ['a name of express-rate-limit that we lack', { windowMs: 1000 }, '"windowMs"'],
  ['a skip that is a boolean', { skip: true }, '`skip`'],
  ['a keyGenerator that is a string', { keyGenerator: 'x-api-key' }, '`keyGenerator`'],
  ['units that are a number', { units: 5 }, '`units`'],
  ['a handler that is an object', { handler: {} }, '`handler`'],
  ['an unpriced that is none', { unpriced: 'deny' }, '`unpriced`'],
  ['a switch that is a string', { legacyHeaders: 'yes' }, '`legacyHeaders`'],
  ['standard headers by version', { standardHeaders: 'draft-7' }, '`standardHeaders`'],
  ['a property name that is a number', { requestPropertyName: 5 }, '`requestPropertyName`'],
  ['a logger without error', { logger: {} }, '`logger.error`'],
  ['a negative price', { pricing: price(-1) }, 'pricePerRequest'],
  ['a NaN price', { pricing: price(NaN) }, 'pricePerRequest'],
]

test.each(middlewareOptions)('a middleware with %s is refused when it is made', (_, given, says) => {
  for (const make of [(options: MiddlewareOptions) => openBilling().middleware(options), createBillingMiddleware]) {
    const error = thrownBy(() => make(given as MiddlewareOptions))
    expect(error).toBeInstanceOf(BillingError)
    expect(error).toMatchObject({ code: 'invalid_argument', message: expect.stringContaining(says) })
  }
})

test.each([
  ['a required tier that is not among its tiers', price(1, { requiredTier: 'gold' }), 'gold'],
  ['a route that Express would not take', { '/a(b': { pricePerRequest: 1 } }, '/a(b'],
])('a middleware of a Billing with %s is refused when it is made', (_, pricing, says) => {
  const error = thrownBy(() => openBilling({ tiers: subscriptionTiers }).middleware({ pricing } as MiddlewareOptions))
  expect(error).toBeInstanceOf(BillingError)
  expect(error).toMatchObject({ code: 'invalid_catalog', message: expect.stringContaining(says) })
})

test.each([
  ['null', null, 'usageHandler'],
  ['a misspelt name', { keyGenerater: () => 'x' }, 'did you mean "keyGenerator"'],
  ['a keyGenerator that is a string', { keyGenerator: 'x' }, '`keyGenerator`'],
])('a usage handler with %s is refused when it is made', (_, given, says) => {
  const error = thrownBy(() => openBilling().usageHandler(given as never))
  expect(error).toBeInstanceOf(BillingError)
  expect(error).toMatchObject({ code: 'invalid_argument', message: expect.stringContaining(says) })
})

test.each([
  ['null', null, 'new StripeService'],
  ['a string', 'sk_test_1', 'new StripeService'],
  ['a misspelt name', { apiversion: '2023-10-16' }, 'did you mean "apiVersion"'],
  ['tiers that are none', { tiers: 'starter' }, '`tiers`'],
  ['a clock that is none', { clock: 5 }, '`clock`'],
  ['an action logger that is none', { actionLogger: {} }, '`actionLogger.startWork`'],
])('a StripeService with %s is refused when it is made', (_, given, says) => {
  const error = thrownBy(() => new StripeService(given as never))
  expect(error).toBeInstanceOf(BillingError)
  expect(error).toMatchObject({ code: 'invalid_argument', message: expect.stringContaining(says) })
})

test.each([NaN, 0.5, Infinity, '5'])('a manual clock cannot be set to %p', (time) => {
  const clock = new ManualClock(0)
  for (const set of [
    () => clock.set(time as number),
    () => clock.advance(time as number),
    () => new ManualClock(time as number),
  ]) {
    expect(thrownBy(set)).toMatchObject({ code: 'invalid_argument' })
  }
  expect(clock.now()).toBe(0)
})

test('a clock that goes wrong later refuses the operation', async () => {
  let now = Date.UTC(2026, 0, 1)
  const { usage } = openBilling({ clock: { now: () => now } })
  await usage.recordEvent(event({ timestamp: now }))
  now = NaN
  await expect(usage.consume(consumption)).rejects.toMatchObject({
    code: 'invalid_argument',
    message: expect.stringContaining('clock.now()'),
  })
})

test('the options of the documentation are accepted', () => {
  openBilling({
    tiers: subscriptionTiers,
    pricing: { 'POST /api/execute': { pricePerRequest: '0.10', requiredTier: 'starter' } },
    timeZone: 'Europe/Berlin',
    stripe: { secretKey: 'sk_test_1', apiVersion: '2023-10-16' },
    store: 'sqlite',
    clock: new ManualClock(),
  }).middleware({ skip: undefined, unpriced: 'pass', logger: console })
})

function thrownBy(operation: () => unknown): unknown {
  try {
    operation()
  } catch (error) {
    return error
  }
  return 'nothing was refused'
}
