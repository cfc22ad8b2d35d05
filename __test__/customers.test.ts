import { ManualClock } from 'weighbridge'
import { event, limitedTo, openBilling, temporaryDirectory } from './support/billing'

const now = Date.UTC(2026, 0, 15)

test('a customer comes into being with the first event, key or upsert', async () => {
  const { usage, keys, customers } = openBilling({ clock: new ManualClock(now) })
  await usage.recordEvent(event({ customerId: 'by-event' }))
  await usage.consume({ customerId: 'by-consumption', eventType: 'data_access' })
  await keys.create({ customerId: 'by-key' })
  await customers.upsert({ id: 'by-upsert' })
  for (const id of ['by-event', 'by-consumption', 'by-key', 'by-upsert']) {
    expect(await customers.get(id)).toEqual({
      id,
      tier: null,
      subscriptionId: null,
      stripeCustomerId: null,
      subscriptionStatus: null,
      billingCycleAnchor: null,
      catalogVersion: null,
      spendCap: null,
      prepaid: false,
      suspended: false,
      createdAt: now,
    })
  }
  expect(await customers.get('nobody')).toBeNull()
})

test('asking about a customer does not make him', async () => {
  const { usage, keys, customers } = openBilling()
  await usage.checkLimits('nobody', 'api_request')
  await usage.getCustomerUsage('nobody')
  await keys.list('nobody')
  expect(await customers.list()).toEqual({ data: [], hasMore: false })
})

test('an upsert changes what it names, clears what it sets to null, and leaves the rest', async () => {
  const clock = new ManualClock(now)
  const { customers } = openBilling({ clock })
  const everything = {
    id: 'customer-1',
    tier: 'starter',
    subscriptionId: 'sub_1',
    stripeCustomerId: 'cus_1',
    spendCap: '100.000000000001',
    prepaid: true,
    suspended: true,
  }
  const told = { subscriptionStatus: null, billingCycleAnchor: null, catalogVersion: null }
  expect(await customers.upsert(everything)).toEqual({ ...everything, ...told, createdAt: now })
  clock.advance(5)
  expect(await customers.upsert({ id: 'customer-1' })).toEqual({ ...everything, ...told, createdAt: now })
  expect(await customers.upsert({ id: 'customer-1', tier: 'enterprise', subscriptionId: null })).toEqual({
    ...everything,
    ...told,
    tier: 'enterprise',
    subscriptionId: null,
    createdAt: now,
  })
  expect(
    await customers.upsert({
      id: 'customer-1',
      tier: null,
      stripeCustomerId: null,
      spendCap: null,
      prepaid: false,
      suspended: false,
    }),
  ).toEqual({
    id: 'customer-1',
    tier: null,
    subscriptionId: null,
    stripeCustomerId: null,
    subscriptionStatus: null,
    billingCycleAnchor: null,
    catalogVersion: null,
    spendCap: null,
    prepaid: false,
    suspended: false,
    createdAt: now,
  })
})

test('a tier that is not there is refused, and the customer stays as he is', async () => {
  const { customers } = openBilling()
  const before = await customers.upsert({ id: 'customer-1', tier: 'starter' })
  const update = customers.upsert({ id: 'customer-1', tier: 'gold', suspended: true })
  await expect(update).rejects.toMatchObject({ code: 'unknown_tier', message: expect.stringContaining('gold') })
  await expect(customers.upsert({ id: 'customer-2', tier: 'gold' })).rejects.toMatchObject({ code: 'unknown_tier' })
  expect(await customers.get('customer-1')).toEqual(before)
  expect(await customers.get('customer-2')).toBeNull()
})

test('pages follow each other in the order of the ids', async () => {
  const { customers } = openBilling()
  const ids = Array.from({ length: 250 }, (_, index) => `customer-${String(index).padStart(3, '0')}`)
  await Promise.all([...ids].reverse().map((id) => customers.upsert({ id })))

  const first = await customers.list()
  expect(first.data.map(({ id }) => id)).toEqual(ids.slice(0, 100))
  expect(first.hasMore).toBe(true)

  const seen: string[] = []
  for (let startingAfter: string | undefined; ; startingAfter = seen.at(-1)) {
    const page = await customers.list({ limit: 50, startingAfter })
    seen.push(...page.data.map(({ id }) => id))
    if (!page.hasMore) break
  }
  expect(seen).toEqual(ids)
  expect(await customers.list({ startingAfter: ids.at(-1) })).toEqual({ data: [], hasMore: false })
  expect((await customers.list({ limit: 1000 })).data).toHaveLength(250)
})

test('ids may be any text of up to 255 bytes', async () => {
  const { customers, usage } = openBilling()
  for (const id of ['ü'.repeat(127), '😀', '__proto__', 'constructor', "'; DROP TABLE customers; --", ' ', 'a/b?c#d']) {
    await customers.upsert({ id })
    await usage.recordEvent(event({ customerId: id, id }))
    expect((await customers.get(id))?.id).toBe(id)
    expect((await usage.getCustomerUsage(id))?.usage.apiRequests).toBe(1)
  }
})

test('what one Billing changes another on the directory soon sees', async () => {
  const dir = temporaryDirectory()
  const [first, second] = [openBilling({ dir, tiers: limitedTo(1) }), openBilling({ dir })]
  await first.customers.upsert({ id: 'customer-1', tier: 'limited' })
  expect((await second.customers.get('customer-1'))?.tier).toBe('limited')
  const consume = () => second.usage.consume({ customerId: 'customer-1', eventType: 'api_request' })
  expect(await consume()).toMatchObject({ allowed: true, limit: 1 })
  expect(await consume()).toMatchObject({ allowed: false })
  await first.customers.upsert({ id: 'customer-1', tier: 'starter' })
  let next = await consume()
  while (!next.allowed) next = await consume()
  expect(next).toMatchObject({ used: 2, limit: 1000 })
})

test('a tier that is listed no longer stays for the customers who have it', async () => {
  const dir = temporaryDirectory()
  const first = openBilling({ dir, tiers: limitedTo(7) })
  await first.customers.upsert({ id: 'customer-1', tier: 'limited' })
  await first.close()
  const second = openBilling({ dir, tiers: limitedTo(7).slice(1) })
  expect((await second.usage.getCustomerUsage('customer-1'))?.limits.apiRequests).toBe(7)
})
