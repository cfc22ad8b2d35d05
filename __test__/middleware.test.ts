import { AsyncLocalStorage } from 'node:async_hooks'
import { connect } from 'node:net'
import express from 'express'
import express4 from 'express4'
import { type Billing, ManualClock, type MiddlewareOptions } from 'weighbridge'
import { openBilling } from './support/billing'
import { type Client, serve } from './support/server'

const NOON = Date.UTC(2026, 5, 15, 12)
const JULY = Date.UTC(2026, 6, 1)

type App = ReturnType<typeof express>

/** An app with the billing middleware on `/api` and one handler that tells what the request carries. */
async function dashboard(
  make: () => App,
  options: MiddlewareOptions = {},
  prepare: (app: App) => void = () => {},
): Promise<{ billing: Billing; client: Client; key: string; keyId: string }> {
  const billing = openBilling({ clock: new ManualClock(NOON) })
  const { id: keyId, key } = await billing.keys.create({ customerId: 'acme' })
  const app = make()
  prepare(app)
  app.use('/api', billing.middleware({ logger: { error: () => {} }, ...options }))
  app.use((req, res, next) => (req.path === '/api/throws' ? next() : res.json(carried(req))))
  return { billing, client: await serve(app), key, keyId }
}

function carried(req: express.Request): object {
  const { customerId, subscriptionId, billingTier, billing } = req
  return { customerId, subscriptionId, billingTier, billing }
}

const used = async (billing: Billing): Promise<number | undefined> =>
  (await billing.usage.getCustomerUsage('acme'))?.usage.apiRequests

describe.each([
  ['Express 5', express],
  ['Express 4', express4],
])('on %s', (_name, make) => {
  test('a request without a key is answered 401 with a bare challenge', async () => {
    const { client } = await dashboard(make)
    const answer = await client.send('POST', '/api/execute')
    expect(answer.status).toBe(401)
    expect(answer.body).toEqual({ error: 'API key required' })
    expect(answer.headers['www-authenticate']).toBe('Bearer realm="api"')
  })

  test.each(['constructor', '__proto__', 'toString', 'hasOwnProperty', 'wb_typo', 'x'.repeat(300)])(
    'the key %s is nobody',
    async (key) => {
      const { client } = await dashboard(make)
      const answer = await client.call(key, '/api/execute')
      expect(answer.status).toBe(401)
      expect(answer.body).toEqual({ error: 'Invalid API key' })
      expect(answer.headers['www-authenticate']).toMatch(/^Bearer realm="api", error="invalid_token"/)
    },
  )

  test('only the scheme Bearer is taken, whole and in any case', async () => {
    const { client, key } = await dashboard(make)
    const status = async (authorization: string) => (await client.send('GET', '/api/execute', { authorization })).status
    for (const good of [`Bearer ${key}`, `bearer ${key}`, `BEARER  ${key}`]) expect(await status(good)).toBe(200)
    for (const bad of [
      key,
      `Basic ${key}`,
      `xBearer ${key}`,
      `Bearer`,
      `Bearer${key}`,
      `Token Bearer ${key}`,
      `Bearer ${key} x`,
    ]) {
      expect(await status(bad)).toBe(401)
    }
  })

  test('an admitted request is counted, priced, and carries what is known', async () => {
    const { billing, client, key } = await dashboard(make)
    await billing.customers.upsert({ id: 'acme', tier: 'starter', subscriptionId: 'sub_1' })
    const answer = await client.send('POST', '/api/execute?x=1', {
      authorization: `Bearer ${key}`,
      'user-agent': 'test/1',
    })
    expect(answer.status).toBe(200)
    expect(answer.body).toEqual({
      customerId: 'acme',
      subscriptionId: 'sub_1',
      billingTier: 'starter',
      billing: { code: 'recorded', limit: 1000, used: 1, remaining: 999, resetAt: JULY },
    })
    expect(answer.headers['ratelimit-policy']).toBe('"api_request";q=1000;w=2592000')
    expect(answer.headers['ratelimit']).toBe(`"api_request";r=999;t=${(JULY - NOON) / 1000}`)
    const rows = await billing.usage.query({ from: NOON, to: JULY, groupBy: ['customerId', 'eventType', 'endpoint'] })
    expect(rows).toMatchObject([
      { customerId: 'acme', eventType: 'api_request', endpoint: '/api/execute', events: 1, units: 1, cost: '0.1' },
    ])
  })

  test('over the limit the answer is 429 with Retry-After', async () => {
    const { billing, client, key } = await dashboard(make)
    await billing.usage.consume({ customerId: 'acme', eventType: 'api_request', units: 1000 })
    const answer = await client.call(key, '/api/execute')
    expect(answer.status).toBe(429)
    expect(answer.body).toEqual({
      error: 'Usage limit exceeded',
      message: 'Upgrade your subscription for higher limits',
    })
    expect(answer.headers['retry-after']).toBe(String((JULY - NOON) / 1000))
    expect(answer.headers['ratelimit']).toMatch(/^"api_request";r=0;/)
    expect(await used(billing)).toBe(1000)
  })

  test('a path without a price passes unbilled, also over the limit, and still needs a key', async () => {
    const { billing, client, key } = await dashboard(make)
    await billing.usage.consume({ customerId: 'acme', eventType: 'api_request', units: 1000 })
    const answer = await client.call(key, '/api/health')
    expect(answer.status).toBe(200)
    expect(answer.body).toMatchObject({ customerId: 'acme', billing: { code: 'unpriced' } })
    expect((await client.send('GET', '/api/health')).status).toBe(401)
    expect(await used(billing)).toBe(1000)
  })

  test('a path is billed exactly when Express routes it', async () => {
    const { billing, client, key } = await dashboard(make)
    for (const path of ['/API/Execute', '/api/execute/', '/api/execute?a=/b', '/api/EXECUTE/?x'])
      await client.call(key, path)
    expect(await used(billing)).toBe(4)
    for (const path of ['/api/execute//', '/api/execute/more', '/api/%65xecute']) await client.call(key, path)
    expect(await used(billing)).toBe(4)
  })

  test('the app settings for case and slashes hold for prices too', async () => {
    const settings = (app: App) => app.enable('case sensitive routing').enable('strict routing')
    const { billing, client, key } = await dashboard(make, {}, settings)
    for (const path of ['/api/Execute', '/api/execute/']) await client.call(key, path)
    expect(await used(billing)).toBe(0)
    await client.call(key, '/api/execute')
    expect(await used(billing)).toBe(1)
  })

  test('an absolute request target and one with a fragment are billed as Express routes them', async () => {
    const { billing, client, key } = await dashboard(make)
    for (const target of ['http://dashboard.test/api/execute', '/api/execute#part']) {
      expect(await raw(client.port, `GET ${target} HTTP/1.1`, key)).toMatch(/^HTTP\/1\.1 200/)
    }
    expect(await used(billing)).toBe(2)
  })

  test('a tier that is too low is answered 403 with the tier it needs', async () => {
    const { billing, client, key } = await dashboard(make)
    const refused = await client.call(key, '/api/funding-data')
    expect(refused.status).toBe(403)
    expect(refused.body).toMatchObject({ error: 'Subscription tier too low', requiredTier: 'professional' })
    await billing.customers.upsert({ id: 'acme', tier: 'enterprise' })
    expect((await client.call(key, '/api/funding-data')).status).toBe(200)
    await billing.customers.upsert({ id: 'acme', tier: 'starter' })
    expect((await client.call(key, '/api/funding-data')).status).toBe(403)
    expect(await used(billing)).toBe(1)
  })

  test('a suspended customer and a revoked key are refused at once', async () => {
    const { billing, client, key, keyId } = await dashboard(make)
    expect((await client.call(key, '/api/execute')).status).toBe(200)
    await billing.customers.upsert({ id: 'acme', suspended: true })
    expect((await client.call(key, '/api/execute')).status).toBe(403)
    await billing.customers.upsert({ id: 'acme', suspended: false })
    await billing.keys.revoke(keyId)
    expect((await client.call(key, '/api/execute')).status).toBe(401)
  })

  test('a retry with an Idempotency-Key is charged once, another request with it is refused', async () => {
    const { billing, client, key } = await dashboard(make)
    const retry = (path: string) =>
      client.send('POST', path, { authorization: `Bearer ${key}`, 'idempotency-key': 'abc' })
    expect((await retry('/api/execute')).body.billing.code).toBe('recorded')
    expect((await retry('/api/execute')).body.billing.code).toBe('duplicate')
    expect((await retry('/api/analyze')).status).toBe(422)
    expect(await used(billing)).toBe(1)
  })

  test.each([
    ['an Error', new Error('mine'), 'mine'],
    ['a string', 'text', 'text'],
    ['an object', { reason: 7 }, '7'],
  ])('%s that a later handler throws passes through untouched', async (_kind, thrown, shown) => {
    const billing = openBilling()
    const { key } = await billing.keys.create({ customerId: 'acme' })
    const app = make()
    app.use(billing.middleware({ pricing: { '/api/throws': { pricePerRequest: 1 } } }))
    app.get('/api/throws', () => {
      throw thrown
    })
    app.use(((error, _req, res, _next) => {
      res.json({ same: error === thrown, shown: String(error.message ?? error.reason ?? error) })
    }) as express.ErrorRequestHandler)
    const client = await serve(app)
    expect((await client.call(key, '/api/throws')).body).toEqual({ same: true, shown })
  })

  test('the asynchronous context of a request survives', async () => {
    const storage = new AsyncLocalStorage<string>()
    const billing = openBilling()
    const { key } = await billing.keys.create({ customerId: 'acme' })
    const app = make()
    app.use((req, _res, next) => storage.run(req.url, next))
    app.use(billing.middleware())
    app.use((_req, res) => {
      res.json({ context: storage.getStore() })
    })
    const client = await serve(app)
    const paths = ['/api/execute?1', '/api/execute?2', '/api/execute?3']
    const answers = await Promise.all(paths.map((path) => client.call(key, path)))
    expect(answers.map(({ body }) => body.context)).toEqual(paths)
  })

  test('where Weighbridge cannot decide the answer is 500, and the log is told once', async () => {
    const errors: unknown[] = []
    const { billing, client, key } = await dashboard(make, { logger: { error: (error) => errors.push(error) } })
    await billing.close()
    for (let round = 0; round < 3; round += 1) {
      const answer = await client.call(key, '/api/execute')
      expect(answer.status).toBe(500)
      expect(answer.body).toEqual({ error: 'Billing processing failed' })
    }
    expect(errors).toMatchObject([{ code: 'closed' }])
  })
})

test('3,000 concurrent requests on a limit of 1,000 admit exactly 1,000', async () => {
  const { billing, client, key } = await dashboard(express)
  const answers = await Promise.all(Array.from({ length: 3000 }, () => client.call(key, '/api/execute', 'POST')))
  const statuses = answers.map(({ status }) => status)
  expect(statuses.filter((status) => status === 200)).toHaveLength(1000)
  expect(statuses.filter((status) => status === 429)).toHaveLength(2000)
  expect(await billing.usage.getCustomerUsage('acme')).toMatchObject({ usage: { apiRequests: 1000, totalCost: 100 } })
})

test('a mounted router and patterns are priced by the full path', async () => {
  const billing = openBilling({
    pricing: { 'POST /v1/agents/:id/run': { pricePerRequest: '0.25' }, '/v1/files/*path': { pricePerRequest: 2 } },
  })
  const { key } = await billing.keys.create({ customerId: 'acme' })
  const inner = express.Router()
  inner.use(billing.middleware())
  inner.use((_req, res) => {
    res.json({})
  })
  const app = express()
  app.use('/v1', inner)
  const client = await serve(app)
  await client.call(key, '/v1/agents/42/run', 'POST')
  await client.call(key, '/v1/agents/42/run', 'GET')
  await client.call(key, '/v1/files/a/b/c')
  const { from, to } = { from: 0, to: Date.now() + 60_000 }
  const rows = await billing.usage.query({ from, to, groupBy: ['endpoint'] })
  expect(rows.map(({ endpoint, cost }) => [endpoint, cost])).toEqual([
    ['/v1/agents/:id/run', '0.25'],
    ['/v1/files/*path', '2'],
  ])
})

test('options: skip, keyGenerator, units, unpriced, handler, headers, problem details', async () => {
  const { billing, client, key } = await dashboard(express, {
    skip: (req) => req.path === '/open',
    keyGenerator: async (req) => req.headers['x-api-key'] as string | undefined,
    units: (req) => Number(req.headers['x-units'] ?? 1),
    unpriced: 'refuse',
    legacyHeaders: true,
    standardHeaders: false,
    problemDetails: true,
    requestPropertyName: 'quota',
  })
  expect((await client.send('GET', '/api/open')).status).toBe(200)
  const counted = await client.send('GET', '/api/execute', { 'x-api-key': key, 'x-units': '600' })
  expect(counted.status).toBe(200)
  expect(counted.headers).toMatchObject({ 'x-ratelimit-limit': '1000', 'x-ratelimit-remaining': '400' })
  expect(counted.headers['ratelimit']).toBeUndefined()
  const refused = await client.send('GET', '/api/execute', { 'x-api-key': key, 'x-units': '600' })
  expect(refused.status).toBe(429)
  expect(refused.headers['content-type']).toMatch(/^application\/problem\+json/)
  expect(refused.body).toMatchObject({
    type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
    title: 'Usage limit exceeded',
    status: 429,
    'violated-policies': ['api_request'],
  })
  expect((await client.send('GET', '/api/health', { 'x-api-key': key })).status).toBe(403)
  expect(await billing.usage.getCustomerUsage('acme')).toMatchObject({ usage: { apiRequests: 600, totalCost: 60 } })
})

test('a handler of the caller answers refusals, with the headers already set', async () => {
  const { client } = await dashboard(express, {
    handler: (_req, res, _next, { code, status }) => res.status(status + 17).json({ code }),
  })
  const answer = await client.send('GET', '/api/execute')
  expect([answer.status, answer.body]).toEqual([418, { code: 'api_key_required' }])
  expect(answer.headers['www-authenticate']).toBe('Bearer realm="api"')
})

test('an unknown option is refused with the one that was meant', () => {
  const billing = openBilling()
  expect(() => billing.middleware({ standardHeader: true } as MiddlewareOptions)).toThrow(
    'unknown option "standardHeader"; did you mean "standardHeaders"?',
  )
})

/** The answer's first line to a request line that no client library would send. */
function raw(port: number, requestLine: string, key: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(
        `${requestLine}\r\nHost: dashboard.test\r\nAuthorization: Bearer ${key}\r\nConnection: close\r\n\r\n`,
      )
    })
    let answer = ''
    socket.on('data', (chunk) => (answer += chunk.toString()))
    socket.on('end', () => resolve(answer.split('\r\n')[0] ?? ''))
    socket.on('error', reject)
  })
}
