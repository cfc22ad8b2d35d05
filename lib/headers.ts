import type { ServerResponse } from 'node:http'
import type { DecisionTuple } from './decision.js'
import type { RefusalCode } from './refusals.js'

/** The quota policy's name: the meter's. */
const POLICY = 'api_request'

/**
 * `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-10: how many units (`q`) in how many
 * seconds (`w`), how many remain (`r`) for how many seconds (`t`).
 */
export function setStandardHeaders(res: ServerResponse, decision: DecisionTuple, now: number): void {
  const [, , , , limit, used, periodStart, periodEnd] = decision
  if (limit == null) return
  res.setHeader('RateLimit-Policy', `"${POLICY}";q=${limit};w=${Math.round((periodEnd - periodStart) / 1000)}`)
  res.setHeader('RateLimit', `"${POLICY}";r=${Math.max(0, limit - used)};t=${secondsUntil(periodEnd, now)}`)
}

/** The `X-RateLimit-*` headers that older clients read; the reset is in seconds since the epoch. */
export function setLegacyHeaders(res: ServerResponse, decision: DecisionTuple): void {
  const [, , , , limit, used, , periodEnd] = decision
  if (limit == null) return
  res.setHeader('X-RateLimit-Limit', String(limit))
  res.setHeader('X-RateLimit-Remaining', String(Math.max(0, limit - used)))
  res.setHeader('X-RateLimit-Reset', String(Math.ceil(periodEnd / 1000)))
}

/** `Retry-After` on 429, `WWW-Authenticate` on 401 (RFC 6750, section 3: no error code where no key was sent). */
export function setRefusalHeaders(
  res: ServerResponse,
  code: RefusalCode,
  decision: DecisionTuple | undefined,
  now: number,
  units = 1,
): void {
  if (code === 'api_key_required') {
    res.setHeader('WWW-Authenticate', 'Bearer realm="api"')
  } else if (code === 'invalid_key') {
    const description = 'The API key is unknown, revoked or expired'
    res.setHeader('WWW-Authenticate', `Bearer realm="api", error="invalid_token", error_description="${description}"`)
  } else if (code === 'usage_limit_exceeded' && decision !== undefined) {
    const [, , , , limit, used, , periodEnd] = decision
    // Units that other processes hold and do not use come back within a moment.
    const isLeasedElsewhere = limit != null && limit - used >= units
    res.setHeader('Retry-After', String(isLeasedElsewhere ? 1 : Math.max(1, secondsUntil(periodEnd, now))))
  }
}

function secondsUntil(instant: number, now: number): number {
  return Math.max(0, Math.ceil((instant - now) / 1000))
}
