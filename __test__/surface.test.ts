import { existsSync } from 'node:fs'
import { join } from 'node:path'
import express, { type Request, type Response } from 'express'
import {
  Billing,
  type BillingHandler,
  billingMiddleware,
  type BillingRequest,
  createBillingMiddleware,
  type EndpointPricing,
  endpointPricing,
  ManualClock,
  stripeService,
  StripeService,
  type SubscriptionTier,
  subscriptionTiers,
  usageTracker,
  UsageTracker,
} from 'weighbridge'
import { openBilling } from './support/billing'
import { freshDirectory } from './support/directory'
import { serve } from './support/server'

describe("the seed's tables", () => {
  test('the tiers have the very values of the seed', () => {
    const tiers: SubscriptionTier[] = subscriptionTiers
    expect(tiers).toEqual([
      {
        id: 'starter',
        name: 'Starter',
        priceId: 'price_starter_monthly',
        monthlyPrice: 29,
        features: {
          apiRequestsPerMonth: 1000,
          agentExecutionsPerMonth: 50,
          dataAccessLevel: 'basic',
          supportLevel: 'community',
        },
      },
      {
        id: 'professional',
        name: 'Professional',
        priceId: 'price_professional_monthly',
        monthlyPrice: 99,
        features: {
          apiRequestsPerMonth: 10000,
          agentExecutionsPerMonth: 500,
          dataAccessLevel: 'professional',
          supportLevel: 'email',
        },
      },
      {
        id: 'enterprise',
        name: 'Enterprise',
        priceId: 'price_enterprise_monthly',
        monthlyPrice: 299,
        features: {
          apiRequestsPerMonth: 100000,
          agentExecutionsPerMonth: 5000,
          dataAccessLevel: 'enterprise',
          supportLevel: 'priority',
        },
      },
    ])
  })

  test('the five endpoints have the prices of the seed', () => {
    const pricing: EndpointPricing = endpointPricing
    expect(pricing).toEqual({
      '/api/execute': { pricePerRequest: 0.1 },
      '/api/analyze': { pricePerRequest: 0.05 },
      '/api/scan-funding': { pricePerRequest: 0.03 },
      '/api/assistant': { pricePerRequest: 0.02 },
      '/api/funding-data': { pricePerRequest: 0.01, requiredTier: 'professional' },
    })
  })
})

describe('the default engine', () => {
  const startedIn = process.cwd()
  afterAll(() => process.chdir(startedIn))

  test('it opens in logs/usage below the working directory, on the first use and not before', async () => {
    const directory = freshDirectory()
    process.chdir(directory)
    const created: BillingHandler = createBillingMiddleware()
    expect(billingMiddleware).toBeInstanceOf(Function)
    expect(created).toBeInstanceOf(Function)
    expect(usageTracker).toBeInstanceOf(UsageTracker)
    expect(stripeService).toBeInstanceOf(StripeService)
    expect(existsSync(join(directory, 'logs'))).toBe(false)

    await usageTracker.recordEvent({
      customerId: 'customer-123',
      eventType: 'api_request',
      timestamp: Date.now(),
      cost: 0.1,
    })
    expect(existsSync(join(directory, 'logs', 'usage'))).toBe(true)
    expect((await new UsageTracker().getCustomerUsage('customer-123'))?.usage.apiRequests).toBe(1)

    // Its data are anybody's who opens the directory; here, to make the keys that the seed had in its code.
    const billing = openBilling({ dir: join(directory, 'logs', 'usage') })
    const app = express()
    app.use(billingMiddleware)
    app.get('/api/execute', (req: Request, res: Response) => {
      const customerId: string | undefined = req.customerId
      const subscriptionId: string | undefined = req.subscriptionId
      const billingTier: string | undefined = req.billingTier
      res.json({ customerId, subscriptionId, billingTier, code: req.billing?.code, used: req.billing?.used })
    })
    const client = await serve(app)
    await billing.customers.upsert({ id: 'customer-123', tier: 'starter', subscriptionId: 'sub_123' })
    await billing.keys.create({ customerId: 'customer-123', key: 'test-key-123' })
    expect((await client.call('test-key-123', '/api/execute')).body).toEqual({
      customerId: 'customer-123',
      subscriptionId: 'sub_123',
      billingTier: 'starter',
      code: 'recorded',
      used: 2,
    })
    expect((await client.call('demo-key-456', '/api/execute')).status).toBe(401)
    expect((await usageTracker.getCustomerUsage('customer-123'))?.usage).toEqual({
      apiRequests: 2,
      agentExecutions: 0,
      dataAccessQueries: 0,
      totalCost: 0.2,
    })
  })
})

test('a handler typed with BillingRequest is an Express handler', async () => {
  const billing = openBilling()
  const { key } = await billing.keys.create({ customerId: 'customer-1' })
  const handler = (req: BillingRequest, res: Response): void => {
    res.json({ customerId: req.customerId, path: req.path, agent: req.headers['user-agent'], page: req.query.page })
  }
  const app = express().use(billing.middleware()).get('/api/execute', handler)
  const client = await serve(app)
  const answer = await client.send('GET', '/api/execute?page=2', {
    authorization: `Bearer ${key}`,
    'user-agent': 'test',
  })
  expect(answer.body).toEqual({ customerId: 'customer-1', path: '/api/execute', agent: 'test', page: '2' })
})

test('a Billing has its parts from the start', () => {
  const billing: Billing = openBilling()
  expect(billing.usage).toBeInstanceOf(UsageTracker)
  expect(billing.stripe).toBeInstanceOf(StripeService)
  expect(billing.keys.create).toBeInstanceOf(Function)
  expect(billing.customers.upsert).toBeInstanceOf(Function)
  expect(billing.path).toMatch(/weighbridge\.db$/)
})

test('the usage handler tells a caller his own usage, and nobody else', async () => {
  const billing = openBilling({ clock: new ManualClock(Date.UTC(2026, 1, 14)) })
  const { key } = await billing.keys.create({ customerId: 'acme' })
  await billing.usage.consume({ customerId: 'acme', eventType: 'api_request', endpoint: '/api/execute', units: 3 })
  const app = express().get('/usage', billing.usageHandler())
  const client = await serve(app)
  expect((await client.call(key, '/usage')).body).toEqual({
    customerId: 'acme',
    currentPeriodStart: Date.UTC(2026, 1, 1),
    currentPeriodEnd: Date.UTC(2026, 2, 1),
    usage: { apiRequests: 3, agentExecutions: 0, dataAccessQueries: 0, totalCost: 0.3 },
    tier: null,
    limits: { apiRequests: 1000, agentExecutions: 50 },
    remaining: { apiRequests: 997, agentExecutions: 50 },
    totalCost: '0.3',
    resetAt: Date.UTC(2026, 2, 1),
  })
  expect((await client.send('GET', '/usage')).body).toEqual({ error: 'API key required' })
  expect((await client.call('constructor', '/usage')).body).toEqual({ error: 'Invalid API key' })
})
