// Usage on its way to Stripe through everything that can go wrong, to the unit.
import Stripe from 'stripe'
import { type BillingOptions } from 'weighbridge'
import { openBilling, temporaryDirectory, totals } from './support/billing'
import { HttpFaults } from './support/httpFaults'
import { sharedDatabase } from './support/postgres'
import { type Program, start } from './support/processes'
import { StripeMeters } from './support/stripeMeters'

const EVENTS = 500
const UNITS = 100
const CUSTOMERS = 20
/** Without a divisor in common with the customers, so that everybody has usage in all of them. */
const WINDOWS = 29
const PROCESSES = ['one', 'two']
const KILLS = 6
const REQUESTS_BETWEEN_KILLS = 40

/** What should arrive, computed from the events alone. */
function expected(): Record<string, number> {
  const sums: Record<string, number> = {}
  for (let number = 0; number < EVENTS; number += 1) {
    const meter = number % 3 === 0 ? 'agent_execution' : 'api_request'
    const account = `${meter} cus_${number % CUSTOMERS}`
    sums[account] = (sums[account] ?? 0) + UNITS * PROCESSES.length
  }
  return sums
}

/** Resolves after so many requests more, or when all has arrived and no more are to come. */
function requests(faults: HttpFaults, meters: StripeMeters, count: number): Promise<void> {
  const until = faults.requests + count
  const all = EVENTS * UNITS * PROCESSES.length
  return new Promise((resolve) => {
    const look = (): void => {
      const arrived = meters.taken.reduce((sum, { value }) => sum + value, 0)
      if (faults.requests >= until || arrived === all) resolve()
    }
    faults.onRequest = look
    meters.onTaken = look
    look()
  })
}

async function flow(place: BillingOptions): Promise<void> {
  const now = Date.now()
  const from = Math.floor(now / 60_000) * 60_000 - 30 * 60_000
  const meters = await StripeMeters.start()
  const faults = await HttpFaults.before(meters.port, 0.3, 20_261_123)
  const stripe = {
    secretKey: 'sk_test_1',
    baseUrl: faults.baseUrl,
    timeoutMs: 250,
    exportUsage: { callsPerSecond: 1_000 },
  }
  const billing = openBilling({ ...place, stripe })
  await Promise.all(
    Array.from({ length: CUSTOMERS }, (_, number) =>
      billing.customers.upsert({ id: `customer-${number}`, stripeCustomerId: `cus_${number}` }),
    ),
  )
  // This process counts, sends and is closed before the others begin: those are killed.
  await billing.close()

  const share = { events: EVENTS, units: UNITS, customers: CUSTOMERS, from, windows: WINDOWS, ...place, stripe }
  const begin = (name: string): Program => start('export.cjs', { name, ...share })
  const programs = new Map(PROCESSES.map((name) => [name, begin(name)]))
  for (const program of programs.values()) await program.next()
  for (let kill = 0; kill < KILLS; kill += 1) {
    await requests(faults, meters, REQUESTS_BETWEEN_KILLS)
    const name = PROCESSES[kill % PROCESSES.length] ?? ''
    programs.get(name)?.process.kill('SIGKILL')
    expect(await programs.get(name)?.ended).toMatchObject({ signal: 'SIGKILL' })
    programs.set(name, begin(name))
    await programs.get(name)?.next()
  }
  for (const program of programs.values()) expect(await program.next()).toBe('recorded')

  const last = openBilling({ ...place, stripe })
  await last.stripe.outbox.flush({ timeoutMs: 100_000 })
  expect(meters.totals).toEqual(expected())
  expect(await totals(last)).toMatchObject({ units: EVENTS * UNITS * PROCESSES.length })
  expect(await last.stripe.outbox.backlog()).toEqual([])
  // Each way of failing was met.
  expect([...faults.happened.keys()].sort()).toHaveLength(8)

  // Stripe's own package asks Stripe's question.
  const official = new Stripe('sk_test_1', { host: '127.0.0.1', port: meters.port, protocol: 'http', telemetry: false })
  const span = { start_time: from / 1_000, end_time: from / 1_000 + 3_600 }
  const summary = await official.billing.meters.listEventSummaries('api_request', { customer: 'cus_1', ...span })
  expect(summary.data[0]?.aggregated_value).toBe(expected()['api_request cus_1'])
}

test('100,000 units arrive to the unit, over faults and kill -9s of two processes on one file', async () => {
  await flow({ dir: temporaryDirectory() })
}, 150_000)

test('100,000 units arrive to the unit, over faults and kill -9s of two processes on one PostgreSQL', async () => {
  const database = sharedDatabase()
  await flow({ dir: temporaryDirectory(), ...database.options })
}, 150_000)
