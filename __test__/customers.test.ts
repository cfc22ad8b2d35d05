import { ManualClock } from 'weighbridge'
import { openBilling } from './support/billing'

const NOW = Date.UTC(2026, 0, 1)

test('an upsert makes a customer, changes what it names, and null clears', async () => {
  const { customers } = openBilling({ clock: new ManualClock(NOW) })
  expect(await customers.get('acme')).toBeNull()
  const made = {
    id: 'acme',
    tier: 'starter',
    subscriptionId: 'sub_1',
    stripeCustomerId: null,
    suspended: false,
    createdAt: NOW,
  }
  expect(await customers.upsert({ id: 'acme', tier: 'starter', subscriptionId: 'sub_1' })).toEqual(made)
  expect(await customers.upsert({ id: 'acme', stripeCustomerId: 'cus_1', suspended: true })).toEqual({
    ...made,
    stripeCustomerId: 'cus_1',
    suspended: true,
  })
  const cleared = await customers.upsert({ id: 'acme', tier: null, subscriptionId: null, suspended: false })
  expect(cleared).toEqual({ ...made, tier: null, subscriptionId: null, stripeCustomerId: 'cus_1' })
  expect(await customers.get('acme')).toEqual(cleared)
})

test('a customer comes into being with a key or an event', async () => {
  const { customers, keys, usage } = openBilling({ clock: new ManualClock(NOW) })
  await keys.create({ customerId: 'by-key' })
  await usage.recordEvent({ customerId: 'by-event', eventType: 'data_access', cost: 0, timestamp: NOW })
  const { data } = await customers.list()
  expect(data.map(({ id }) => id)).toEqual(['by-event', 'by-key'])
  expect(await usage.getCustomerUsage('by-key')).toMatchObject({ usage: { apiRequests: 0 } })
})

test('customers come a page at a time', async () => {
  const { customers } = openBilling()
  for (const id of ['d', 'a', 'c', 'b', 'e']) await customers.upsert({ id })
  const first = await customers.list({ limit: 2 })
  expect([first.data.map(({ id }) => id), first.hasMore]).toEqual([['a', 'b'], true])
  const rest = await customers.list({ limit: 3, startingAfter: 'b' })
  expect([rest.data.map(({ id }) => id), rest.hasMore]).toEqual([['c', 'd', 'e'], false])
})

test("a tier's limits hold at once, and what was used stays used", async () => {
  const { customers, usage } = openBilling({ clock: new ManualClock(NOW) })
  await usage.consume({ customerId: 'acme', eventType: 'api_request', units: 1000 })
  expect(await usage.checkLimits('acme', 'api_request')).toBe(false)
  await customers.upsert({ id: 'acme', tier: 'professional' })
  expect(await usage.consume({ customerId: 'acme', eventType: 'api_request' })).toMatchObject({
    allowed: true,
    limit: 10_000,
    used: 1001,
  })
})

test('an unknown tier is refused and nothing is changed', async () => {
  const { customers } = openBilling()
  await expect(customers.upsert({ id: 'acme', tier: 'gold' })).rejects.toMatchObject({
    code: 'unknown_tier',
    message: expect.stringContaining('starter, professional, enterprise'),
  })
  expect(await customers.get('acme')).toBeNull()
})
