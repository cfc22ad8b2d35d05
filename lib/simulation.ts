import { type Catalog, checkCatalog } from './checkedCatalog.js'
import type { InstantInput } from './credits.js'
import type { Engine } from './engine.js'
import { checkOptions } from './options.js'
import { json } from './question.js'

/**
 * A catalog, and who would be in which of its tiers. The first of these that says something counts: `customers`, `tiers`, a
 * tier with the id of the one that the customer has, `tierId`. A customer of whom none does is told of as unassigned.
 */
export interface SimulationPlan {
  catalog: Catalog
  /** Tiers of the catalog by customer: `{ 'customer-1': 'pro' }`. */
  customers?: Readonly<Record<string, string>>
  /** Tiers of the catalog by the tier that a customer has now: `{ starter: 'free' }`. */
  tiers?: Readonly<Record<string, string>>
  /** For all others. */
  tierId?: string
}

/** What is to be simulated. */
export interface SimulationQuestion extends SimulationPlan {
  /** The first instant. */
  from: InstantInput
  /** The first instant after it. A billing period that is cut counts with its share of base amount and minimum. */
  to: InstantInput
  /** Another catalog to compare with. Left out, it is compared with what each event cost when it was recorded. */
  baseline?: SimulationPlan
  /** How many customers are listed: by default 1,000. Sums have them all. */
  limit?: number
}

/** What a catalog would have brought. Amounts are decimal strings, exact, in the currency's major unit. */
export interface Simulation {
  /** In capitals. */
  currency: string
  /** Of the customers who have a tier. */
  events: number
  /** Those of them for which the catalog has no price: they cost nothing. */
  unpricedEvents: number
  /** Events that only their metadata could price, and that the store has dropped: they are in no sum. */
  missingEvents: number
  /** What the customers paid; `null` where nothing is known of it. */
  oldTotal: string | null
  newTotal: string
  /** The new total less the old one. */
  difference: string | null
  /** Who would pay less, and how much less. */
  winners: { customers: number; amount: string }
  /** Who would pay more, and how much more. */
  losers: { customers: number; amount: string }
  customerCount: number
  /** Those for whom most would change first. */
  customers: SimulatedCustomer[]
  unassignedCount: number
  /** Customers who have no tier in the catalog or the baseline, by id. They are in no sum. */
  unassigned: UnassignedCustomer[]
}

/** What a customer would have paid. */
export interface SimulatedCustomer {
  customerId: string
  /** His tier in the catalog. */
  tierId: string
  /** In how many billing periods he used something: only these are counted. */
  periods: number
  events: number
  oldTotal: string | null
  newTotal: string
  /** Negative where he would pay less. */
  difference: string | null
}

/** A customer of whom nobody has said in which tier he would be. */
export interface UnassignedCustomer {
  customerId: string
  /** The tier that he has. */
  tier: string | null
  /** Where he has none. */
  lacking: 'catalog' | 'baseline'
  events: number
  recordedCost: string
}

const PLAN = ['catalog', 'customers', 'tiers', 'tierId'] satisfies (keyof SimulationPlan)[]
const LIMIT = 1_000

export async function simulate(engine: Engine, question: SimulationQuestion): Promise<Simulation> {
  checkOptions('simulate', question, [...PLAN, 'from', 'to', 'baseline', 'limit'])
  const text = json('a question', checkedQuestion('simulate', question))
  const answer = await engine.call<string>((native, ticket) => native.simulate(ticket, text))
  return JSON.parse(answer) as Simulation
}

/** The question with its catalogs in their normal form. */
export function checkedQuestion<Question extends { catalog: Catalog; baseline?: SimulationPlan; limit?: number }>(
  where: string,
  question: Question,
): Question {
  const { catalog, baseline, limit = LIMIT } = question
  if (baseline !== undefined) checkOptions(`${where}: baseline`, baseline, PLAN)
  return {
    ...question,
    catalog: checkCatalog(catalog),
    ...(baseline && { baseline: { ...baseline, catalog: checkCatalog(baseline.catalog) } }),
    limit,
  }
}
