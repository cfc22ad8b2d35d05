import { Billing, type BillingOptions, subscriptionTiers } from '../index.mjs'

/** An exact limit that no run reaches. */
export const LIMIT = 1_000_000_000
const TIER = 'bench'
/** So many are created at a time. */
const BATCH = 10_000

/** A Billing with an exact limit for each customer, which is none of the defaults of an unknown customer. */
export function openBilling(options: BillingOptions): Billing {
  const [starter] = subscriptionTiers
  if (starter === undefined) throw new Error('there is no tier')
  const features = { ...starter.features, apiRequestsPerMonth: LIMIT, agentExecutionsPerMonth: LIMIT }
  return new Billing({ tiers: [{ ...starter, id: TIER, features }], ...options })
}

export function customerName(number: number): string {
  return `customer-${number}`
}

/** Creates customers with one key each, through the public API, and answers with their keys. */
export async function createCustomers(billing: Billing, from: number, to: number): Promise<string[]> {
  const keys: string[] = []
  for (let first = from; first < to; first += BATCH) {
    const length = Math.min(BATCH, to - first)
    const names = Array.from({ length }, (_, index) => customerName(first + index))
    const created = await Promise.all([
      ...names.map((customerId) => billing.keys.create({ customerId }).then(({ key }) => key)),
      ...names.map((id) => billing.customers.upsert({ id, tier: TIER }).then(() => undefined)),
    ])
    for (const key of created) if (key !== undefined) keys.push(key)
  }
  return keys
}
