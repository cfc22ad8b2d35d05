import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Billing, type BillingOptions, type SubscriptionTier, subscriptionTiers, type UsageEvent } from 'weighbridge'

const billings = new Set<Billing>()
const directories = new Set<string>()

afterEach(async () => {
  await Promise.all([...billings].map((billing) => billing.close()))
  billings.clear()
  for (const directory of directories) rmSync(directory, { recursive: true, force: true })
  directories.clear()
})

/** A directory of the test's own, removed after it. */
export function temporaryDirectory(): string {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'weighbridge-')))
  directories.add(directory)
  return directory
}

/** A machine that runs many tests at once is slow, which is not what they are about. */
export const PATIENT = { storeDeadlineMs: 60_000 }

/** A Billing in a directory of its own unless one is given, closed after the test. */
export function openBilling(options: BillingOptions = {}): Billing {
  const place = options.path === undefined && { dir: temporaryDirectory() }
  const billing = new Billing({ ...PATIENT, ...place, ...options })
  billings.add(billing)
  return billing
}

/** The default tiers after one named `limited`, the lowest, with limits of the test's choice. */
export function limitedTo(apiRequests: number, agentExecutions = 50): SubscriptionTier[] {
  const limited: SubscriptionTier = {
    id: 'limited',
    name: 'Limited',
    priceId: 'price_limited',
    monthlyPrice: 1,
    features: {
      apiRequestsPerMonth: apiRequests,
      agentExecutionsPerMonth: agentExecutions,
      dataAccessLevel: 'basic',
      supportLevel: 'community',
    },
  }
  return [limited, ...subscriptionTiers]
}

/** A key of a new customer, in a tier if one is named. */
export async function keyOf(billing: Billing, customerId: string, tier?: string): Promise<string> {
  if (tier !== undefined) await billing.customers.upsert({ id: customerId, tier })
  const { key } = await billing.keys.create({ customerId })
  return key
}

/** An API request that costs a tenth, at the given time. */
export function event(overrides: Partial<UsageEvent> = {}): UsageEvent {
  return { customerId: 'customer-1', eventType: 'api_request', timestamp: Date.now(), cost: 0.1, ...overrides }
}

const LAST_INSTANT = Date.UTC(9999, 11, 31)

/** Everything that a store holds, as far as one can ask for it. */
export async function contents(billing: Billing): Promise<unknown> {
  const { data: customers } = await billing.customers.list({ limit: 1000 })
  return {
    customers,
    keys: await Promise.all(customers.map(({ id }) => billing.keys.list(id))),
    usage: await billing.usage.query({
      from: 0,
      to: LAST_INSTANT,
      window: 'hour',
      groupBy: ['customerId', 'eventType', 'endpoint'],
    }),
  }
}

/** All events, units and cost of a store or of one customer. */
export async function totals(
  billing: Billing,
  customerId?: string,
): Promise<{ events: number; units: number; cost: string }> {
  const [row] = await billing.usage.query({ from: 0, to: LAST_INSTANT, ...(customerId && { customerId }) })
  return row === undefined
    ? { events: 0, units: 0, cost: '0' }
    : { events: row.events, units: row.units, cost: row.cost }
}
