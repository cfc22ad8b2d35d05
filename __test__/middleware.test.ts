import { AsyncLocalStorage } from 'node:async_hooks'
import type { ErrorRequestHandler, Express, RequestHandler } from 'express'
import { type Billing, BillingError, ManualClock, type MiddlewareOptions, type Refusal } from 'weighbridge'
import { keyOf, limitedTo, openBilling, totals } from './support/billing'
import { frameworks } from './support/frameworks'
import { byStatus, call, callOften, sendRaw, serve } from './support/http'

const now = Date.UTC(2026, 3, 10, 12)
const periodEnd = Date.UTC(2026, 4, 1)
const secondsLeft = (periodEnd - now) / 1000
const window = 30 * 24 * 3600
const silent = { error: () => {} }

const open = (limit = 1_000): Billing => openBilling({ clock: new ManualClock(now), tiers: limitedTo(limit) })
const ok: RequestHandler = (_, res) => void res.json({ ok: true })

describe.each(frameworks)('in %s', (name, express) => {
  /** An app behind the middleware that answers every path. */
  const appOf = (billing: Billing, options?: MiddlewareOptions): Express =>
    express().use(billing.middleware(options)).use(ok)

  describe('the answers', () => {
    test('an admitted request goes on, counted once, with what is known of the customer', async () => {
      const billing = open()
      const key = await keyOf(billing, 'customer-1', 'limited')
      await billing.customers.upsert({ id: 'customer-1', subscriptionId: 'sub_1' })
      const app = express()
        .use(billing.middleware())
        .post('/api/execute', ({ customerId, subscriptionId, billingTier, billing }, res) => {
          res.json({ customerId, subscriptionId, billingTier, billing })
        })
      const answer = await call(await serve(app), '/api/execute?x=1', { method: 'POST', key })
      expect(answer.status).toBe(200)
      expect(answer.body).toEqual({
        customerId: 'customer-1',
        subscriptionId: 'sub_1',
        billingTier: 'limited',
        billing: { code: 'recorded', degraded: false, limit: 1000, used: 1, remaining: 999, resetAt: periodEnd },
      })
      expect(answer.headers).toMatchObject({
        'ratelimit-policy': `"api_request";q=1000;w=${window}`,
        ratelimit: `"api_request";r=999;t=${secondsLeft}`,
      })
      expect(answer.headers).not.toHaveProperty('x-ratelimit-limit')
      expect(answer.headers).not.toHaveProperty('retry-after')
      const rows = await billing.usage.query({
        from: now,
        to: now + 1,
        groupBy: ['customerId', 'eventType', 'endpoint'],
      })
      expect(rows).toMatchObject([
        {
          customerId: 'customer-1',
          eventType: 'api_request',
          endpoint: '/api/execute',
          events: 1,
          units: 1,
          cost: '0.1',
        },
      ])
    })

    test('what is not known of the customer is not on the request', async () => {
      const billing = open()
      const key = await keyOf(billing, 'customer-1')
      const app = express().use(billing.middleware(), (req, res) => void res.json(Object.keys(req)))
      const { body } = await call(await serve(app), '/api/execute', { key })
      expect(body).toContain('customerId')
      expect(body).not.toContain('subscriptionId')
      expect(body).not.toContain('billingTier')
    })

    test.each([
      undefined,
      '',
      'Bearer',
      'Bearer ',
      'Basic dGVzdDp0ZXN0',
      'Token KEY',
      'KEY',
      'xBearer KEY',
      'x Bearer KEY',
    ])('without a bearer key (%s) it is 401, API key required', async (authorization) => {
      const billing = open()
      const key = await keyOf(billing, 'customer-1')
      const answer = await call(await serve(appOf(billing)), '/api/execute', {
        headers: authorization === undefined ? {} : { authorization: authorization.replace('KEY', key) },
      })
      expect(answer.status).toBe(401)
      expect(answer.body).toEqual({ error: 'API key required' })
      expect(answer.headers['www-authenticate']).toBe('Bearer realm="api"')
      expect((await totals(billing)).events).toBe(0)
    })

    test.each([
      'unknown-key-1',
      'constructor',
      '__proto__',
      'toString',
      'hasOwnProperty',
      'wb_0000000000000000000000000000000000AA',
      'x'.repeat(256),
      'KEY x',
      'KEY,',
      '"KEY"',
      'xKEY',
    ])('with a key that nobody has (%s) it is 401, Invalid API key', async (token) => {
      const billing = open()
      const key = await keyOf(billing, 'customer-1')
      const answer = await call(await serve(appOf(billing)), '/api/execute', { key: token.replace('KEY', key) })
      expect(answer.status).toBe(401)
      expect(answer.body).toEqual({ error: 'Invalid API key' })
      expect(answer.headers['www-authenticate']).toBe(
        'Bearer realm="api", error="invalid_token", error_description="The API key is unknown, revoked or expired"',
      )
      expect((await totals(billing)).events).toBe(0)
    })

    test('the scheme is matched in any case, with any number of spaces after it', async () => {
      const billing = open()
      const key = await keyOf(billing, 'customer-1')
      const port = await serve(appOf(billing))
      for (const scheme of ['Bearer ', 'bearer ', 'BEARER ', 'bEaReR  ', 'Bearer    ']) {
        expect((await call(port, '/api/execute', { headers: { authorization: scheme + key } })).status).toBe(200)
      }
      const spaced = ['GET /api/execute HTTP/1.1', 'Host: x', `Authorization:   Bearer ${key}  `]
      expect(await sendRaw(port, spaced)).toMatch(/^HTTP\/1.1 200 /)
    })

    test('a revoked or expired key is 401, Invalid API key, from the next request on', async () => {
      const clock = new ManualClock(now)
      const billing = openBilling({ clock })
      const port = await serve(appOf(billing))
      const revoked = await billing.keys.create({ customerId: 'customer-1' })
      const expiring = await billing.keys.create({ customerId: 'customer-1', expiresAt: now + 1 })
      const statuses = async (path: string) => [
        (await call(port, path, { key: revoked.key })).status,
        (await call(port, path, { key: expiring.key })).status,
      ]
      expect(await statuses('/api/execute')).toEqual([200, 200])
      expect(await statuses('/unpriced')).toEqual([200, 200])
      await billing.keys.revoke(revoked.id)
      clock.advance(1)
      expect(await statuses('/api/execute')).toEqual([401, 401])
      expect(await statuses('/unpriced')).toEqual([401, 401])
      expect((await totals(billing)).events).toBe(2)
    })

    test('over the limit it is 429, with when to come back', async () => {
      const billing = open(1)
      const key = await keyOf(billing, 'customer-1', 'limited')
      const port = await serve(appOf(billing))
      expect((await call(port, '/api/execute', { key })).status).toBe(200)
      const answer = await call(port, '/api/execute', { key })
      expect(answer.status).toBe(429)
      expect(answer.body).toEqual({
        error: 'Usage limit exceeded',
        message: 'Upgrade your subscription for higher limits',
      })
      expect(answer.headers).toMatchObject({
        'retry-after': String(secondsLeft),
        'ratelimit-policy': `"api_request";q=1;w=${window}`,
        ratelimit: `"api_request";r=0;t=${secondsLeft}`,
      })
      expect((await totals(billing)).events).toBe(1)
    })

    test('in the last millisecond of a period one is told to come back in a second, and then may', async () => {
      const clock = new ManualClock(periodEnd - 1)
      const billing = openBilling({ clock, tiers: limitedTo(1) })
      const key = await keyOf(billing, 'customer-1', 'limited')
      const port = await serve(appOf(billing))
      await call(port, '/api/execute', { key })
      expect((await call(port, '/api/execute', { key })).headers['retry-after']).toBe('1')
      clock.advance(1)
      expect((await call(port, '/api/execute', { key })).status).toBe(200)
    })

    test('a tier below the one that the endpoint needs is 403, with the tier that it takes', async () => {
      const billing = open()
      const port = await serve(appOf(billing))
      const expected = {
        error: 'Subscription tier too low',
        message: 'This endpoint requires the professional tier or a higher one',
        requiredTier: 'professional',
      }
      for (const tier of [undefined, 'limited', 'starter']) {
        const key = await keyOf(billing, `customer-${tier}`, tier)
        const answer = await call(port, '/api/funding-data', { key })
        expect([answer.status, answer.body]).toEqual([403, expected])
      }
      expect((await totals(billing)).events).toBe(0)
      for (const tier of ['professional', 'enterprise']) {
        const key = await keyOf(billing, `customer-${tier}`, tier)
        expect((await call(port, '/api/funding-data', { key })).status).toBe(200)
      }
      expect((await totals(billing)).cost).toBe('0.02')
    })

    test('a suspended customer is 403 on every path until he is suspended no more', async () => {
      const billing = open()
      const key = await keyOf(billing, 'customer-1')
      const port = await serve(appOf(billing))
      await billing.customers.upsert({ id: 'customer-1', suspended: true })
      for (const path of ['/api/execute', '/unpriced']) {
        const answer = await call(port, path, { key })
        expect([answer.status, answer.body]).toEqual([403, { error: 'Account suspended' }])
      }
      await billing.customers.upsert({ id: 'customer-1', suspended: false })
      expect((await call(port, '/api/execute', { key })).status).toBe(200)
      expect((await totals(billing)).events).toBe(1)
    })

    test('a path without a price passes unbilled, over the limit too, but not without a key', async () => {
      const billing = open(0)
      const key = await keyOf(billing, 'customer-1', 'limited')
      const app = express().use(billing.middleware(), (req, res) => void res.json(req.billing?.code))
      const port = await serve(app)
      expect((await call(port, '/api/execute', { key })).status).toBe(429)
      const answer = await call(port, '/api/unknown', { key })
      expect([answer.status, answer.body]).toEqual([200, 'unpriced'])
      expect(answer.headers).not.toHaveProperty('ratelimit')
      expect((await call(port, '/api/unknown')).status).toBe(401)
      expect((await totals(billing)).events).toBe(0)
    })

    test.each(['warm', 'unseen'])('after close() it is 500 for a %s key, and the log says why once', async (which) => {
      const billing = open()
      const key = await keyOf(billing, 'customer-1')
      const logged: unknown[] = []
      const port = await serve(appOf(billing, { logger: { error: (error) => logged.push(error) } }))
      if (which === 'warm') await call(port, '/api/execute', { key })
      await billing.close()
      for (const path of ['/api/execute', '/api/execute', '/unpriced']) {
        const answer = await call(port, path, { key })
        expect([answer.status, answer.body]).toEqual([500, { error: 'Billing processing failed' }])
      }
      expect(logged).toEqual([expect.any(BillingError)])
      expect(logged).toMatchObject([{ code: 'closed' }])
    })
  })

  describe('concurrency', () => {
    test('3,000 concurrent requests on a limit of 1,000 admit exactly 1,000', async () => {
      const billing = open(1_000)
      const key = await keyOf(billing, 'customer-1', 'limited')
      const answers = await callOften(await serve(appOf(billing)), '/api/execute', 3_000, { key })
      expect(byStatus(answers)).toEqual({ 200: 1_000, 429: 2_000 })
      expect(await totals(billing)).toEqual({ events: 1_000, units: 1_000, cost: '100' })
    })
  })

  describe('the price of a request', () => {
    test('goes by the full path under mounted routers', async () => {
      const billing = open()
      const key = await keyOf(billing, 'customer-1')
      const inner = express.Router().use(billing.middleware()).get('/execute', ok)
      const outer = express.Router().use('/api', inner)
      const nested = express().use('/', outer)
      const path = express().use('/api', billing.middleware()).get('/api/execute', ok)
      const exact = express().use('/api/execute', billing.middleware()).get('/api/execute', ok)
      const route = express().get('/api/execute', billing.middleware(), ok)
      const subApp = express().use('/api', express().get('/execute', billing.middleware(), ok))
      const apps = [nested, path, exact, route, subApp]
      for (const [index, app] of apps.entries()) {
        expect((await call(await serve(app), '/api/execute?q=/x', { key })).status).toBe(200)
        expect((await totals(billing)).events).toBe(index + 1)
      }
    })

    test.each([
      ['/api/execute', {}, true],
      ['/API/execute', {}, true],
      ['/api/Execute/', {}, true],
      ['/api/execute/', {}, true],
      ['/api/execute?', {}, true],
      ['/api/execute/?a=b#c', {}, true],
      ['/api/execute#x', {}, true],
      ['http://host.example/api/execute', {}, true],
      ['http://host.example/API/execute/?a=b', {}, true],
      ['/API/execute', { 'case sensitive routing': true }, false],
      ['/api/execute/', { 'strict routing': true }, false],
      ['/api/execute', { 'case sensitive routing': true, 'strict routing': true }, true],
      ['/api/execute//', {}, false],
      ['//api/execute', {}, false],
      ['/api/%65xecute', {}, false],
      ['/api/execute%2F', {}, false],
      ['/api/execute/more', {}, false],
      ['/api/execute;v=1', {}, false],
    ])('is asked of %s with %j exactly when Express routes it there', async (target, settings, routed) => {
      const billing = open()
      const key = await keyOf(billing, 'customer-1')
      const app = express()
      for (const [setting, value] of Object.entries(settings)) app.set(setting, value)
      app.use(billing.middleware()).get('/api/execute', ok)
      const response = await sendRaw(await serve(app), [
        `GET ${target} HTTP/1.1`,
        'Host: x',
        `Authorization: Bearer ${key}`,
      ])
      expect(response).toMatch(routed ? /^HTTP\/1.1 200 / : /^HTTP\/1.1 404 /)
      expect((await totals(billing)).events).toBe(routed ? 1 : 0)
    })

    test('is asked of doubled slashes when a mounted router takes them', async () => {
      for (const target of ['/api//execute', '//api/execute', '/api/execute//', '/api//execute/']) {
        const billing = open()
        const key = await keyOf(billing, 'customer-1')
        const router = express.Router().get('/execute', ok)
        const port = await serve(express().use(billing.middleware()).use('/api', router))
        const { status } = await call(port, target, { key })
        expect([target, (await totals(billing)).events]).toEqual([target, status === 200 ? 1 : 0])
      }
    })

    test('goes by the rules of a router of its own where the options name them', async () => {
      const billing = open()
      const key = await keyOf(billing, 'customer-1')
      const rules = { caseSensitive: true, strict: true }
      const router = express.Router(rules).use(billing.middleware(rules)).get('/execute', ok)
      const port = await serve(express().use('/api', router))
      const statuses = []
      for (const path of ['/api/execute', '/api/Execute', '/api/execute/']) {
        statuses.push((await call(port, path, { key })).status)
      }
      expect(statuses).toEqual([200, 404, 404])
      expect((await totals(billing)).events).toBe(1)
    })

    test('is that of the GET for a HEAD', async () => {
      const billing = open()
      const key = await keyOf(billing, 'customer-1')
      const pricing = { 'GET /a': { pricePerRequest: 1 } }
      const port = await serve(express().use(billing.middleware({ pricing })).get('/a', ok))
      const answer = await call(port, '/a', { method: 'HEAD', key })
      expect([answer.status, answer.text]).toEqual([200, ''])
      expect((await totals(billing)).cost).toBe('1')
      const refused = await call(port, '/a', { method: 'HEAD' })
      expect([refused.status, refused.text]).toEqual([401, ''])
    })

    test('may have parameters, wildcards and methods, and the most specific one applies', async () => {
      const billing = open()
      const key = await keyOf(billing, 'customer-1')
      const pricing = {
        '/agents/:id': { pricePerRequest: 1 },
        'POST /agents/:id': { pricePerRequest: 20 },
        '/agents/list': { pricePerRequest: 300 },
        '/files/*path': { pricePerRequest: '4000.5' },
      }
      const port = await serve(appOf(billing, { pricing }))
      for (const [method, path] of [
        ['GET', '/agents/7'],
        ['POST', '/agents/8/'],
        ['GET', '/agents/list'],
        ['GET', '/files/a/b/c'],
        ['GET', '/api/execute'],
        ['GET', '/agents'],
      ] as const) {
        expect((await call(port, path, { method, key })).status).toBe(200)
      }
      const rows = await billing.usage.query({ from: now, to: now + 1, groupBy: ['endpoint'] })
      const costs = Object.fromEntries(rows.map(({ endpoint, events, cost }) => [endpoint, [events, cost]]))
      expect(costs).toEqual({
        '/agents/:id': [2, '21'],
        '/agents/list': [1, '300'],
        '/files/*path': [1, '4000.5'],
      })
    })
  })

  describe('an Idempotency-Key', () => {
    const headers = { 'idempotency-key': 'retry-1' }

    test('lets a retried request through and counts it once, at the limit too', async () => {
      const billing = open(1)
      const key = await keyOf(billing, 'customer-1', 'limited')
      const app = express().use(billing.middleware(), (req, res) => void res.json(req.billing))
      const port = await serve(app)
      const answers = []
      for (let times = 0; times < 3; times++) answers.push(await call(port, '/api/execute', { key, headers }))
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
      expect(answers.map(({ body }) => body)).toMatchObject([
        { code: 'recorded', used: 1, remaining: 0 },
        { code: 'duplicate', used: 1, remaining: 0 },
        { code: 'duplicate', used: 1, remaining: 0 },
      ])
      expect(await totals(billing)).toEqual({ events: 1, units: 1, cost: '0.1' })
    })

    test('of many concurrent retries counts once', async () => {
      const billing = open()
      const key = await keyOf(billing, 'customer-1')
      const answers = await callOften(await serve(appOf(billing)), '/api/execute', 100, { key, headers })
      expect(byStatus(answers)).toEqual({ 200: 100 })
      expect((await totals(billing)).events).toBe(1)
    })

    test('is refused for another request with 422', async () => {
      const billing = open()
      const key = await keyOf(billing, 'customer-1')
      const port = await serve(appOf(billing))
      await call(port, '/api/execute', { key, headers })
      const expected = {
        error: 'Idempotency-Key reused',
        message: 'This Idempotency-Key was used before for another request',
      }
      for (const [method, path] of [
        ['GET', '/api/analyze'],
        ['POST', '/api/execute'],
      ] as const) {
        const answer = await call(port, path, { method, key, headers })
        expect([answer.status, answer.body]).toEqual([422, expected])
      }
      expect((await totals(billing)).cost).toBe('0.1')
    })

    test('is refused for another URL of the same price, and for another body that was parsed before', async () => {
      const billing = openBilling({ pricing: { '/api/agents/:id': { pricePerRequest: '0.05' } } })
      const key = await keyOf(billing, 'customer-1')
      const app = express().use(express.json(), billing.middleware(), (req, res) => void res.json(req.billing))
      const port = await serve(app)
      const send = async (path: string, body: object): Promise<unknown> => {
        const url = `http://127.0.0.1:${port}${path}`
        const all = { ...headers, authorization: `Bearer ${key}`, 'content-type': 'application/json' }
        const answer = await fetch(url, { method: 'POST', headers: all, body: JSON.stringify(body) })
        return answer.status === 200 ? ((await answer.json()) as { code: string }).code : answer.status
      }
      expect(await send('/api/agents/1', { task: 'a' })).toBe('recorded')
      expect(await send('/api/agents/1', { task: 'a' })).toBe('duplicate')
      expect(await send('/api/agents/2', { task: 'a' })).toBe(422)
      expect(await send('/api/agents/1?fast=1', { task: 'a' })).toBe(422)
      expect(await send('/api/agents/1', { task: 'b' })).toBe(422)
      expect((await totals(billing)).events).toBe(1)
    })

    test("is one customer's own", async () => {
      const billing = open()
      const port = await serve(appOf(billing))
      await call(port, '/api/execute', { key: await keyOf(billing, 'customer-1'), headers })
      await call(port, '/api/analyze', { key: await keyOf(billing, 'customer-2'), headers })
      expect(await totals(billing)).toMatchObject({ events: 2, cost: '0.15' })
    })

    test.each([
      ['empty', ''],
      ['too long', 'x'.repeat(256)],
    ])('that is %s is 400', async (_, id) => {
      const billing = open()
      const key = await keyOf(billing, 'customer-1')
      const port = await serve(appOf(billing))
      const answer = await call(port, '/api/execute', { key, headers: { 'idempotency-key': id } })
      expect([answer.status, answer.body]).toEqual([
        400,
        { error: 'Invalid Idempotency-Key', message: 'Use 1 to 255 visible characters' },
      ])
      expect((await totals(billing)).events).toBe(0)
    })

    test('means nothing where it is switched off', async () => {
      const billing = open()
      const key = await keyOf(billing, 'customer-1')
      const port = await serve(appOf(billing, { idempotencyKey: false }))
      for (const path of ['/api/execute', '/api/execute', '/api/analyze']) await call(port, path, { key, headers })
      expect((await totals(billing)).events).toBe(3)
    })
  })

  describe('the options', () => {
    test('skip lets a request by unseen, also where it answers later', async () => {
      const billing = open()
      const skips: MiddlewareOptions['skip'][] = [
        (req) => req.path === '/health',
        async (req) => req.path === '/health',
      ]
      for (const skip of skips) {
        const port = await serve(appOf(billing, { skip }))
        expect((await call(port, '/health')).status).toBe(200)
        expect((await call(port, '/api/execute')).status).toBe(401)
      }
    })

    test('keyGenerator says where the key is, also where it answers later', async () => {
      const billing = open()
      const key = await keyOf(billing, 'customer-1')
      const inHeader = (header: unknown) => (typeof header === 'string' ? header : undefined)
      for (const [index, keyGenerator] of [
        (req: { headers: Record<string, unknown> }) => inHeader(req.headers['x-api-key']),
        async (req: { headers: Record<string, unknown> }) => inHeader(req.headers['x-api-key']),
      ].entries()) {
        const port = await serve(appOf(billing, { keyGenerator }))
        expect((await call(port, '/api/execute', { headers: { 'x-api-key': key } })).status).toBe(200)
        expect((await totals(billing)).events).toBe(index + 1)
        expect((await call(port, '/api/execute', { key })).body).toEqual({ error: 'API key required' })
        expect((await call(port, '/api/execute', { headers: { 'x-api-key': 'x' } })).body).toEqual({
          error: 'Invalid API key',
        })
      }
    })

    test('units multiply the price and count all or not at all', async () => {
      const billing = open(5)
      const key = await keyOf(billing, 'customer-1', 'limited')
      const units = async (req: { headers: Record<string, unknown> }) => Number(req.headers['x-units'])
      const port = await serve(appOf(billing, { units, logger: silent }))
      const status = async (count: string) =>
        (await call(port, '/api/execute', { key, headers: { 'x-units': count } })).status
      expect(await status('3')).toBe(200)
      expect(await status('3')).toBe(429)
      expect(await totals(billing)).toEqual({ events: 1, units: 3, cost: '0.3' })
      for (const bad of ['0', '-1', '0.5', 'NaN', 'Infinity']) expect(await status(bad)).toBe(500)
      expect(await status('2')).toBe(200)
      expect((await totals(billing)).units).toBe(5)
    })

    test('a function of the options that fails is a failure inside: 500, reported once', async () => {
      const billing = open()
      const key = await keyOf(billing, 'customer-1')
      const logged: unknown[] = []
      const failure = new Error('no key store')
      const options: MiddlewareOptions[] = [
        { keyGenerator: () => Promise.reject(failure) },
        {
          keyGenerator: () => {
            throw failure
          },
        },
      ]
      for (const option of options) {
        const port = await serve(appOf(billing, { ...option, logger: { error: (error) => logged.push(error) } }))
        for (let times = 0; times < 2; times++) {
          const answer = await call(port, '/api/execute', { key })
          expect([answer.status, answer.body]).toEqual([500, { error: 'Billing processing failed' }])
        }
      }
      expect(logged).toEqual([failure, failure])
    })

    test('handler answers in the place of the built-in answer, with the headers set', async () => {
      const billing = open(0)
      const key = await keyOf(billing, 'customer-1', 'limited')
      const refusals: Refusal[] = []
      const port = await serve(
        appOf(billing, {
          handler: (_req, res, _next, refusal) => {
            refusals.push(refusal)
            res.status(418).json({ code: refusal.code })
          },
        }),
      )
      const answer = await call(port, '/api/execute', { key })
      expect([answer.status, answer.body]).toEqual([418, { code: 'usage_limit_exceeded' }])
      expect(answer.headers['retry-after']).toBe(String(secondsLeft))
      expect((await call(port, '/api/execute')).headers['www-authenticate']).toBe('Bearer realm="api"')
      expect(refusals).toEqual([
        {
          code: 'usage_limit_exceeded',
          status: 429,
          body: { error: 'Usage limit exceeded', message: 'Upgrade your subscription for higher limits' },
        },
        { code: 'api_key_required', status: 401, body: { error: 'API key required' } },
      ])
    })

    test('unpriced: refuse answers paths without a price with 403', async () => {
      const billing = open()
      const key = await keyOf(billing, 'customer-1')
      const port = await serve(appOf(billing, { unpriced: 'refuse' }))
      const answer = await call(port, '/api/unknown', { key })
      expect([answer.status, answer.body]).toEqual([403, { error: 'Endpoint not available' }])
      expect((await call(port, '/api/execute', { key })).status).toBe(200)
    })

    test('legacyHeaders and standardHeaders switch the headers', async () => {
      const billing = open(10)
      const key = await keyOf(billing, 'customer-1', 'limited')
      const port = await serve(appOf(billing, { legacyHeaders: true, standardHeaders: false }))
      const { headers } = await call(port, '/api/execute', { key })
      expect(headers).toMatchObject({
        'x-ratelimit-limit': '10',
        'x-ratelimit-remaining': '9',
        'x-ratelimit-reset': String(periodEnd / 1000),
      })
      expect(headers).not.toHaveProperty('ratelimit')
      expect(headers).not.toHaveProperty('ratelimit-policy')
    })

    test('there are no quota headers where there is no limit', async () => {
      const billing = open(Infinity)
      const key = await keyOf(billing, 'customer-1', 'limited')
      const { status, headers } = await call(await serve(appOf(billing, { legacyHeaders: true })), '/api/execute', {
        key,
      })
      expect(status).toBe(200)
      expect(Object.keys(headers).filter((header) => header.includes('ratelimit'))).toEqual([])
    })

    test('problemDetails answers as RFC 9457 says', async () => {
      const billing = open(0)
      const key = await keyOf(billing, 'customer-1', 'limited')
      const port = await serve(appOf(billing, { problemDetails: true }))
      const exceeded = await call(port, '/api/execute', { key })
      expect(exceeded.status).toBe(429)
      expect(exceeded.headers['content-type']).toMatch(/^application\/problem\+json/)
      expect(exceeded.body).toEqual({
        type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
        title: 'Usage limit exceeded',
        status: 429,
        detail: 'Upgrade your subscription for higher limits',
        'violated-policies': ['api_request'],
        code: 'usage_limit_exceeded',
      })
      expect((await call(port, '/api/funding-data', { key })).body).toEqual({
        type: 'about:blank',
        title: 'Subscription tier too low',
        status: 403,
        detail: 'This endpoint requires the professional tier or a higher one',
        requiredTier: 'professional',
        code: 'tier_required',
      })
      expect((await call(port, '/api/execute')).body).toEqual({
        type: 'about:blank',
        title: 'API key required',
        status: 401,
        code: 'api_key_required',
      })
    })

    test('requestPropertyName says where the quota is left', async () => {
      const billing = open()
      const key = await keyOf(billing, 'customer-1')
      const app = express()
        .use(billing.middleware({ requestPropertyName: 'quota' }))
        .use(
          (req, res) => void res.json([(req as { quota?: { code: string } }).quota?.code, req.billing === undefined]),
        )
      expect((await call(await serve(app), '/api/execute', { key })).body).toEqual(['recorded', true])
    })
  })

  describe('later handlers', () => {
    const thrown = [new TypeError('mine'), 'a string', { an: 'object' }, 42]

    test.each(thrown)('throw %p and the error handler gets that very value', async (value) => {
      const billing = open()
      const key = await keyOf(billing, 'customer-1')
      let caught: unknown[] = []
      const report: ErrorRequestHandler = (error, _req, res, _next) => {
        caught.push(error)
        res.status(555).json({})
      }
      for (const options of [{}, { skip: async () => false }]) {
        const app = express().use(billing.middleware(options))
        app.get('/throws', () => {
          throw value
        })
        app.get('/passes', (_req, _res, next) => next(value))
        app.get('/rejects', async () => Promise.reject(value))
        app.use(report)
        const port = await serve(app)
        // Express 4 does not look at promises.
        const paths = name === 'Express 4' ? ['/throws', '/passes'] : ['/throws', '/passes', '/rejects']
        for (const path of paths) {
          caught = []
          expect((await call(port, path, { key })).status).toBe(555)
          expect(caught).toEqual([value])
          expect(caught[0]).toBe(value)
        }
      }
    })

    test.each([undefined, null])('throw %p and it is as if Weighbridge were not there', async (value) => {
      const billing = open()
      const key = await keyOf(billing, 'customer-1')
      const build = (app: Express) => {
        app.get('/throws', () => {
          throw value
        })
        const report: ErrorRequestHandler = (error, _req, res, _next) => void res.status(555).json({ error })
        return app.use(report)
      }
      const without = await call(await serve(build(express())), '/throws')
      const answer = await call(await serve(build(express().use(billing.middleware()))), '/throws', { key })
      expect([answer.status, answer.body ?? answer.text]).toEqual([without.status, without.body ?? without.text])
    })

    test('see the AsyncLocalStorage of their own request', async () => {
      const billing = open()
      const key = await keyOf(billing, 'customer-1')
      const storage = new AsyncLocalStorage<string>()
      const app = express()
        .use((req, _res, next) => storage.run(req.headers['x-id'] as string, next))
        .use(billing.middleware())
        .use((_req, res) => void res.json(storage.getStore()))
      const port = await serve(app)
      const ids = Array.from({ length: 200 }, (_, index) => `request-${index}`)
      const answers = await Promise.all(ids.map((id) => call(port, '/api/execute', { key, headers: { 'x-id': id } })))
      expect(answers.map(({ body }) => body)).toEqual(ids)
    })
  })

  test('the usage handler tells a caller his own usage, for nothing', async () => {
    const billing = open(10)
    const key = await keyOf(billing, 'customer-1', 'limited')
    const app = express().get('/usage', billing.usageHandler()).use(billing.middleware(), ok)
    const port = await serve(app)
    await call(port, '/api/execute', { key })
    const answer = await call(port, '/usage', { key })
    expect(answer.status).toBe(200)
    expect(answer.body).toEqual({
      customerId: 'customer-1',
      currentPeriodStart: Date.UTC(2026, 3, 1),
      currentPeriodEnd: periodEnd,
      tier: 'limited',
      usage: { apiRequests: 1, agentExecutions: 0, dataAccessQueries: 0, totalCost: 0.1 },
      limits: { apiRequests: 10, agentExecutions: 50 },
      remaining: { apiRequests: 9, agentExecutions: 50 },
      totalCost: '0.1',
      resetAt: periodEnd,
    })
    expect((await call(port, '/usage')).body).toEqual({ error: 'API key required' })
    expect((await call(port, '/usage', { key: 'unknown-key' })).body).toEqual({ error: 'Invalid API key' })
    expect((await totals(billing)).events).toBe(1)
    await billing.close()
    expect((await call(port, '/usage', { key })).body).toEqual({ error: 'Billing processing failed' })
  })
})
