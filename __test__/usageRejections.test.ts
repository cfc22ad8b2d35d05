import express from 'express'
import { type Billing, generateTestHeader, type UsageRejection } from 'weighbridge'
import { event, openBilling } from './support/billing'
import { callRaw, serve } from './support/http'
import { Recorder } from './support/stripe'
import { StripeMeters } from './support/stripeMeters'
import { deliver, secret } from './support/stripeEvents'
import { until } from './support/until'

const TYPE = 'v1.billing.meter.error_report_triggered'

/** As Stripe delivers it: without its data. */
const thin = (id: string, type = TYPE) => ({
  id,
  object: 'v2.core.event',
  type,
  created: new Date().toISOString(),
  livemode: false,
  related_object: { id: 'mtr_1', type: 'billing.meter', url: '/v1/billing/meters/mtr_1' },
})

/** As Stripe answers where it is asked for the event. */
const whole = (id: string, identifiers: (string | undefined)[], type = TYPE) => ({
  ...thin(id, type),
  data: {
    developer_message_summary: 'There are errors',
    reason: {
      error_count: identifiers.length,
      error_types: [
        {
          code: 'meter_event_customer_not_found',
          error_count: identifiers.length,
          sample_errors: identifiers.map((identifier) => ({
            error_message: 'The customer does not exist',
            request: { identifier },
          })),
        },
      ],
    },
    validation_start: new Date().toISOString(),
    validation_end: new Date().toISOString(),
  },
})

interface World {
  billing: Billing
  /** What Stripe answers, by path. */
  answers: Record<string, { status?: number; body: unknown }>
  told: UsageRejection[]
  port: number
}

/** Two customers whose usage Stripe has taken. */
async function world(): Promise<World> {
  const meters = await StripeMeters.start()
  const answers: World['answers'] = {}
  const recorder = await Recorder.start(answers, meters.port)
  const baseUrl = `http://127.0.0.1:${recorder.port}`
  const exportUsage = { callsPerSecond: 1_000 }
  const billing = openBilling({
    stripe: { secretKey: 'sk_test_1', webhookSecret: secret, baseUrl, exportUsage, maxNetworkRetries: 0 },
  })
  for (const number of [1, 2]) {
    const customerId = `customer-${number}`
    await billing.customers.upsert({ id: customerId, stripeCustomerId: `cus_${number}` })
    await billing.usage.recordEvent(event({ customerId, units: number, cost: 0 }))
  }
  await billing.stripe.outbox.flush()
  const told: UsageRejection[] = []
  billing.on('usageRejected', (rejection) => told.push(rejection))
  const app = express()
  app.post('/webhooks/stripe', billing.stripeWebhook({ logger: { error: () => {} } }))
  return { billing, answers, told, port: await serve(app) }
}

async function idOf(billing: Billing, customerId: string): Promise<string> {
  return (await billing.stripe.outbox.list({ customerId })).data[0]?.id ?? ''
}

test.each([TYPE, 'v1.billing.meter.no_meter_found'])('%s leads to the report and its customer', async (type) => {
  const { billing, answers, told, port } = await world()
  const id = await idOf(billing, 'customer-2')
  answers['/v2/core/events/evt_1'] = { body: whole('evt_1', ['of somebody else', undefined, id], type) }
  expect((await deliver(port, thin('evt_1', type))).status).toBe(200)
  await until(() => told.length, 1)
  const reason = 'meter_event_customer_not_found: The customer does not exist'
  expect(told).toMatchObject([
    {
      code: 'meter_event_customer_not_found',
      message: 'The customer does not exist',
      report: { id, customerId: 'customer-2', units: 2, state: 'dead', reason },
    },
  ])
  expect(await billing.stripe.outbox.backlog()).toMatchObject([{ state: 'dead', reports: 1, units: 2 }])
  expect((await deliver(port, thin('evt_1', type))).status).toBe(200)
  expect(told).toHaveLength(1)
})

test('where Stripe cannot be asked the event comes again', async () => {
  const { billing, answers, told, port } = await world()
  const id = await idOf(billing, 'customer-1')
  answers['/v2/core/events/evt_2'] = { status: 500, body: { error: { message: 'Something went wrong' } } }
  expect((await deliver(port, thin('evt_2'))).status).toBe(500)
  expect(await billing.stripe.outbox.backlog()).toEqual([])
  answers['/v2/core/events/evt_2'] = { body: whole('evt_2', [id]) }
  expect((await deliver(port, thin('evt_2'))).status).toBe(200)
  await until(() => told.length, 1)
  expect(await billing.stripe.outbox.backlog()).toMatchObject([{ state: 'dead', units: 1 }])
})

test('what Stripe has not signed rejects nothing', async () => {
  const { billing, answers, port } = await world()
  answers['/v2/core/events/evt_3'] = { body: whole('evt_3', [await idOf(billing, 'customer-1')]) }
  const payload = JSON.stringify(thin('evt_3'))
  const header = generateTestHeader({ payload, secret: 'whsec_other' })
  const { status } = await callRaw(port, '/webhooks/stripe', payload, { 'stripe-signature': header })
  expect(status).toBe(400)
  expect(await billing.stripe.outbox.backlog()).toEqual([])
})
