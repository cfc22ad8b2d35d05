import express from 'express'
import { type ActionLogger, Billing } from 'weighbridge'
import { openBilling } from './support/billing'
import { serve } from './support/server'

type Entry = [agent: string, action: string, kind: string, summary: string]

/** A logger as the dashboard has one, and what it was told. */
function recorder(): { entries: Entry[]; logger: ActionLogger } {
  const entries: Entry[] = []
  const started = new Map<string, [string, string, string]>()
  return {
    entries,
    logger: {
      async startWork(agent: string, action: string, _description: string, kind: string) {
        const id = `work-${started.size}`
        started.set(id, [agent, action, kind])
        return id
      },
      async completeWork(id: string, summary: string) {
        const [agent, action, kind] = started.get(id) ?? ['', '', '']
        entries.push([agent, action, kind, summary])
      },
    },
  }
}

async function traffic(billing: Billing): Promise<number[]> {
  const { key } = await billing.keys.create({ customerId: 'acme' })
  const app = express()
  app.use(billing.middleware())
  app.use((_req, res) => {
    res.json({})
  })
  const client = await serve(app)
  const answers = [await client.call(key, '/api/execute'), await client.send('GET', '/api/execute')]
  const event = { customerId: 'acme', eventType: 'data_access', timestamp: Date.now(), cost: 0 } as const
  await billing.usage.recordEvent(event)
  await expect(billing.usage.recordEvent({ ...event, cost: -1 })).rejects.toThrow('cost')
  await expect(billing.stripe.createCustomer('someone@example.test')).rejects.toThrow('STRIPE_SECRET_KEY')
  return answers.map(({ status }) => status)
}

test("every operation is reported with the seed's agent names, success and failure alike", async () => {
  const { entries, logger } = recorder()
  expect(await traffic(openBilling({ actionLogger: logger }))).toEqual([200, 401])
  expect(entries).toEqual([
    ['BillingMiddleware', 'Process API billing', 'system', 'Billing processed for /api/execute'],
    ['BillingMiddleware', 'Process API billing', 'system', 'Billing refused for /api/execute: API key required'],
    ['UsageTracker', 'Record usage event', 'system', 'Usage event recorded: data_access'],
    ['UsageTracker', 'Record usage event', 'system', expect.stringMatching(/^Failed to record usage: `cost`/)],
    [
      'StripeService',
      'Create Stripe customer',
      'system',
      'Failed to create customer: STRIPE_SECRET_KEY environment variable is required',
    ],
  ])
})

const boom = () => {
  throw new Error('the logger is broken')
}
test.each<[string, ActionLogger]>([
  ['throws at the start', { startWork: boom, completeWork: () => {} }],
  ['throws at the end', { startWork: () => 1, completeWork: boom }],
  ['rejects', { startWork: async () => boom(), completeWork: async () => boom() }],
  ['never answers', { startWork: () => new Promise(() => {}), completeWork: () => {} }],
])('a logger that %s neither delays nor fails anything', async (_name, actionLogger) => {
  expect(await traffic(openBilling({ actionLogger }))).toEqual([200, 401])
})
