import { parseArgs } from 'node:util'
import { Billing, type BillingOptions } from '../billing.js'
import { invalidArgument } from '../errors.js'
import type { ReconcileOptions, Reconciliation } from '../reconciliation.js'
import type { Command } from './command.js'
import { count, table } from './output.js'

const VARIABLE = 'WEIGHBRIDGE_STORE'
const HOUR_MS = 3_600_000

const HELP = `Usage: weighbridge reconcile [--dir <directory>] --from <instant> [--to <instant>] [options]

Compares, for each customer and event type, the events, the sums they were counted into, the outbox, and what Stripe's meters
have counted. Each difference is told with its cause.

  --dir <directory>      the data directory: logs/usage by default
  --store <url>          postgres://…, where the store is a PostgreSQL database; by default what ${VARIABLE} says
  --schema <name>        the schema in that database
  --from <instant>       such as 2026-11-01T00:00:00Z or 2026-11-01 (UTC): a whole hour, within the past 40 days
  --to <instant>         the same, and not included; by default the beginning of this hour
  --customer <id>        only this one
  --meter <type>=<name>  an event type and its meter's event_name at Stripe; may be given several times. By default all
                         event types, under their own names
  --repair               mends what can be mended; then call it again
  --json                 prints all as JSON

The key is read from STRIPE_SECRET_KEY; STRIPE_BASE_URL replaces https://api.stripe.com.

Exit code: 0 where all agree, 1 where something differs or fails, 2 for a wrong call.
`

/** `weighbridge reconcile` */
export const reconcile: Command = {
  summary: 'compares usage with what Stripe has counted',
  help: HELP,
  async run(args) {
    const { billing, question, json } = read(args)
    const opened = new Billing(billing)
    try {
      const reconciliation = await opened.stripe.reconcile(question)
      process.stdout.write(json ? `${JSON.stringify(reconciliation, null, 2)}\n` : text(reconciliation))
      return reconciliation.agrees ? 0 : 1
    } finally {
      await opened.close()
    }
  },
}

interface Call {
  billing: BillingOptions
  question: ReconcileOptions
  json: boolean
}

function read(args: string[]): Call {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      dir: { type: 'string' },
      store: { type: 'string', default: process.env[VARIABLE] },
      schema: { type: 'string' },
      from: { type: 'string' },
      to: { type: 'string' },
      customer: { type: 'string' },
      meter: { type: 'string', multiple: true },
      repair: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  })
  if (positionals.length > 0) throw invalidArgument('there is an argument without an option, such as --from')
  const { dir, store, schema, from, to, customer, meter, repair, json } = values
  if (from === undefined) throw invalidArgument('--from is missing: an instant, such as 2026-11-01T00:00:00Z')
  const baseUrl = process.env['STRIPE_BASE_URL']
  return {
    billing: {
      ...(dir !== undefined && { dir }),
      ...(store && { store }),
      ...(schema !== undefined && { postgres: { schema } }),
      ...(baseUrl && { stripe: { baseUrl } }),
    },
    question: {
      from: instant('--from', from),
      to: to === undefined ? Math.floor(Date.now() / HOUR_MS) * HOUR_MS : instant('--to', to),
      repair,
      ...(customer !== undefined && { customerId: customer }),
      ...(meter !== undefined && { meters: Object.fromEntries(meter.map(pair)) }),
    },
    json,
  }
}

/** What does not say its time zone is UTC, as the whole hours are. */
function instant(option: string, text: string): number {
  const isDay = /^\d{4}-\d{2}-\d{2}$/.test(text)
  const isInstant = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})$/.test(text)
  const millis = isDay || isInstant ? Date.parse(text) : NaN
  if (Number.isNaN(millis)) {
    throw invalidArgument(`${option} must be an instant such as 2026-11-01T00:00:00Z or 2026-11-01, got ${text}`)
  }
  return millis
}

function pair(text: string): [string, string] {
  const [type, ...name] = text.split('=')
  if (!type || name.length === 0) throw invalidArgument(`--meter must be <event type>=<event name>, got ${text}`)
  return [type, name.join('=')]
}

function text({ from, to, agrees, customers, stripe, differences }: Reconciliation): string {
  const span = `[${new Date(from).toISOString()}, ${new Date(to).toISOString()})`
  const sum = (numbers: number[]): string => count(numbers.reduce((total, number) => total + number, 0))
  const totals = table([
    ['events', sum(customers.map(({ events }) => events))],
    ['hourly sums', sum(customers.map(({ rollups }) => rollups))],
    ['in reports', sum(customers.flatMap(({ reported }) => Object.values(reported)))],
    ['sent to Stripe', sum(stripe.map(({ sent }) => sent))],
    ['counted by Stripe', sum(stripe.map(({ counted }) => Number(counted)))],
  ])
  if (agrees) return `Units of ${count(stripe.length)} meters in ${span}\n${totals}All agree.\n`
  const rows = differences.map(
    ({ cause, eventType, units, customerId, stripeCustomerId, at, repaired, repairs, reason }) => [
      cause,
      customerId ?? stripeCustomerId ?? '',
      eventType,
      at === null ? '' : new Date(at).toISOString(),
      count(units),
      repaired ? `mended: ${repairs.join(', ')}` : (reason ?? (repairs.length > 0 ? '--repair mends it' : '')),
    ],
  )
  return (
    `Units of ${count(stripe.length)} meters in ${span}\n${totals}\n` +
    table([['cause', 'customer', 'event type', 'from', 'units', ''], ...rows])
  )
}
