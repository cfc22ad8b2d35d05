import type { ApiKey, Customer, ExplanationOutput } from './binding.js'
import type { DecisionTuple } from './decision.js'
import type { Engine } from './engine.js'
import { invalidArgument } from './errors.js'
import { checkOptions, checkString } from './options.js'
import { refusal, type RefusalCode } from './refusals.js'

/** A request that is not made: of a key, or of a customer with any valid key. */
export interface Question {
  key?: string
  customerId?: string
  method: string
  /** The full path; a query string does not matter. */
  path: string
  /** How many units it would take: 1 by default. */
  units?: number
  /** Values by which its price may differ: see `MiddlewareOptions.dimensions`. */
  dimensions?: Record<string, string>
}

/** What would become of a request, and why. */
export interface Explanation {
  /** Whether it would be let through. */
  allowed: boolean
  /** `recorded`: counted. `unpriced`: let through and not counted. Otherwise why it would be refused. */
  code: 'recorded' | 'unpriced' | RefusalCode
  /** The status of the answer; 200 stands for what the handler says. */
  status: number
  /** The same for people. */
  reason: string
  /** The key, where one was asked about and it exists. */
  key: ApiKey | null
  customer: Customer | null
  /** The price that applies; `null` where there is none. */
  price: {
    /** As the price list or the catalog writes it; `null` for a price of the catalog that is for all usage. */
    endpoint: string | null
    /** A decimal in the currency's major unit, for each unit; `null` where it depends on what else is used in the period. */
    pricePerRequest: string | null
    /** A decimal: what all units would cost now. With tiers, packages or included units, after what is used in the period. */
    cost: string
    requiredTier: string | null
    /** The id of a price of the catalog; left out where a price list says what it costs. */
    id?: string
    /** For people, in English: why this price of the catalog applies, and before which others. */
    because?: string[]
  } | null
  /** What the catalog gives the customer; left out where the store has none. */
  entitlements?: {
    /** The version that applies to him. */
    catalogVersion: string
    features: string[]
    /** Features that the route requires. */
    required: string[]
  }
  /**
   * Where the customer stands on the meter of requests: in the billing period, or in the shorter window into which the request
   * does not fit.
   */
  quota: {
    eventType: string
    /** `period`: the billing period; `day`; `hour`; `60s`: the last 60 seconds. */
    window: string
    /**
     * `[periodStart, periodEnd)` in milliseconds since the epoch; of a window that slides the step of it that holds this
     * instant.
     */
    periodStart: number
    periodEnd: number
    /** `null` without a limit. */
    limit: number | null
    /** What is recorded, all that this process has admitted included. */
    used: number
    /** What of the limit is neither used nor held here; `null` without a limit. */
    remaining: number | null
    /** Units that are held for requests of this process whose end is not known yet (`billOn: 'success'`, `hold()`). */
    heldHere: number
    /** Units that are set aside for this process and neither used nor held. */
    leasedHere: number
    /** Units that are set aside for others; what they do not use comes back when it is asked for. */
    leasedElsewhere: number
  } | null
  /** What the customer may spend in that period and has spent, decimals; `null` without a spend cap. */
  spending: { cap: string; spent: string } | null
  /**
   * What is left of the customer's credit, decimals: money, and units of the meter (`null` where none were ever given). `null` where
   * he was never given any and does not pay beforehand.
   */
  credit: { money: string; units: string | null } | null
}

const QUESTION = ['key', 'customerId', 'method', 'path', 'units', 'dimensions']

export async function explain(engine: Engine, question: Question): Promise<Explanation> {
  checkOptions('explain', question, QUESTION)
  checkString('method', question.method)
  checkString('path', question.path)
  if ((question.key === undefined) === (question.customerId === undefined)) {
    throw invalidArgument('explain needs either `key` or `customerId`')
  }
  const path = question.path.replace(/[?#].*$/s, '')
  const output = await engine.call<ExplanationOutput>((native, ticket) =>
    native.explain(ticket, engine.now(), { ...question, path }),
  )
  const { key, customer, price, quota, spending, credit, requiredTier, catalogVersion, features, requiredFeatures } =
    output
  const code = output.code as Explanation['code']
  const allowed = code === 'recorded' || code === 'unpriced'
  return {
    allowed,
    code,
    status: allowed ? 200 : refusal(code).status,
    reason: reason(output, question),
    key: key ?? null,
    customer: customer ?? null,
    price:
      price === undefined
        ? null
        : {
            endpoint: price.endpoint ?? null,
            pricePerRequest: price.pricePerRequest ?? null,
            cost: price.cost,
            requiredTier: requiredTier ?? null,
            ...(price.id !== undefined && { id: price.id, because: price.because }),
          },
    ...(catalogVersion !== undefined && {
      entitlements: { catalogVersion, features, required: requiredFeatures },
    }),
    quota: quota ?? null,
    spending: spending ?? null,
    credit: credit ?? null,
  }
}

function reason(output: ExplanationOutput, question: Question): string {
  const { code, isMalformed, key, price, quota, spending, credit, requiredTier, requiredFeatures, features } = output
  const { method, path, units = 1 } = question
  switch (code as DecisionTuple[0]) {
    case 'invalid_key':
      if (isMalformed) return 'The key was mistyped: its checksum does not hold.'
      if (key === undefined) return 'No customer has this key.'
      return key.revokedAt !== null ? 'The key was revoked.' : 'The key has expired.'
    case 'customer_suspended':
      return 'The customer is suspended.'
    case 'tier_required':
      return `${method} ${path} requires the tier ${JSON.stringify(requiredTier)} or a higher one.`
    case 'feature_required':
      return `${method} ${path} requires the features ${requiredFeatures.join(', ')}; the customer has ${features.join(', ') || 'none'}.`
    case 'unpriced_endpoint':
    case 'unpriced':
      return `${method} ${path} has no price.`
    case 'usage_limit_exceeded':
      return `${units} more would pass the limit${within(quota?.window)}: ${quota?.used} of ${quota?.limit} are used${quota?.heldHere ? `, ${quota.heldHere} are held` : ''}.`
    case 'spend_cap_exceeded':
      return `It costs ${price?.cost}, which would pass the spend cap: ${spending?.spent} of ${spending?.cap} are spent.`
    case 'credit_exhausted':
      return `It costs ${price?.cost}, which the credit does not cover: ${credit?.money}${credit?.units == null ? '' : ` and ${credit.units} units`} are left.`
    default:
      return `${costs(price)}; ${quota?.limit === null ? 'there is no limit' : `${quota?.remaining} of ${quota?.limit} are left before it`}.`
  }
}

function within(window: string | undefined): string {
  if (window === undefined || window === 'period') return ''
  return window === 'day' || window === 'hour' ? ` of the ${window}` : ` of ${window}`
}

function costs(price: ExplanationOutput['price']): string {
  return price === undefined ? 'It has no price' : `It costs ${price.cost}`
}
