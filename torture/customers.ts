import type { SubscriptionTier } from 'weighbridge'
import type { Random } from './random.js'

export type Meter = 'api_request' | 'agent_execution' | 'data_access'

/** A meter that can have a limit. */
export type LimitedMeter = 'api_request' | 'agent_execution'
export const LIMITED_METERS: readonly LimitedMeter[] = ['api_request', 'agent_execution']

export interface Customer {
  id: string
  /** `Infinity` where there is none. */
  limits: Record<LimitedMeter, number>
  /** Events are recorded for him too, which no limit holds back: he may end above his. */
  mayExceed: boolean
}

/** Who calls in a round: some reach their limits in it, one has usage recorded past his, two have none. */
export function cast(random: Random): Customer[] {
  const limited = (id: string, apiRequests: number, agentExecutions: number, mayExceed = false): Customer => ({
    id,
    limits: { api_request: apiRequests, agent_execution: agentExecutions },
    mayExceed,
  })
  return [
    limited('small', random.whole(1, 40), random.whole(1, 20)),
    limited('middle', random.whole(60, 250), random.whole(20, 60)),
    limited('large', random.whole(200, 600), random.whole(60, 150)),
    limited('exceeding', random.whole(60, 250), random.whole(20, 60), true),
    limited('free', Infinity, Infinity),
    limited('other-free', Infinity, Infinity),
  ]
}

export function isLimited({ limits }: Customer): boolean {
  return LIMITED_METERS.some((meter) => limits[meter] !== Infinity)
}

/** A tier of the customer's own. */
export function tierOf({ id, limits }: Customer): SubscriptionTier {
  return {
    id: `tier-${id}`,
    name: id,
    priceId: `price_${id}`,
    monthlyPrice: 1,
    features: {
      apiRequestsPerMonth: limits.api_request,
      agentExecutionsPerMonth: limits.agent_execution,
      dataAccessLevel: 'basic',
      supportLevel: 'community',
    },
  }
}
