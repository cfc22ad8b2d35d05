import { CatalogError } from './errors.js'
import type { Interval } from './periods.js'
import type { DecimalInput, Price } from './prices.js'
import { ask, json } from './question.js'

/**
 * Tiers, what they may use, and what things cost: one object, such as JSON can hold. All amounts are in its currency's major
 * unit. Unknown fields are refused.
 */
export interface Catalog {
  /** Names the catalog: the same in all its versions. */
  id: string
  /** Names this version. A customer stays on the version that he signed up to until he is moved. */
  version: string
  /** The ISO 4217 code, in capitals or not. */
  currency: string
  /** What is counted, such as `'api_request'` or `'tokens'`. */
  meters?: readonly string[]
  /** What tiers can have and routes can require, such as `'export'`. */
  features?: readonly string[]
  /** From the lowest to the highest; at least one. */
  tiers: readonly CatalogTier[]
  /** What usage costs. {@link resolvePrice} says which of them applies. */
  prices?: readonly CatalogPrice[]
  /** What requests need. A request without a rule is open to all. */
  routes?: readonly CatalogRoute[]
}

/** A tier: what it costs and what its customers may use. */
export interface CatalogTier {
  id: string
  /** For people. */
  name?: string
  /** The id of the tier's price at Stripe. */
  priceId?: string
  /**
   * The id of a tier whose features, limits, included units and prices this one has too, where it does not say otherwise
   * itself. What the tier costs is never taken over.
   */
  extends?: string
  /** The catalog's. Another one is refused. */
  currency?: string
  /** The length of a billing period: by default a month. */
  interval?: Interval
  /** How many intervals: by default 1. */
  intervalCount?: number
  /** Due for each billing period: by default 0. */
  baseAmount?: DecimalInput
  /** What a billing period costs at least, before credits: by default 0. */
  minimumAmount?: DecimalInput
  /** Each one of the catalog's. */
  features?: readonly string[]
  limits?: readonly CatalogLimit[]
  included?: readonly IncludedUnits[]
}

/** How many units of a meter a customer may use in a window. A tier may limit a meter in several windows. */
export interface CatalogLimit {
  meter: string
  per: LimitWindow
  /** A whole number from 0; `null` for no limit, also where a tier that is extended has one. */
  units: number | string | null
  /** A soft limit is told of and never refuses: by default `false`. It must be below the hard one of the same window. */
  soft?: boolean
}

/**
 * The time over which usage is counted: a calendar month, day or hour in the billing time zone, or so many seconds before each
 * request, 31 days at most.
 */
export type LimitWindow = 'month' | 'day' | 'hour' | { slidingSeconds: number }

/** Units that the base amount pays for. */
export interface IncludedUnits {
  meter: string
  /** In each billing period: a whole number from 0. */
  units: number | string
  /**
   * What becomes of units above: they are refused (`'block'`), they cost what the catalog's prices say (`'charge'`), or what is
   * said here. A price that is said here is one of the catalog's, for this tier and meter, with the id
   * `<tier>.<meter>.overage`.
   */
  overage: 'block' | 'charge' | Price
}

/** A price, and the usage that it is for. What is left out narrows nothing. */
export interface CatalogPrice {
  id: string
  meter: string
  /** For customers of this tier, and of tiers that extend it. */
  tier?: string
  /** For requests that match: a path or pattern, alone or after a method, as in `EndpointPricing`: `'POST /api/agents/:id'`. */
  route?: string
  /** For usage whose metadata has all of these values: `{ model: 'gpt-4' }`. */
  dimensions?: Readonly<Record<string, string>>
  /** The catalog's. Another one is refused. */
  currency?: string
  price: Price
}

/** What a request needs. Of several routes that match the most specific one counts. */
export interface CatalogRoute {
  /** As in {@link CatalogPrice}. */
  route: string
  /** The lowest tier that may call it. */
  requiredTier?: string
  /** Features, all of which the tier must have. */
  requires?: readonly string[]
}

/**
 * A catalog in its normal form: all that was left out is said, decimals are strings in their shortest form, the currency is in
 * capitals, and a tier lists what it has from those that it extends. It is a catalog itself, and its own normal form.
 */
export interface CheckedCatalog extends Required<Catalog> {
  tiers: readonly CheckedTier[]
}

/** A tier in its normal form. */
export interface CheckedTier extends CatalogTier {
  interval: Interval
  intervalCount: number
  baseAmount: string
  minimumAmount: string
  features: readonly string[]
  limits: readonly CatalogLimit[]
  included: readonly IncludedUnits[]
}

/** Usage whose price is asked for. */
export interface PriceQuestion {
  meter: string
  /** The customer's tier, if he has one. */
  tier?: string
  /** The request's method: by default `GET`. */
  method?: string
  /** The request's full path. Without one only prices without a route apply. */
  path?: string
  /** Metadata of the usage: `{ model: 'gpt-4' }`. */
  dimensions?: Readonly<Record<string, string>>
}

/** Which price applies, and why. */
export interface PriceResolution {
  /** `null` where none does. */
  price: CatalogPrice | null
  /** For people, in English: what the price is for; then for each other price that applies, what is more specific. */
  because: string[]
}

/**
 * Checks a catalog as a whole and returns its normal form: names that do not exist, ids that are there twice, price tiers with
 * gaps or overlaps, tiers that extend each other in a circle, mixed currencies, prices of which neither is more specific.
 *
 * @throws CatalogError with every mistake and its place, and the name that was probably meant where one is misspelt.
 */
export function checkCatalog(catalog: Catalog): CheckedCatalog {
  const checked = ask(({ checkCatalog }) => checkCatalog(json('a catalog', catalog)))
  if (checked.catalog === undefined) throw new CatalogError(checked.mistakes)
  return JSON.parse(checked.catalog) as CheckedCatalog
}

/**
 * Which of a catalog's prices applies to usage, and why. Of those that apply the most specific one does: by its route, segment
 * by segment (plain text before a parameter before a wildcard), then by whether it names the method, then by how many
 * dimensions it names, then by how near its tier is to the customer's.
 *
 * The catalog is checked anew each time: this is for tests and for explaining, not for every request.
 *
 * @throws CatalogError where the catalog is none, BillingError `invalid_argument` where the question is none.
 */
export function resolvePrice(catalog: Catalog, question: PriceQuestion): PriceResolution {
  const checked = checkCatalog(catalog)
  const { price, because } = ask(({ resolvePrice }) =>
    resolvePrice(JSON.stringify(checked), json('a question', question)),
  )
  return { price: price === undefined ? null : (JSON.parse(price) as CatalogPrice), because }
}
