/** What the native side says about a request or a consumption: a tuple, because that is what crosses fastest. */
export type DecisionTuple = [
  code: DecisionCode,
  customerId: string | undefined,
  subscriptionId: string | undefined,
  tier: string | undefined,
  limit: number | undefined,
  used: number,
  periodStart: number,
  periodEnd: number,
  /** The tier, or the features that the customer lacks. */
  required: string | string[] | undefined,
  hold: number | undefined,
  /** Of a refusal for its cost: the spend cap, what is spent of it, and the cost; or the credit's unit, what is left, and the cost. */
  spending: [capOrUnit: string, spentOrLeft: string, cost: string] | undefined,
]

export type DecisionCode =
  | 'recorded'
  | 'held'
  | 'duplicate'
  | 'unpriced'
  | 'invalid_key'
  | 'customer_suspended'
  | 'tier_required'
  | 'feature_required'
  | 'usage_limit_exceeded'
  | 'spend_cap_exceeded'
  | 'credit_exhausted'
  | 'unpriced_endpoint'
  | 'idempotency_conflict'

/** Where a customer stands on a meter after a decision. `null`: without a limit. */
export interface Quota {
  /** The limit of the billing period, in units of the meter. */
  limit: number | null
  /** Units that are recorded, admitted or held in the period, as far as this process knows. */
  used: number
  /** What of the limit is not used, never below 0. */
  remaining: number | null
  /** When the period ends and usage starts again from zero, milliseconds since the epoch. */
  resetAt: number
}

export function quotaOf([, , , , limit, used, , periodEnd]: DecisionTuple): Quota {
  return {
    limit: limit ?? null,
    used,
    remaining: limit == null ? null : Math.max(0, limit - used),
    resetAt: periodEnd,
  }
}
