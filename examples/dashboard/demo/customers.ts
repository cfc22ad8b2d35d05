import { type Billing, subscriptionTiers } from 'weighbridge'
import { count, print, table } from './terminal.js'

/** A customer of the demo, and the key that its programs send. */
export interface DemoCustomer {
  id: string
  tier: string | undefined
  key: string
}

/** The keys that the dashboard's old code had in its source, still in the hands of clients. */
const OLD_KEYS = { 'customer-123': 'test-key-123', 'customer-456': 'demo-key-456' }

/** One customer for each tier, with a new key; and the two whose keys are imported, without a tier. */
export async function createCustomers(billing: Billing): Promise<DemoCustomer[]> {
  const customers: DemoCustomer[] = []
  for (const { id: tier } of subscriptionTiers) {
    const { id } = await billing.customers.upsert({ id: `customer-${tier}`, tier })
    const { key } = await billing.keys.create({ customerId: id, name: 'demo' })
    customers.push({ id, tier, key })
  }
  for (const [id, key] of Object.entries(OLD_KEYS)) {
    await billing.keys.create({ customerId: id, name: 'imported', key })
    customers.push({ id, tier: undefined, key })
  }
  return customers
}

export async function showCustomers(billing: Billing, customers: DemoCustomer[]): Promise<void> {
  const rows = []
  for (const { id, tier, key } of customers) {
    const usage = await billing.usage.getCustomerUsage(id)
    const [stored] = await billing.keys.list(id)
    const limit = usage?.limits.apiRequests ?? Infinity
    const origin = stored?.name === 'imported' ? 'imported' : 'new'
    rows.push([id, tier ?? 'none', count(limit), origin, key])
  }
  print('  The store holds each key as its SHA-256 only; here they are seen for the last time.')
  table(
    [{ title: 'customer' }, { title: 'tier' }, { title: 'limit', align: 'right' }, { title: 'key' }, { title: '' }],
    rows,
  )
}
