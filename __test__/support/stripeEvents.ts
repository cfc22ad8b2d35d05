import type { Customer } from 'weighbridge'
import { generateTestHeader } from 'weighbridge'
import { type Answer, callRaw } from './http'

export const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'

/** When the subscriptions of these tests began, in seconds. */
export const START = Math.floor(Date.UTC(2026, 2, 10, 12) / 1000)

let events = 0

/** An event in the shape of a version since basil, `second` seconds after the start. */
export function event(type: string, object: unknown, second = 0): StripeTestEvent {
  const id = `evt_${(events += 1)}`
  return { id, object: 'event', api_version: '2026-09-30.endive', type, created: START + second, data: { object } }
}

export interface StripeTestEvent {
  id: string
  type: string
  created: number
  [property: string]: unknown
}

/** A subscription of `cus_1` to the tier `starter`, since the start. */
export function subscription(overrides: Record<string, unknown> = {}): Record<string, unknown> {
  const price = { id: 'price_starter_monthly', object: 'price', lookup_key: null }
  return {
    id: 'sub_1',
    object: 'subscription',
    customer: 'cus_1',
    status: 'active',
    created: START,
    billing_cycle_anchor: START,
    metadata: {},
    items: { object: 'list', data: [{ id: 'si_1', price, current_period_start: START }] },
    ...overrides,
  }
}

/** Delivers an event as Stripe does: signed, and written over several lines. */
export async function deliver(
  port: number,
  delivered: unknown,
  { payload = JSON.stringify(delivered, null, 2), header = generateTestHeader({ payload, secret }) } = {},
): Promise<Answer> {
  return callRaw(port, '/webhooks/stripe', payload, {
    'content-type': 'application/json; charset=utf-8',
    'stripe-signature': header,
  })
}

/** What of a customer follows from his subscription. */
export function followed(customer: Customer | null): Partial<Customer> {
  const { tier, subscriptionId, subscriptionStatus, billingCycleAnchor } = customer as Customer
  return { tier, subscriptionId, subscriptionStatus, billingCycleAnchor }
}
