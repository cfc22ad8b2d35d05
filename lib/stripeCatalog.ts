import type { SubscriptionTier } from './catalog.js'
import { invalidArgument } from './errors.js'
import { checkBoolean, checkOptions } from './options.js'
import type { DecimalInput } from './prices.js'

/** A tier whose product and price Stripe shall have. */
export interface CatalogTier extends SubscriptionTier {
  /** The lookup key of its price, of letters, digits, _ and -: by default the tier's id and `_monthly`. */
  lookupKey?: string
}

/** A meter that Stripe shall have, perhaps with a price for what it counts. */
export interface CatalogMeter {
  /** What its events are called: `api_requests`. */
  eventName: string
  /** What it, and the product of its price, is called: by default `eventName`. */
  displayName?: string
  /** How a period's events become one number: by default `sum`. */
  aggregation?: 'sum' | 'count' | 'last'
  /** For each unit, in the currency's major unit. Left out, the meter gets no price. */
  unitPrice?: DecimalInput
  /** The lookup key of its price, of letters, digits, _ and -: by default `eventName`. */
  lookupKey?: string
}

/** What Stripe's catalog shall hold. */
export interface SyncCatalogOptions {
  /** By default those of the service. `monthlyPrice` is in the currency's major unit. */
  tiers?: CatalogTier[]
  /** By default none. */
  meters?: CatalogMeter[]
  /** Of ISO 4217: by default `usd`. */
  currency?: string
  /** Only says what would be done. */
  dryRun?: boolean
}

/** One object of Stripe's catalog, and what was (or in a dry run would be) done about it. */
export interface CatalogStep {
  action: 'create' | 'keep'
  object: 'billing.meter' | 'product' | 'price'
  /** Of the price; a product has that of its price. */
  lookupKey?: string
  /** Of the meter, or of the one to which the price belongs. */
  eventName?: string
  /** The tier whose product or price it is. */
  tierId?: string
  /** Stripe's id; missing in a dry run where Stripe has yet to choose it. */
  id?: string
}

/** The catalog as JSON, in which prices keep all their digits. */
export function catalogInput(options: SyncCatalogOptions, serviceTiers: SubscriptionTier[]): string {
  checkOptions('syncCatalog', options, ['tiers', 'meters', 'currency', 'dryRun'])
  const { tiers = serviceTiers, meters = [], currency = 'usd', dryRun } = options
  checkBoolean('dryRun', dryRun)
  if (!Array.isArray(tiers)) throw invalidArgument('`tiers` must be an array of tiers')
  const wanted = tiers.map((tier: CatalogTier, position) => {
    if (typeof tier !== 'object' || tier === null) {
      throw invalidArgument(`tiers[${position}] must be a tier: { id, name, monthlyPrice }`)
    }
    const { id, name, monthlyPrice, lookupKey } = tier
    return { id, name, monthlyPrice, lookupKey }
  })
  const exact = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value)
  return JSON.stringify({ tiers: wanted, meters, currency }, exact)
}
