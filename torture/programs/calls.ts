// Calls a middleware very often within one process, without HTTP, and tells the parent how much memory it takes.
import { readFileSync } from 'node:fs'
import { Billing, type BillingRequest, type BillingResponse } from 'weighbridge'

export interface CallsArgument {
  dir: string
  requests: number
  /** Whether the Billing is closed at the end, or just left. */
  closes: boolean
}

/** Kibibytes. */
export interface Sample {
  calls: number
  resident: number
  anonymous: number
  heap: number
}

export type CallsMessage =
  | { name: 'sample'; sample: Sample }
  /** All calls were answered, and the Billing was closed where that was asked for: now it may end. */
  | { name: 'done'; admitted: number; refused: number; rejections: number; warnings: number; closing: number }

const CUSTOMERS = 100
const UNDER_WAY = 256
const SAMPLES = 100
const LIMIT = 1_000

const counts = { admitted: 0, refused: 0, rejections: 0, warnings: 0 }
process.on('unhandledRejection', () => (counts.rejections += 1))
process.on('warning', () => (counts.warnings += 1))

const { dir, requests, closes } = JSON.parse(process.argv[2] ?? '') as CallsArgument

async function main(): Promise<void> {
  const billing = new Billing({ dir, tiers: [tier('free', Infinity), tier('limited', LIMIT)] })
  const authorizations: string[] = []
  for (let customer = 0; customer < CUSTOMERS; customer += 1) {
    const customerId = `customer-${customer}`
    await billing.customers.upsert({ id: customerId, tier: customer === 0 ? 'limited' : 'free' })
    authorizations.push(`Bearer ${(await billing.keys.create({ customerId })).key}`)
  }
  await callOften(billing, authorizations)
  const startedAt = performance.now()
  if (closes) await billing.close()
  process.send?.({ name: 'done', ...counts, closing: performance.now() - startedAt } satisfies CallsMessage)
}

/** As many as are to be under way at a time, until there were enough. */
function callOften(billing: Billing, authorizations: string[]): Promise<void> {
  const middleware = billing.middleware()
  return new Promise((resolve) => {
    let begun = 0
    let answered = 0
    let beginning = false
    const begin = (): void => {
      if (beginning) return
      beginning = true
      // An answer may come within the call.
      while (begun < requests && begun - answered < UNDER_WAY) {
        const { request, response } = exchange(authorizations[begun % CUSTOMERS], () => settle('refused'))
        begun += 1
        middleware(request, response, () => settle('admitted'))
      }
      beginning = false
    }
    const settle = (outcome: 'admitted' | 'refused'): void => {
      counts[outcome] += 1
      answered += 1
      if (answered % Math.ceil(requests / SAMPLES) === 0) sample(answered)
      if (answered === requests) resolve()
      else if (begun - answered <= UNDER_WAY / 2) begin()
    }
    begin()
  })
}

/** What a middleware needs of a request and its response. */
function exchange(
  authorization: string | undefined,
  refused: () => void,
): { request: BillingRequest; response: BillingResponse } {
  const request = {
    method: 'POST',
    url: '/api/execute',
    originalUrl: '/api/execute',
    baseUrl: '',
    path: '/api/execute',
    headers: { authorization, 'user-agent': 'torture' },
  }
  const headers = new Map<string, unknown>()
  const response = {
    headersSent: false,
    setHeader: (name: string, value: unknown) => headers.set(name, value),
    status: () => response,
    json: () => refused(),
  }
  return { request: request as unknown as BillingRequest, response: response as unknown as BillingResponse }
}

function sample(calls: number): void {
  const status = readFileSync('/proc/self/status', 'utf8')
  const kibibytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1])
  const heap = process.memoryUsage().heapUsed / 1_024
  const taken = { calls, resident: kibibytes('VmRSS'), anonymous: kibibytes('RssAnon'), heap }
  process.send?.({ name: 'sample', sample: taken } satisfies CallsMessage)
}

function tier(id: string, apiRequestsPerMonth: number) {
  return {
    id,
    name: id,
    priceId: `price_${id}`,
    monthlyPrice: 1,
    features: {
      apiRequestsPerMonth,
      agentExecutionsPerMonth: Infinity,
      dataAccessLevel: 'basic' as const,
      supportLevel: 'community' as const,
    },
  }
}

void main()
