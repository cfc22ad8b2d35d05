import type { Billing, UsageEvent } from '../index.mjs'
import { customerName } from './customers.js'

/** The customers that events are of, in turn. */
export const CUSTOMERS = 1_000
const BATCH = 10_000

/** What a middleware would record of a request. */
export function event(number: number, id?: string): UsageEvent {
  return {
    customerId: customerName(number % CUSTOMERS),
    ...(id !== undefined && { id }),
    eventType: 'api_request',
    endpoint: '/api/execute',
    timestamp: Date.now(),
    cost: '0.1',
    metadata: { method: 'POST', userAgent: 'bench' },
  }
}

/** Records so many events, with ids of the caller's own where there is something to make them. */
export async function fill(billing: Billing, events: number, makeId?: () => string): Promise<void> {
  for (let first = 0; first < events; first += BATCH) {
    const length = Math.min(BATCH, events - first)
    await billing.usage.recordEvents(Array.from({ length }, (_, index) => event(first + index, makeId?.())))
  }
  await billing.flush()
}

/** How many events a store holds. */
export async function countEvents(billing: Billing): Promise<number> {
  const rows = await billing.usage.query({ from: 0, to: Date.UTC(2100, 0, 1) })
  return rows.reduce((sum, { events }) => sum + events, 0)
}
