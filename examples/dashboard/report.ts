/** Usage and cost in a data directory: `npm run report -- [<directory>]`, by default `logs/usage`. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Billing, type Customer } from 'weighbridge'
import { count, heading, money, print, table } from './demo/terminal.js'

/** What each customer used in the present billing period, what he may use, and what it costs. */
export async function showCustomerUsage(billing: Billing): Promise<void> {
  const rows: string[][] = []
  let period: { from: number; to: number } | undefined
  for await (const { id, tier } of everyCustomer(billing)) {
    const usage = await billing.usage.getCustomerUsage(id)
    if (usage === null) continue
    period = { from: usage.currentPeriodStart, to: usage.currentPeriodEnd }
    const [sum] = await billing.usage.query({ customerId: id, ...period })
    const limit = usage.limits.apiRequests
    const used = usage.usage.apiRequests
    rows.push([id, tier ?? 'none', count(used), limitText(limit), limitText(limit - used), money(sum?.cost ?? '0')])
  }
  if (period === undefined) return print('  no customers yet')
  const [sum] = await billing.usage.query(period)
  table(
    [
      { title: 'customer' },
      { title: 'tier' },
      { title: 'requests', align: 'right' },
      { title: 'limit', align: 'right' },
      { title: 'remaining', align: 'right' },
      { title: 'cost', align: 'right' },
    ],
    rows,
    ['all', '', '', '', '', money(sum?.cost ?? '0')],
  )
}

/** What was used of each endpoint, month by month. */
async function showEndpointUsage(billing: Billing): Promise<void> {
  const rows = await billing.usage.query({
    from: 0,
    to: Date.now() + 1,
    window: 'month',
    groupBy: ['endpoint', 'eventType'],
  })
  table(
    [
      { title: 'month' },
      { title: 'endpoint' },
      { title: 'what' },
      { title: 'units', align: 'right' },
      { title: 'cost', align: 'right' },
    ],
    rows.map(({ windowStart, endpoint, eventType = '', units, cost }) => [
      new Date(windowStart).toISOString().slice(0, 7),
      endpoint ?? '(none)',
      eventType,
      count(units),
      money(cost),
    ]),
  )
}

async function* everyCustomer(billing: Billing): AsyncGenerator<Customer> {
  let startingAfter: string | undefined
  for (;;) {
    const { data, hasMore } = await billing.customers.list({ limit: 1000, startingAfter })
    yield* data
    if (!hasMore) return
    startingAfter = data.at(-1)?.id
  }
}

function limitText(limit: number): string {
  return limit === Infinity ? 'none' : count(limit)
}

async function main([dir = 'logs/usage']: string[]): Promise<void> {
  // Opening a directory makes it, which nobody means who mistypes a path.
  if (!existsSync(join(dir, 'weighbridge.db'))) {
    console.error(`There is no weighbridge.db in ${resolve(dir)}: give the directory that a Billing works in.`)
    process.exitCode = 2
    return
  }
  const billing = new Billing({ dir })
  heading('Usage by customer, in the present month')
  await showCustomerUsage(billing)
  heading('Usage by endpoint')
  await showEndpointUsage(billing)
  await billing.close()
}

if (require.main === module) void main(process.argv.slice(2))
