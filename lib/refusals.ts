import type { DecisionTuple } from './decision.js'

/**
 * Why a request was not let through. `api_key_required`, `invalid_key`: 401. `customer_suspended`, `tier_required`,
 * `feature_required`, `unpriced_endpoint` (with `unpriced: 'refuse'`): 403. `spend_cap_exceeded`, `credit_exhausted`: 402. `usage_limit_exceeded`:
 * 429. `invalid_idempotency_key`: 400.
 * `idempotency_conflict`: 422. `internal`: 500, Weighbridge cannot decide.
 */
export type RefusalCode =
  | 'api_key_required'
  | 'invalid_key'
  | 'customer_suspended'
  | 'tier_required'
  | 'feature_required'
  | 'usage_limit_exceeded'
  | 'spend_cap_exceeded'
  | 'credit_exhausted'
  | 'unpriced_endpoint'
  | 'invalid_idempotency_key'
  | 'idempotency_conflict'
  | 'internal'

/** The answer to a request that is not let through. */
export interface Refusal {
  code: RefusalCode
  /** The HTTP status. */
  status: number
  /**
   * The JSON body: `error`, and where there is more to say `message`, `requiredTier`, `requiredFeatures`, `spendCap`, `spent`, `cost`
   * and `resetAt`, or `unit`, `balance` and `cost`.
   */
  body: Record<string, unknown>
}

const IETF_PROBLEMS = 'https://iana.org/assignments/http-problem-types#'

/**
 * The answers, all of them: change one here. Status and body of 401, 429 and 500 are the seed's, to the letter.
 * 401: the key. 402: money mends it. 403: the tier, or the customer. 422: the idempotency key, as its IETF draft says. 429: time mends it.
 */
export function refusal(code: RefusalCode, decision?: DecisionTuple): Refusal {
  switch (code) {
    case 'api_key_required':
      return { code, status: 401, body: { error: 'API key required' } }
    case 'invalid_key':
      return { code, status: 401, body: { error: 'Invalid API key' } }
    case 'customer_suspended':
      return { code, status: 403, body: { error: 'Account suspended' } }
    case 'tier_required': {
      const requiredTier = decision?.[8] as string | undefined
      const message = `This endpoint requires the ${requiredTier} tier or a higher one`
      return { code, status: 403, body: { error: 'Subscription tier too low', message, requiredTier } }
    }
    case 'feature_required': {
      const requiredFeatures = (decision?.[8] ?? []) as string[]
      const message = `This endpoint requires what the subscription does not have: ${requiredFeatures.join(', ')}`
      return { code, status: 403, body: { error: 'Feature not included', message, requiredFeatures } }
    }
    case 'unpriced_endpoint':
      return { code, status: 403, body: { error: 'Endpoint not available' } }
    case 'invalid_idempotency_key':
      return {
        code,
        status: 400,
        body: { error: 'Invalid Idempotency-Key', message: 'Use 1 to 255 visible characters' },
      }
    case 'idempotency_conflict': {
      const message = 'This Idempotency-Key was used before for another request'
      return { code, status: 422, body: { error: 'Idempotency-Key reused', message } }
    }
    case 'usage_limit_exceeded': {
      const message = 'Upgrade your subscription for higher limits'
      return { code, status: 429, body: { error: 'Usage limit exceeded', message } }
    }
    case 'spend_cap_exceeded': {
      const message = 'Raise the spend cap, or wait until the billing period ends'
      const [spendCap, spent, cost] = decision?.[10] ?? []
      const resetAt = decision === undefined ? undefined : new Date(decision[7]).toISOString()
      return { code, status: 402, body: { error: 'Spend cap exceeded', message, spendCap, spent, cost, resetAt } }
    }
    case 'credit_exhausted': {
      const [unit, balance, cost] = decision?.[10] ?? []
      const message = 'Buy credit, and send the request again'
      return { code, status: 402, body: { error: 'Credit exhausted', message, unit, balance, cost } }
    }
    case 'internal':
      return { code, status: 500, body: { error: 'Billing processing failed' } }
  }
}

/** The same as a problem of RFC 9457; for a spent quota the type that draft-ietf-httpapi-ratelimit-headers-10 defines. */
export function problem({ code, status, body }: Refusal): Record<string, unknown> {
  const { error, message, ...rest } = body
  const isQuota = code === 'usage_limit_exceeded'
  return {
    type: isQuota ? `${IETF_PROBLEMS}quota-exceeded` : 'about:blank',
    title: error,
    status,
    ...(message !== undefined && { detail: message }),
    ...(isQuota && { 'violated-policies': ['api_request'] }),
    ...rest,
    code,
  }
}
