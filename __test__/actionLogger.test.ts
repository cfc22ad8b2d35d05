import express from 'express'
import { type ActionLogger, StripeService } from 'weighbridge'
import { event, keyOf, limitedTo, openBilling } from './support/billing'
import { call, serve } from './support/http'

interface Report {
  agent: string
  action: string
  description: string
  kind: string
  summary?: string
  files?: string[]
}

/** Keeps what it is told. `reported` resolves when so many operations are complete. */
class Reporter implements ActionLogger {
  readonly reports: Report[] = []
  #completed = 0
  #waiting: [count: number, resolve: () => void] | undefined

  async startWork(agent: string, action: string, description: string, kind: string): Promise<number> {
    this.reports.push({ agent, action, description, kind })
    return this.reports.length - 1
  }

  completeWork(id: number, summary: string, files: string[]): void {
    Object.assign(this.reports[id] ?? {}, { summary, files })
    this.#completed += 1
    if (this.#waiting !== undefined && this.#completed >= this.#waiting[0]) this.#waiting[1]()
  }

  async reported(count: number): Promise<Report[]> {
    await new Promise<void>((resolve) => {
      this.#waiting = [count, resolve]
      if (this.#completed >= count) resolve()
    })
    return this.reports
  }
}

const app = (handler: express.RequestHandler) => express().use(handler, (_req, res) => void res.json({ ok: true }))

test('the tracker reports success and failure', async () => {
  const actionLogger = new Reporter()
  const { usage } = openBilling({ actionLogger })
  await usage.recordEvent(event())
  await expect(usage.recordEvent(event({ cost: -1 }))).rejects.toThrow()
  await usage.recordEvents([event(), event({ cost: -1 })])
  await usage.consume({ customerId: 'customer-1', eventType: 'data_access' })
  expect(await actionLogger.reported(4)).toEqual([
    {
      agent: 'UsageTracker',
      action: 'Record usage event',
      description: 'Recording api_request for customer customer-1',
      kind: 'system',
      summary: 'Usage event recorded: api_request',
      files: [],
    },
    {
      agent: 'UsageTracker',
      action: 'Record usage event',
      description: 'Recording api_request for customer customer-1',
      kind: 'system',
      summary: expect.stringMatching(/^Failed to record usage: `cost` must not be negative/),
      files: [],
    },
    {
      agent: 'UsageTracker',
      action: 'Record usage events',
      description: 'Recording 2 events',
      kind: 'system',
      summary: 'Usage events recorded: 1',
      files: [],
    },
    {
      agent: 'UsageTracker',
      action: 'Consume usage',
      description: 'Consuming data_access of customer customer-1',
      kind: 'system',
      summary: 'Usage consumed: allowed',
      files: [],
    },
  ])
})

test('the middleware reports what it let through, what it refused and what failed', async () => {
  const actionLogger = new Reporter()
  const billing = openBilling({ actionLogger, tiers: limitedTo(1) })
  const key = await keyOf(billing, 'customer-1', 'limited')
  const port = await serve(app(billing.middleware({ logger: { error: () => {} } })))
  await call(port, '/api/execute', { key })
  await call(port, '/api/execute', { key })
  await call(port, '/api/execute')
  await billing.close()
  await call(port, '/api/execute', { key })
  const reports = await actionLogger.reported(4)
  for (const { agent, action, description, kind } of reports) {
    expect([agent, action, description, kind]).toEqual([
      'BillingMiddleware',
      'Process API billing',
      'Processing billing for /api/execute',
      'system',
    ])
  }
  expect(reports.map(({ summary }) => summary)).toEqual([
    'Billing processed for /api/execute',
    'Billing refused for /api/execute: Usage limit exceeded',
    'Billing refused for /api/execute: API key required',
    expect.stringMatching(/^Billing failed: this Billing was closed/),
  ])
})

test('the Stripe service reports success and failure', async () => {
  const actionLogger = new Reporter()
  const port = await serve((request, response) => {
    const found = request.url === '/v1/customers'
    response.writeHead(found ? 200 : 404, { 'content-type': 'application/json' })
    response.end(JSON.stringify(found ? { id: 'cus_1', object: 'customer' } : { error: { message: 'No such thing' } }))
  })
  const stripe = new StripeService({ secretKey: 'sk_test_1', baseUrl: `http://127.0.0.1:${port}`, actionLogger })
  await stripe.createCustomer('ada@example.com')
  await expect(stripe.createSubscription('cus_1', 'gold')).rejects.toThrow()
  await expect(stripe.getUsage('cus_1', 'sub_1')).rejects.toThrow()
  await expect(stripe.recordUsage('sub_1', 5)).rejects.toThrow()
  const reports = await actionLogger.reported(4)
  expect(reports.map(({ agent, action, summary }) => [agent, action, summary])).toEqual([
    ['StripeService', 'Create Stripe customer', 'Customer created: cus_1'],
    ['StripeService', 'Create Stripe subscription', 'Failed to create subscription: Invalid subscription tier: gold'],
    ['StripeService', 'Get Stripe usage', 'Failed to get usage: No such thing'],
    ['StripeService', 'Record Stripe usage', 'Failed to record usage: No such thing'],
  ])
  expect(reports[0]).toMatchObject({ description: 'Creating customer for ada@example.com', kind: 'system', files: [] })
})

test('the Stripe service of a Billing reports to its logger', async () => {
  const actionLogger = new Reporter()
  const { stripe } = openBilling({ actionLogger })
  await expect(stripe.createSubscription('cus_1', 'gold')).rejects.toThrow('Invalid subscription tier: gold')
  expect((await actionLogger.reported(1))[0]).toMatchObject({ agent: 'StripeService' })
})

const difficult: [what: string, logger: ActionLogger][] = [
  [
    'throws',
    {
      startWork: () => {
        throw new Error('no log')
      },
      completeWork: () => {
        throw new Error('no log')
      },
    },
  ],
  [
    'throws at the end only',
    {
      startWork: () => 1,
      completeWork: () => {
        throw 'no log'
      },
    },
  ],
  ['rejects', { startWork: () => Promise.reject(new Error('no log')), completeWork: () => Promise.reject(undefined) }],
  ['rejects at the end only', { startWork: () => 1, completeWork: () => Promise.reject(new Error('no log')) }],
  ['never answers', { startWork: () => new Promise(() => {}), completeWork: () => new Promise(() => {}) }],
  ['answers with nothing', { startWork: () => undefined, completeWork: () => undefined }],
]

test.each(difficult)('a logger that %s neither delays nor fails anything', async (_, actionLogger) => {
  const billing = openBilling({ actionLogger })
  const key = await keyOf(billing, 'customer-1')
  const port = await serve(app(billing.middleware()))
  expect((await call(port, '/api/execute', { key })).status).toBe(200)
  expect((await call(port, '/api/execute')).status).toBe(401)
  await billing.usage.recordEvent(event())
  await expect(billing.usage.recordEvent(event({ cost: -1 }))).rejects.toThrow('`cost`')
  await expect(billing.stripe.createSubscription('cus_1', 'gold')).rejects.toThrow('gold')
  expect((await billing.usage.getCustomerUsage('customer-1'))?.usage.apiRequests).toBe(2)
})
