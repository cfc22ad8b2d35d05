// Reports usage, and ends by itself though it was never closed.
const { Billing } = require('weighbridge')

const billing = new Billing({ storeDeadlineMs: 60_000, ...JSON.parse(process.argv[2]) })

async function main() {
  await billing.customers.upsert({ id: 'customer-1', stripeCustomerId: 'cus_1' })
  const event = { customerId: 'customer-1', eventType: 'api_request', timestamp: Date.now(), cost: 0 }
  await billing.usage.recordEvent(event)
  await billing.stripe.outbox.flush()
  process.stdout.write('"ended"\n')
}

void main()
