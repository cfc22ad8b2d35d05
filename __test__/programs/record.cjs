// Records events and ends, as the argument says: nobody waits for anything, or everything is waited for.
const { Billing } = require('weighbridge')

const { dir, events, waits, closes } = JSON.parse(process.argv[2])
const billing = new Billing({ dir, storeDeadlineMs: 60_000 })
const event = { customerId: 'customer-1', eventType: 'api_request', timestamp: Date.now(), cost: 0.1 }

async function main() {
  const recorded = Array.from({ length: events }, () => billing.usage.recordEvent(event))
  process.stdout.write('"asked"\n')
  if (waits) {
    await Promise.all(recorded)
    await billing.ready()
  }
  if (closes) await billing.close()
}

void main()
