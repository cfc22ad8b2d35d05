import type { KeyVerification } from './apiKeys.js'
import type { UsageOutput } from './binding.js'
import type { Engine } from './engine.js'
import { type BillingHandler, type BillingRequest, bearerToken } from './express.js'
import { setRefusalHeaders } from './headers.js'
import { checkFunction, checkOptions } from './options.js'
import { type RefusalCode, refusal } from './refusals.js'
import { customerUsage } from './usageTracker.js'

/** How a usage handler finds out who asks. */
export interface UsageHandlerOptions {
  /** Where the API key is. By default in `Authorization: Bearer …`. */
  keyGenerator?: (req: BillingRequest) => string | undefined | Promise<string | undefined>
}

/** Answers a caller's question about his own usage. Asking costs nothing. */
export function createUsageHandler(engine: Engine, options: UsageHandlerOptions = {}): BillingHandler {
  checkOptions('usageHandler', options, ['keyGenerator'])
  checkFunction('keyGenerator', options.keyGenerator)
  const keyOf = options.keyGenerator ?? bearerToken

  const usageOf = async (req: BillingRequest): Promise<UsageOutput | RefusalCode> => {
    const key = await keyOf(req)
    if (key === undefined || key === '') return 'api_key_required'
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
    const answer = usageOf(req).then(
      (usage) => {
        if (typeof usage === 'string') {
          setRefusalHeaders(res, usage, undefined, engine.now())
          const { status, body } = refusal(usage)
          res.status(status).json(body)
        } else {
          res.status(200).json(report(usage))
        }
      },
      () => {
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
