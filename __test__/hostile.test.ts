import { randomBytes } from 'node:crypto'
import express from 'express'
import { Billing, type BillingOptions, type UsageEvent } from 'weighbridge'
import { event, keyOf, openBilling, temporaryDirectory, totals } from './support/billing'
import { call, serve } from './support/http'
import { sharedDatabase } from './support/postgres'

const stores: [name: string, options: () => BillingOptions][] = [
  ['SQLite', () => ({})],
  ['PostgreSQL', () => sharedDatabase().options],
]

/** Text of so many bytes that nothing makes shorter. */
const noise = (bytes: number): string => randomBytes(bytes).toString('base64url').slice(0, bytes)

/** Whatever a program may put into an event. A store keeps it, or it is refused before. */
const harmless: [what: string, event: Partial<UsageEvent>][] = [
  ['a customer who is SQL', { customerId: `'); DROP TABLE events; --` }],
  ['a customer who is an array', { customerId: '{"a",NULL}' }],
  ['a customer who is nobody', { customerId: 'NULL' }],
  ['a customer who is an escape', { customerId: '\\x00\\0\\u0000' }],
  ['a customer of half a character', { customerId: 'half \ud800' }],
  ['the longest key', { customerId: noise(255), endpoint: noise(2_048), id: noise(255), subscriptionId: noise(255) }],
  ['an endpoint of half a character', { endpoint: '\udfff/\ud800' }],
  ['an agent on several lines', { agentType: 'a\r\n\tb\u0001\u0085\u2028\ufeff' }],
  ['metadata with the character U+0000', { metadata: { 'a\u0000': 'b\u0000' } }],
  ['metadata with half a character', { metadata: { '\ud800': '\udfff' } }],
  ['the largest metadata', { metadata: { noise: noise(16_000) } }],
  ['metadata with names that mean something', { metadata: JSON.parse('{"__proto__":{"a":1},"toString":null}') }],
  ['the first instant', { timestamp: 0 }],
  ['the last instant', { timestamp: Date.UTC(10_000, 0, 1) - 1 }],
  ['as many units as there can be', { customerId: 'many', units: Number.MAX_SAFE_INTEGER }],
  ['as much as it can cost', { cost: '999999999999.999999999999' }],
]

const harmful: [what: string, event: Partial<UsageEvent>, code: string][] = [
  ['a customer with U+0000', { customerId: 'a\u0000b' }, 'invalid_argument'],
  ['an id with U+0000', { id: 'a\u0000b' }, 'invalid_argument'],
  ['a subscription with U+0000', { subscriptionId: '\u0000' }, 'invalid_argument'],
  ['an endpoint with U+0000', { endpoint: '/a\u0000b' }, 'invalid_argument'],
  ['an agent with U+0000', { agentType: '\u0000' }, 'invalid_argument'],
  ['more metadata than there can be', { metadata: { noise: noise(16_384) } }, 'metadata_too_large'],
  ['one unit more than there can be', { customerId: 'many' }, 'invalid_argument'],
]

describe.each(stores)('%s', (_, options) => {
  test('keeps whatever an event may hold, and what is refused keeps nobody waiting', async () => {
    const billing = openBilling(options())
    for (const [what, overrides] of harmless) {
      expect([what, await billing.usage.recordEvent(event(overrides)).catch(({ code }) => code)]).toEqual([
        what,
        undefined,
      ])
    }
    for (const [what, overrides, code] of harmful) {
      const answered = await billing.usage.recordEvent(event(overrides)).catch((error) => error.code)
      expect([what, answered]).toEqual([what, code])
    }
    // All of it at once, between events that nothing is wrong with.
    const good = (): UsageEvent => event({ customerId: 'neighbour' })
    const batch = [...harmless.filter(([, { units }]) => units === undefined), ...harmful]
    const recordings = await billing.usage.recordEvents(batch.flatMap(([, bad]) => [event(bad), good()]))
    expect(recordings.filter(({ status }) => status === 'rejected')).toHaveLength(harmful.length)
    expect(await totals(billing, 'neighbour')).toMatchObject({ events: batch.length })
    await billing.flush()
  })

  test('counts each request that was let through, whatever it looked like', async () => {
    const pricing = { '/api/*rest': { pricePerRequest: 0.1 } }
    const billing = openBilling({ ...options(), pricing })
    const key = await keyOf(billing, 'customer-1', 'enterprise')
    const port = await serve(express().use(billing.middleware(), (_, res) => void res.end()))
    const paths = ['%00', '%ED%A0%80', '%', `${noise(6_000)}`, `'%3B--`, '..%2f..%2f', '%F0%9F%92%A9']
    let admitted = 0
    for (const path of paths) {
      const variants: Record<string, string>[] = [
        {},
        { 'user-agent': noise(4_000) },
        { 'idempotency-key': `k-\u00e9-${path.slice(0, 100)}` },
      ]
      for (const headers of variants) {
        const { status } = await call(port, `/api/${path}`, { key, headers })
        if (status === 200) admitted += 1
      }
    }
    expect(admitted).toBeGreaterThan(paths.length)
    await billing.flush()
    expect(await totals(billing)).toMatchObject({ events: admitted })
  })
})

test.each([
  ['a name of three thousand letters', `/api/:${'n'.repeat(3_000)}`],
  ['the character U+0000', '/api/\u0000'],
])('a price list cannot hold a route with %s, which no event could', (_, route) => {
  const open = (): Billing => new Billing({ dir: temporaryDirectory(), pricing: { [route]: { pricePerRequest: 1 } } })
  expect(open).toThrow(expect.objectContaining({ code: 'invalid_catalog' }))
})
