import { existsSync } from 'node:fs'
import { join } from 'node:path'
import express, { type Request, type Response } from 'express'
import {
  Billing,
  type BillingHandler,
  billingMiddleware,
  type BillingRequest,
  createBillingMiddleware,
  type CustomerUsage,
  type EndpointPricing,
  endpointPricing,
  stripeService,
  StripeService,
  type SubscriptionTier,
  subscriptionTiers,
  type UsageEvent,
  usageTracker,
  UsageTracker,
} from 'weighbridge'
import { openBilling, temporaryDirectory } from './support/billing'
import { call, serve } from './support/http'

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

describe('usage in the shape of the seed', () => {
  const now = Date.UTC(2026, 1, 14, 9, 30)

  test('an event may have every field of the seed', async () => {
    const { usage } = openBilling({ clock: { now: () => now } })
    const everything: UsageEvent = {
      customerId: 'customer-1',
      subscriptionId: 'sub_1',
      eventType: 'agent_execution',
      endpoint: '/api/execute',
      agentType: 'researcher',
      timestamp: now,
      cost: 0.25,
      metadata: { method: 'POST', nested: { list: [1, null, 'ü'] } },
    }
    await expect(usage.recordEvent(everything)).resolves.toBeUndefined()
    const [row] = await usage.query({ from: now, to: now + 1, groupBy: ['customerId', 'eventType', 'endpoint'] })
    expect(row).toEqual({
      windowStart: now,
      windowEnd: now + 1,
      customerId: 'customer-1',
      eventType: 'agent_execution',
      endpoint: '/api/execute',
      events: 1,
      units: 1,
      cost: '0.25',
    })
  })

  test('a customer who was never seen has no usage', async () => {
    expect(await openBilling().usage.getCustomerUsage('nobody')).toBeNull()
  })

  test('usage and limits of a customer have exactly the fields of the seed', async () => {
    const { usage } = openBilling({ clock: { now: () => now } })
    const record = (eventType: UsageEvent['eventType'], cost: number) =>
      usage.recordEvent({ customerId: 'customer-1', eventType, timestamp: now, cost })
    await record('api_request', 0.1)
    await record('api_request', 0.2)
    await record('agent_execution', 1.5)
    await record('data_access', 0)
    const report: CustomerUsage | null = await usage.getCustomerUsage('customer-1')
    expect(report).toEqual({
      customerId: 'customer-1',
      currentPeriodStart: Date.UTC(2026, 1, 1),
      currentPeriodEnd: Date.UTC(2026, 2, 1),
      usage: { apiRequests: 2, agentExecutions: 1, dataAccessQueries: 1, totalCost: 1.8 },
      limits: { apiRequests: 1000, agentExecutions: 50 },
    })
  })
})

describe('the default engine', () => {
  const startedIn = process.cwd()
  afterAll(() => process.chdir(startedIn))

  test('it opens in logs/usage below the working directory, on the first use and not before', async () => {
    const directory = temporaryDirectory()
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
    const port = await serve(app)
    await billing.customers.upsert({ id: 'customer-123', tier: 'starter', subscriptionId: 'sub_123' })
    await billing.keys.create({ customerId: 'customer-123', key: 'test-key-123' })
    expect((await call(port, '/api/execute', { key: 'test-key-123' })).body).toEqual({
      customerId: 'customer-123',
      subscriptionId: 'sub_123',
      billingTier: 'starter',
      code: 'recorded',
      used: 2,
    })
    expect((await call(port, '/api/execute', { key: 'demo-key-456' })).status).toBe(401)
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
  const answer = await call(await serve(app), '/api/execute?page=2', { key, headers: { 'user-agent': 'test' } })
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
