import type { SubscriptionTier } from './catalog.js'
import { type Catalog, checkCatalog, type CheckedCatalog } from './checkedCatalog.js'
import { CatalogError, invalidArgument } from './errors.js'

/** Checks the versions of a catalog, the oldest first. Mistakes in one of several are placed as `catalog[0].tiers[1]`. */
export function checkVersions(catalog: Catalog | readonly Catalog[]): CheckedCatalog[] {
  if (!isList(catalog)) return [checkCatalog(catalog)]
  if (catalog.length === 0) throw invalidArgument('`catalog` must be a catalog, or its versions, at least one')
  const mistakes: CatalogError['mistakes'][number][] = []
  const checked = catalog.flatMap((version, position) => {
    try {
      return [checkCatalog(version)]
    } catch (error) {
      if (!(error instanceof CatalogError)) throw error
      const here = (text: string): string => text.replace(/(^|`)catalog\b/g, `$1catalog[${position}]`)
      mistakes.push(...error.mistakes.map(({ place, message }) => ({ place: here(place), message: here(message) })))
      return []
    }
  })
  if (mistakes.length > 0) throw new CatalogError(mistakes)
  return checked
}

function isList(catalog: Catalog | readonly Catalog[]): catalog is readonly Catalog[] {
  return Array.isArray(catalog)
}

/** Those tiers of a catalog that Stripe has a price of, as {@link StripeService} knows them. */
export function tiersAtStripe({ tiers }: CheckedCatalog): SubscriptionTier[] {
  return tiers.flatMap(({ id, name = id, priceId, baseAmount, limits }) => {
    if (priceId === undefined) return []
    const monthly = (meter: string): number => {
      const limit = limits.find((limit) => limit.meter === meter && limit.per === 'month' && limit.soft !== true)
      return limit === undefined || limit.units === null ? Infinity : Number(limit.units)
    }
    const features = {
      apiRequestsPerMonth: monthly('api_request'),
      agentExecutionsPerMonth: monthly('agent_execution'),
      dataAccessLevel: 'basic' as const,
      supportLevel: 'community' as const,
    }
    return [{ id, name, priceId, monthlyPrice: Number(baseAmount), features }]
  })
}
