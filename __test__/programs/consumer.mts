// A process of its own that consumes from one customer's limit until nothing is left, and prints how much it was given.
import { Billing } from 'weighbridge'

const [dir] = process.argv.slice(2)
const billing = new Billing({ dir })
let admitted = 0
let refused = 0
while (refused < 50) {
  const attempts = Array.from({ length: 20 }, () =>
    billing.usage.consume({ customerId: 'acme', eventType: 'api_request' }),
  )
  for (const { allowed } of await Promise.all(attempts)) {
    if (allowed) admitted += 1
    else refused += 1
  }
}
await billing.close()
process.send?.(admitted)
