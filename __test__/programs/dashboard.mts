// A small dashboard in strict TypeScript, as an ES module: makes a key, calls itself, prints the answer.
import type { AddressInfo } from 'node:net'
import express, { type NextFunction, type Request, type Response } from 'express'
import {
  Billing,
  BillingError,
  billingMiddleware,
  type BillingRequest,
  createBillingMiddleware,
  type CustomerUsage,
  type EndpointPricing,
  endpointPricing,
  ManualClock,
  type StripeService,
  stripeService,
  type SubscriptionTier,
  subscriptionTiers,
  type UsageEvent,
  usageTracker,
} from 'weighbridge'

const tiers: SubscriptionTier[] = subscriptionTiers
const pricing: EndpointPricing = endpointPricing
const service: StripeService = stripeService
const billing = new Billing({ dir: 'usage', tiers, pricing, clock: new ManualClock(Date.now()) })

const app = express()
app.use('/default', billingMiddleware, createBillingMiddleware({ skip: (req) => req.path === '/health' }))
app.use('/api', billing.middleware())
app.get('/usage', billing.usageHandler())
app.get('/api/execute', (req: Request, res: Response) => {
  const remaining: number | null | undefined = req.billing?.remaining
  res.json({ customerId: req.customerId, tier: req.billingTier, subscription: req.subscriptionId, remaining })
})
app.get('/api/seed', (req: BillingRequest, res: Response, _next: NextFunction) => {
  res.json({ customerId: req.customerId })
})

async function main(): Promise<void> {
  const event: UsageEvent = { customerId: 'customer-1', eventType: 'data_access', timestamp: Date.now(), cost: 0.5 }
  await billing.usage.recordEvent(event)
  await billing.customers.upsert({ id: 'customer-1', tier: 'starter' })
  const { key } = await billing.keys.create({ customerId: 'customer-1' })
  const server = app.listen(0, '127.0.0.1', async () => {
    const { port } = server.address() as AddressInfo
    const response = await fetch(`http://127.0.0.1:${port}/api/execute`, {
      headers: { authorization: `Bearer ${key}` },
    })
    const usage: CustomerUsage | null = await billing.usage.getCustomerUsage('customer-1')
    const unknown = await service.createSubscription('cus_1', 'gold').catch((error: unknown) => error)
    console.log(
      JSON.stringify({
        status: response.status,
        body: await response.json(),
        cost: usage?.usage.totalCost,
        code: unknown instanceof BillingError ? unknown.code : undefined,
        tracker: typeof usageTracker.recordEvent,
      }),
    )
    server.closeAllConnections()
    server.close()
    await billing.close()
  })
}

void main()
