import type { PriceInput, TierInput } from './binding.js'
import { BillingError, invalidArgument } from './errors.js'
import { checkOptions, checkString } from './options.js'

/** A subscription tier. The limits are for a billing period: a calendar month in the configured time zone. */
export interface SubscriptionTier {
  /** Names the tier in `customers.upsert({ tier })`, `requiredTier` and `createSubscription`. */
  id: string
  /** For people. */
  name: string
  /** The id of the tier's price at Stripe. */
  priceId: string
  /** In the currency's major unit. For display: Stripe's price is what is charged. */
  monthlyPrice: number
  features: {
    /** Whole units from 0; `Infinity` for no limit. */
    apiRequestsPerMonth: number
    /** Whole units from 0; `Infinity` for no limit. */
    agentExecutionsPerMonth: number
    dataAccessLevel: 'basic' | 'professional' | 'enterprise'
    supportLevel: 'community' | 'email' | 'priority'
  }
}

/**
 * What the endpoints cost. A key is a full path (`/api/execute`), a pattern as Express writes it (`/api/agents/:id`,
 * `/files/*path`), or one of them after a method (`POST /api/execute`). Paths match as Express routes them: in any
 * case and with or without a slash at the end, unless the app's settings say otherwise. Of several that match, plain text
 * wins over parameters and these over wildcards.
 */
export interface EndpointPricing {
  [endpoint: string]: {
    /** In the currency's major unit: a number, exact to 12 decimal places, or a decimal string. */
    pricePerRequest: number
    /** The lowest tier that may call it; others are answered 403. */
    requiredTier?: string
  }
}

/** Like {@link EndpointPricing}, where a price may also be a decimal string. */
export interface PricingOptions {
  [endpoint: string]: { pricePerRequest: number | string; requiredTier?: string }
}

/** The tiers that apply where none are configured, from the lowest to the highest. Replace the price ids by your own. */
export const subscriptionTiers: SubscriptionTier[] = [
  {
    id: 'starter',
    name: 'Starter',
    priceId: 'price_starter_monthly',
    monthlyPrice: 29,
    features: {
      apiRequestsPerMonth: 1000,
      agentExecutionsPerMonth: 50,
      dataAccessLevel: 'basic',
      supportLevel: 'community',
    },
  },
  {
    id: 'professional',
    name: 'Professional',
    priceId: 'price_professional_monthly',
    monthlyPrice: 99,
    features: {
      apiRequestsPerMonth: 10000,
      agentExecutionsPerMonth: 500,
      dataAccessLevel: 'professional',
      supportLevel: 'email',
    },
  },
  {
    id: 'enterprise',
    name: 'Enterprise',
    priceId: 'price_enterprise_monthly',
    monthlyPrice: 299,
    features: {
      apiRequestsPerMonth: 100000,
      agentExecutionsPerMonth: 5000,
      dataAccessLevel: 'enterprise',
      supportLevel: 'priority',
    },
  },
]

/** The price list that applies where none is configured. */
export const endpointPricing: EndpointPricing = {
  '/api/execute': { pricePerRequest: 0.1 },
  '/api/analyze': { pricePerRequest: 0.05 },
  '/api/scan-funding': { pricePerRequest: 0.03 },
  '/api/assistant': { pricePerRequest: 0.02 },
  '/api/funding-data': { pricePerRequest: 0.01, requiredTier: 'professional' },
}

export function tierInputs(tiers: SubscriptionTier[]): TierInput[] {
  if (!Array.isArray(tiers)) throw invalidArgument('`tiers` must be an array of tiers, from the lowest to the highest')
  return tiers.map((tier, position) => {
    const place = `tiers[${position}]`
    if (typeof tier?.features !== 'object' || tier.features === null) {
      throw invalidArgument(`${place} must be a tier: { id, name, priceId, monthlyPrice, features }`)
    }
    for (const name of ['id', 'name', 'priceId'] as const) checkString(`${place}.${name}`, tier[name])
    if (!(Number.isFinite(tier.monthlyPrice) && tier.monthlyPrice >= 0)) {
      throw invalidArgument(`\`${place}.monthlyPrice\` must be a number from 0, got ${tier.monthlyPrice}`)
    }
    const { apiRequestsPerMonth, agentExecutionsPerMonth } = tier.features
    for (const [name, limit] of Object.entries({ apiRequestsPerMonth, agentExecutionsPerMonth })) {
      if (typeof limit !== 'number')
        throw invalidArgument(`\`${place}.features.${name}\` must be a number, got ${limit}`)
    }
    return { id: tier.id, apiRequestsPerMonth, agentExecutionsPerMonth, definition: definition(place, tier) }
  })
}

function definition(place: string, tier: SubscriptionTier): string {
  try {
    return JSON.stringify(tier)
  } catch (error) {
    throw invalidArgument(`${place} must be an object that JSON can hold: ${(error as Error).message}`)
  }
}

export function priceInputs(pricing: PricingOptions): PriceInput[] {
  if (typeof pricing !== 'object' || pricing === null || Array.isArray(pricing)) {
    throw invalidArgument('`pricing` must be an object: { "/path": { pricePerRequest, requiredTier? } }')
  }
  return Object.entries(pricing).map(([route, price]) => {
    const place = `pricing[${JSON.stringify(route)}]`
    checkOptions(place, price, ['pricePerRequest', 'requiredTier'])
    const { pricePerRequest, requiredTier } = price
    if (typeof pricePerRequest !== 'string' && !(Number.isFinite(pricePerRequest) && pricePerRequest >= 0)) {
      throw invalidArgument(
        `\`${place}.pricePerRequest\` must be a number from 0 or a decimal string, got ${pricePerRequest}`,
      )
    }
    if (requiredTier !== undefined) checkString(`${place}.requiredTier`, requiredTier)
    return requiredTier === undefined ? { route, pricePerRequest } : { route, pricePerRequest, requiredTier }
  })
}

/** A tier that is required must exist. The default price list may name tiers that somebody's own tiers lack. */
export function checkRequiredTiers(pricing: PricingOptions, tierIds: readonly string[]): void {
  for (const [route, { requiredTier }] of Object.entries(pricing)) {
    if (requiredTier !== undefined && !tierIds.includes(requiredTier)) {
      throw new BillingError(
        'invalid_catalog',
        `pricing[${JSON.stringify(route)}] requires the tier ${JSON.stringify(requiredTier)}, which is not among the ` +
          `tiers: ${tierIds.join(', ')}`,
      )
    }
  }
}
