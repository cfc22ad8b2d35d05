import { type Billing, endpointPricing, type UsageRow } from 'weighbridge'
import type { Answer } from './client.js'

const DECIMALS = 12

/** What a customer's use of an endpoint comes to. Costs are whole trillionths, so that sums are exact. */
export interface Entry {
  requests: number
  cost: bigint
}

/** Entries by customer and endpoint. */
export type Ledger = Map<string, Entry>

/** What the store holds. */
export async function storeLedger(billing: Billing): Promise<Ledger> {
  const rows = await billing.usage.query({ from: 0, to: Date.now() + 1, groupBy: ['customerId', 'endpoint'] })
  return new Map(rows.map((row) => [entryName(row), { requests: row.units, cost: trillionths(row.cost) }]))
}

/** What must be in the store, by the answers that the client saw: whatever was let through, retries once. */
export function clientLedger(answers: Answer[]): Ledger {
  const ledger: Ledger = new Map()
  const seen = new Set<string>()
  for (const { call, status } of answers) {
    const price = endpointPricing[call.endpoint]
    if (status !== 200 || price === undefined) continue
    if (call.idempotencyKey !== undefined) {
      const id = JSON.stringify([call.customerId, call.idempotencyKey])
      if (seen.has(id)) continue
      seen.add(id)
    }
    const { requests, cost } = ledger.get(entryName(call)) ?? { requests: 0, cost: 0n }
    const sum = { requests: requests + 1, cost: cost + trillionths(String(price.pricePerRequest)) }
    ledger.set(entryName(call), sum)
  }
  return ledger
}

/** What came in between two looks at the store. */
export function difference(after: Ledger, before: Ledger): Ledger {
  const ledger: Ledger = new Map()
  for (const [name, { requests, cost }] of after) {
    const earlier = before.get(name) ?? { requests: 0, cost: 0n }
    if (requests !== earlier.requests || cost !== earlier.cost) {
      ledger.set(name, { requests: requests - earlier.requests, cost: cost - earlier.cost })
    }
  }
  return ledger
}

/** In words, where two ledgers differ; nothing where they agree. */
export function disagreements(client: Ledger, store: Ledger): string[] {
  const names = [...new Set([...client.keys(), ...store.keys()])]
  return names.flatMap((name) => {
    const [seen, stored] = [client.get(name), store.get(name)]
    if (seen?.requests === stored?.requests && seen?.cost === stored?.cost) return []
    return [`${name}: the client saw ${inWords(seen)}, the store holds ${inWords(stored)}`]
  })
}

export function total(ledger: Ledger): Entry {
  const sum = { requests: 0, cost: 0n }
  for (const { requests, cost } of ledger.values()) {
    sum.requests += requests
    sum.cost += cost
  }
  return sum
}

/** The decimal that so many trillionths are. */
export function decimal(cost: bigint): string {
  const digits = String(cost).padStart(DECIMALS + 1, '0')
  const fraction = digits.slice(-DECIMALS).replace(/0+$/, '')
  return fraction === '' ? digits.slice(0, -DECIMALS) : `${digits.slice(0, -DECIMALS)}.${fraction}`
}

function trillionths(decimal: string): bigint {
  const [whole = '0', fraction = ''] = decimal.split('.')
  return BigInt(whole + fraction.padEnd(DECIMALS, '0'))
}

function entryName({ customerId, endpoint }: Pick<UsageRow, 'customerId' | 'endpoint'>): string {
  return `${customerId} ${endpoint ?? 'without endpoint'}`
}

function inWords(entry: Entry | undefined): string {
  return entry === undefined ? 'nothing' : `${entry.requests} requests for ${decimal(entry.cost)}`
}
