import { endpointPricing, subscriptionTiers } from 'weighbridge'
import type { Call } from './client.js'
import type { DemoCustomer } from './customers.js'

export const RETRIED = 'sent again with its Idempotency-Key'
export const SPELT_OTHERWISE = 'upper-case path, or a slash at its end'

/** What a program would send to each endpoint. */
const CALLS: Pick<Call, 'endpoint' | 'method' | 'path' | 'body'>[] = [
  { endpoint: '/api/execute', method: 'POST', path: '/api/execute', body: { expression: '(17 + 4) * 2 / 3' } },
  { endpoint: '/api/analyze', method: 'POST', path: '/api/analyze', body: { numbers: [3, 1, 4, 1, 5, 9, 2, 6] } },
  { endpoint: '/api/scan-funding', method: 'GET', path: '/api/scan-funding?keyword=energy' },
  { endpoint: '/api/assistant', method: 'POST', path: '/api/assistant', body: { question: 'What does it print?' } },
  { endpoint: '/api/funding-data', method: 'GET', path: '/api/funding-data?field=mobility' },
]

/** Everyday traffic of all customers over all endpoints, with the mistakes and retries of everyday among it. */
export function everydayTraffic(customers: DemoCustomer[]): Call[] {
  const calls = customers.flatMap((customer) => [
    ...repeat(ordinaryCalls(customer), timesADay(customer)),
    ...repeat(callsAboveTier(customer), 5),
    ...repeat(otherSpellings(customer), 5),
  ])
  return spread([...calls, ...repeat(callsWithoutValidKey(customers), 4), ...retries(customers)])
}

/** More requests of the starter than a starter may send in a month. */
export function burst(customers: DemoCustomer[], size: number): Call[] {
  const starter = customers.find(({ tier }) => tier === 'starter')
  const [call] = CALLS
  if (starter === undefined || call === undefined) return []
  return repeat([{ ...call, purpose: 'burst of the starter', customerId: starter.id, key: starter.key }], size)
}

/** As many as are asked for, each with an Idempotency-Key of its own. */
export function* retryableCalls({ id, key }: DemoCustomer): Generator<Call> {
  for (let number = 0; ; number += 1) {
    const call = CALLS[number % CALLS.length] as (typeof CALLS)[number]
    yield { ...call, purpose: 'until the kill', customerId: id, key, idempotencyKey: `before-the-kill-${number}` }
  }
}

/** Within the limit, for everybody. */
function timesADay({ tier }: DemoCustomer): number {
  if (tier === 'enterprise') return 400
  if (tier === 'professional') return 200
  return tier === 'starter' ? 10 : 100
}

function ordinaryCalls(customer: DemoCustomer): Call[] {
  const open = CALLS.filter(({ endpoint }) => mayCall(customer, endpoint))
  return open.map((call) => ({ ...call, purpose: 'ordinary', customerId: customer.id, key: customer.key }))
}

function callsAboveTier(customer: DemoCustomer): Call[] {
  const closed = CALLS.filter(({ endpoint }) => !mayCall(customer, endpoint))
  return closed.map((call) => ({
    ...call,
    purpose: customer.tier === undefined ? 'endpoint that needs a tier' : `endpoint above the tier ${customer.tier}`,
    customerId: customer.id,
    key: customer.key,
  }))
}

function mayCall({ tier }: DemoCustomer, endpoint: string): boolean {
  const rank = (id: string | undefined): number => subscriptionTiers.findIndex((tier) => tier.id === id)
  const required = endpointPricing[endpoint]?.requiredTier
  return required === undefined || rank(tier) >= rank(required)
}

/** Express routes these, so they are billed too. */
function otherSpellings(customer: DemoCustomer): Call[] {
  return ordinaryCalls(customer).flatMap((call) => {
    const [path = '', query = ''] = call.path.split(/(?=\?)/)
    return [path.toUpperCase(), `${path}/`].map((spelling) => ({
      ...call,
      purpose: SPELT_OTHERWISE,
      path: `${spelling}${query}`,
    }))
  })
}

function callsWithoutValidKey(customers: DemoCustomer[]): Call[] {
  const [call] = CALLS
  const generated = customers.find(({ tier }) => tier !== undefined)?.key
  if (call === undefined || generated === undefined) return []
  return [
    { ...call, purpose: 'no key' },
    { ...call, purpose: 'wrong key', key: 'a-key-that-nobody-has' },
    { ...call, purpose: 'wrong key: "constructor"', key: 'constructor' },
    { ...call, purpose: 'mistyped key', key: mistyped(generated) },
  ]
}

/** Two letters swapped, as fingers do. */
function mistyped(key: string): string {
  for (let position = Math.floor(key.length / 2); position + 1 < key.length; position += 1) {
    const [left = '', right = ''] = key.slice(position, position + 2)
    if (left !== right) return key.slice(0, position) + right + left + key.slice(position + 2)
  }
  return `${key}x`
}

/** Each of these twice, as by a client that lost the answer to the first. */
function retries(customers: DemoCustomer[]): Call[] {
  return customers.flatMap((customer) =>
    ordinaryCalls(customer).flatMap((call, index) => {
      const first = { ...call, idempotencyKey: `retried-${index}` }
      return [first, { ...first, purpose: RETRIED }]
    }),
  )
}

function repeat(calls: Call[], times: number): Call[] {
  return Array.from({ length: times }, () => calls).flat()
}

/** Mixes calls evenly and always in the same way: by steps of a size that has no divisor in common with their number. */
function spread(calls: Call[]): Call[] {
  const divisor = (left: number, right: number): number => (right === 0 ? left : divisor(right, left % right))
  let step = Math.ceil(calls.length * 0.618)
  while (divisor(step, calls.length) !== 1) step += 1
  return calls.map((_, index) => calls[(index * step) % calls.length] as Call)
}
