import type { KeyVerification } from './apiKeys.js'
import type { UsageOutput } from './binding.js'
import type { Engine } from './engine.js'
import { type BillingHandler, type BillingRequest, bearerToken } from './express.js'
import { setRefusalHeaders } from './headers.js'
import { type Logger, logTo } from './middleware.js'
import { checkFunction, checkOptions } from './options.js'
import { type RefusalCode, refusal } from './refusals.js'
import { customerUsage } from './usageTracker.js'

/** How a usage handler finds out who asks. */
export interface UsageHandlerOptions {
  /** Where the API key is. By default in `Authorization: Bearer …`. What is no string is no key: 401. */
  keyGenerator?(req: BillingRequest): string | null | undefined | Promise<string | null | undefined>
  /** Where failures of Weighbridge itself are reported: `console` by default. */
  logger?: Logger
}

/** What a usage handler answers with, as JSON: where a customer stands in the current billing period. */
export interface UsageReport {
  customerId: string
  /** The customer's tier; `null` where he has none. */
  tier: string | null
  /** Whole units, by kind. */
  usage: { apiRequests: number; agentExecutions: number; dataAccess: number; totalCost: number }
  /** Whole units of the period; `null` for no limit. */
  limits: { apiRequests: number | null; agentExecutions: number | null }
  /** What is left of the limits; `null` for no limit. */
  remaining: { apiRequests: number | null; agentExecutions: number | null }
  /** The same of the catalog's own meters: left out where it has none. */
  meters?: Record<string, { used: number; limit: number | null }>
  /** A decimal string, exact, in the currency's major unit. */
  totalCost: string
  /** When the limits are whole again: milliseconds since 1970-01-01T00:00:00Z. */
  resetAt: number
}

/**
 * Answers a caller's question about his own usage with a {@link UsageReport}. Asking costs nothing. 401 without a valid key;
 * 500 where the store is away for longer than `storeDeadlineMs`.
 */
export function createUsageHandler(engine: Engine, options: UsageHandlerOptions = {}): BillingHandler {
  checkOptions('usageHandler', options, ['keyGenerator', 'logger'])
  checkFunction('keyGenerator', options.keyGenerator)
  if (options.logger !== undefined) checkFunction('logger.error', options.logger?.error ?? null)
  const keyOf = options.keyGenerator?.bind(options) ?? bearerToken

  const usageOf = async (req: BillingRequest): Promise<UsageOutput | RefusalCode> => {
    const key: unknown = await keyOf(req)
    if (typeof key !== 'string' || key === '') return 'api_key_required'
    const now = engine.now()
    const { code, customerId } = await engine.call<KeyVerification>((native, ticket) =>
      native.verifyKey(ticket, now, key),
    )
    if (code !== 'valid' || customerId === undefined) return 'invalid_key'
    const usage = await engine.call<UsageOutput | null>((native, ticket) =>
      native.customerUsage(ticket, customerId, now),
    )
    return usage ?? 'invalid_key'
  }

  return function usageHandler(req, res, next) {
    const answer = engine.inTime(usageOf(req)).then(
      (usage) => {
        if (typeof usage === 'string') {
          setRefusalHeaders(res, usage, undefined, engine.now())
          const { status, body } = refusal(usage)
          res.status(status).json(body)
        } else {
          res.status(200).json(report(usage))
        }
      },
      (error: unknown) => {
        logTo(options.logger, error)
        const { status, body } = refusal('internal')
        res.status(status).json(body)
      },
    )
    answer.catch(next)
  }
}

/** JSON has no Infinity: a limit of `null` is no limit. */
function report(usage: UsageOutput): Record<string, unknown> {
  const { limits, ...rest } = customerUsage(usage)
  const remaining = (eventType: string) =>
    usage.meters.find((meter) => meter.eventType === eventType)?.remaining ?? null
  return {
    ...rest,
    tier: usage.customer.tier,
    limits: { apiRequests: finite(limits.apiRequests), agentExecutions: finite(limits.agentExecutions) },
    remaining: { apiRequests: remaining('api_request'), agentExecutions: remaining('agent_execution') },
    totalCost: usage.totalCost,
    resetAt: usage.periodEnd,
  }
}

function finite(limit: number): number | null {
  return limit === Infinity ? null : limit
}
