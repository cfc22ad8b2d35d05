import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { Billing, generateTestHeader, ManualClock, type Reconciliation } from 'weighbridge'
import { MeterServer } from '../../../__test__/support/meterServer.js'
import { type Call, Client } from './client.js'
import { type Checks, count, dim, heading, print, table } from './terminal.js'

const HOUR = 3_600_000
const WEBHOOK_SECRET = 'whsec_of_the_demo'
const REQUESTS = 600
const LOST = 7
const ENDPOINTS = ['/api/execute', '/api/analyze', '/api/scan-funding', '/api/assistant']

/**
 * Stripe's part, against two servers in this process: `stripe-stateful-mock`, of another author, keeps customers and
 * subscriptions; it has no meters, which are those of Weighbridge's own tests.
 */
export async function showStripe(dir: string, checks: Checks): Promise<void> {
  const clock = new ManualClock(Date.now())
  const meters = new MeterServer(() => clock.now(), 2)
  const stripe = await serve(offlineStripe(meters))
  const exportUsage = { callsPerSecond: 500 }
  const billing = new Billing({
    dir,
    clock,
    stripe: { secretKey: 'sk_test_demo', webhookSecret: WEBHOOK_SECRET, baseUrl: stripe.url, exportUsage },
  })
  const app = express()
  // The mock's subscriptions cannot be asked for by the new API versions: what counts is what the event says.
  app.post('/webhooks/stripe', billing.stripeWebhook({ retrieve: false }))
  app.use('/api', billing.middleware(), (_req, res) => void res.json({ ok: true }))
  const server = await serve(app)

  heading('1. A customer and a subscription at Stripe')
  const customer = await billing.stripe.createCustomer('ada@example.com', 'Ada')
  const { key } = await billing.keys.create({ customerId: 'ada' })
  await billing.customers.upsert({ id: 'ada', stripeCustomerId: customer.id })
  const subscription = await subscribe(billing, customer.id)
  print(dim(`  ${customer.id}, ${subscription.id}`))
  await deliver(server.url, 'customer.subscription.created', subscription)
  const ada = await billing.customers.get('ada')
  checks.claim(ada?.tier === 'starter', 'A signed webhook has put her into the tier of her price', `${ada?.tier}`)

  heading('2. Traffic')
  const client = new Client(server.port, 32)
  const calls = Array.from({ length: REQUESTS }, (_, number): Call => {
    const endpoint = ENDPOINTS[number % ENDPOINTS.length] ?? ''
    return { purpose: 'everyday traffic', key, endpoint, method: 'GET', path: endpoint }
  })
  const answers = await client.sendAll(calls, () => {})
  client.close()
  const admitted = answers.filter(({ status }) => status === 200).length
  checks.claim(admitted === REQUESTS, `${count(REQUESTS)} requests were let through`, count(admitted))

  heading('3. Flush: what was counted goes to Stripe')
  await billing.flush()
  const started = performance.now()
  await billing.stripe.outbox.flush()
  print(dim(`  ${meters.calls} calls, ${Math.round(performance.now() - started)} ms`))
  const arrived = Object.values(meters.totals).reduce((sum, units) => sum + units, 0)
  checks.claim(arrived === admitted, `Stripe's meter has taken ${count(admitted)} units`, count(arrived))

  heading('4. Reconcile')
  const from = Math.floor(clock.now() / HOUR) * HOUR
  const reconcile = (repair = false): Promise<Reconciliation> =>
    billing.stripe.reconcile({ from, to: from + 4 * HOUR, repair })
  const first = await reconcile()
  showBooks(first)
  checks.claim(first.agrees, "Events, sums, outbox and Stripe's summaries agree", JSON.stringify(first.differences))

  heading(`5. Stripe loses ${LOST} units`)
  const [taken] = meters.taken
  if (taken !== undefined) taken.value -= LOST
  clock.advance(2 * HOUR)
  const { differences } = await reconcile(true)
  const [found] = differences
  print(dim('  Two hours later'))
  checks.claim(
    differences.length === 1 && found?.cause === 'missing_at_stripe' && found.units === LOST && found.repaired,
    `Found, with its cause: ${found?.cause}, ${found?.units} units; and mended`,
    JSON.stringify(differences),
  )
  await billing.stripe.outbox.flush()
  const last = await reconcile()
  showBooks(last)
  checks.claim(last.agrees, 'All agree again', JSON.stringify(last.differences))

  await billing.close()
  await server.close()
  await stripe.close()
}

function offlineStripe(meters: MeterServer): RequestListener {
  // It comes without types.
  const { createExpressApp } = require('stripe-stateful-mock') as { createExpressApp(): RequestListener }
  const others = createExpressApp()
  return (request, response) => {
    const listener = /^\/(v1\/billing|v2)\//.test(request.url ?? '') ? meters.listener : others
    listener(request, response)
  }
}

/** The mock is of the time when prices were plans. */
async function subscribe(billing: Billing, customer: string): Promise<{ id: string }> {
  const plan = { id: 'price_starter_monthly', amount: 2900, currency: 'usd', interval: 'month' }
  await billing.stripe.raw('POST', '/v1/plans', { ...plan, product: { name: 'Starter' } })
  const items = [{ plan: plan.id }]
  return (await billing.stripe.raw('POST', '/v1/subscriptions', { customer, items })) as { id: string }
}

async function deliver(url: string, type: string, object: unknown): Promise<void> {
  const created = Math.floor(Date.now() / 1000)
  const payload = JSON.stringify({ id: 'evt_demo', object: 'event', type, created, data: { object } })
  const headers = { 'stripe-signature': generateTestHeader({ payload, secret: WEBHOOK_SECRET }) }
  const { status } = await fetch(`${url}/webhooks/stripe`, { method: 'POST', headers, body: payload })
  if (status !== 200) throw new Error(`the webhook was answered ${status}`)
}

function showBooks({ customers, stripe }: Reconciliation): void {
  const rows = customers.map(({ customerId, eventType, events, rollups, reported }) => {
    const counted = stripe.find((books) => books.customerIds.includes(customerId) && books.eventType === eventType)
    return [customerId, eventType, count(events), count(rollups), count(reported['sent'] ?? 0), counted?.counted ?? '']
  })
  const right = (title: string) => ({ title, align: 'right' as const })
  const columns = [right('events'), right('hourly sums'), right('sent'), right('Stripe')]
  table([{ title: 'customer' }, { title: 'event type' }, ...columns], rows)
}

async function serve(listener: RequestListener): Promise<{ url: string; port: number; close(): Promise<void> }> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const close = async (): Promise<void> => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }
  return { url: `http://127.0.0.1:${port}`, port, close }
}
