// Against Stripe itself, in test mode: where STRIPE_TEST_SECRET_KEY is set. What is made there is not removed: Stripe's meters
// cannot be.
import { randomUUID } from 'node:crypto'
import { type Billing, type BillingOptions } from 'weighbridge'
import { event, openBilling } from './support/billing'

const secretKey = process.env['STRIPE_TEST_SECRET_KEY'] ?? ''
const eventName = 'weighbridge_live_suite'

if (secretKey === '') {
  process.stderr.write('The live suite was skipped: STRIPE_TEST_SECRET_KEY is not set.\n')
  test('skipped, as STRIPE_TEST_SECRET_KEY is not set', () => {
    expect(secretKey).toBe('')
  })
} else {
  // A live key would bill somebody.
  if (!/^(sk|rk)_test_/.test(secretKey)) throw new Error('STRIPE_TEST_SECRET_KEY must be a key of test mode')
  describe('Stripe itself, in test mode', live)
}

function live(): void {
  const exportUsage = { meters: { api_request: eventName } }
  const open = (options: BillingOptions = {}): Billing =>
    openBilling({ ...options, stripe: { secretKey, exportUsage, ...options.stripe } })

  beforeAll(async () => {
    const billing = open()
    await billing.stripe
      .raw('POST', '/v1/billing/meters', {
        display_name: 'Weighbridge, live suite',
        event_name: eventName,
        default_aggregation: { formula: 'sum' },
      })
      .catch((error: { message: string }) => {
        if (!/already/.test(error.message)) throw error
      })
    await billing.close()
  }, 120_000)

  test('a customer is made once under one key, and found', async () => {
    const { stripe } = open()
    const options = { idempotencyKey: randomUUID() }
    const created = await stripe.createCustomer('live-suite@example.com', 'Live suite', options)
    expect(await stripe.createCustomer('live-suite@example.com', 'Live suite', options)).toMatchObject({
      id: created.id,
    })
    expect(await stripe.retrieveCustomer(created.id)).toMatchObject({ email: 'live-suite@example.com' })
    await expect(stripe.retrieveCustomer('cus_none')).rejects.toMatchObject({ code: 'resource_missing' })
    await stripe.raw('DELETE', `/v1/customers/${created.id}`)
  }, 120_000)

  test('usage arrives, a duplicate is known as one, and the books can be compared', async () => {
    const billing = open()
    const { stripe } = billing
    const customer = await stripe.createCustomer('live-suite@example.com')
    await billing.customers.upsert({ id: 'customer-1', stripeCustomerId: customer.id })
    await billing.usage.recordEvent(event({ units: 7, cost: 0 }))
    await stripe.outbox.flush({ timeoutMs: 60_000 })
    const [sent] = (await stripe.outbox.list()).data
    expect(sent).toMatchObject({ state: 'sent', units: 7, reason: null })

    // Under another idempotency key, so that Stripe compares the identifiers.
    const timestamp = Math.floor((sent?.timestamp ?? 0) / 1000)
    const payload = { stripe_customer_id: customer.id, value: '7' }
    const again = { event_name: eventName, identifier: sent?.id, timestamp, payload }
    await expect(stripe.raw('POST', '/v1/billing/meter_events', again)).rejects.toMatchObject({
      statusCode: 400,
      message: expect.stringContaining('already exists'),
    })

    const hour = 3_600_000
    const from = Math.floor((sent?.timestamp ?? 0) / hour) * hour
    const { differences } = await stripe.reconcile({ from, to: from + hour, customerId: 'customer-1' })
    // Stripe counts some time after it has taken an event.
    expect(differences.filter(({ cause }) => cause !== 'late')).toEqual([])
  }, 180_000)
}
