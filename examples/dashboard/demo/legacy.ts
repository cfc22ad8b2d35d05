import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { Billing, endpointPricing, type UsageEvent } from 'weighbridge'
import { type Checks, count, money, print, table } from './terminal.js'

const EVENTS = 'usage-events.json'
const SUMMARIES = 'customer-usage.json'
const OPENINGS = 3

/** What the old code wrote down for a customer. */
interface Summary {
  customerId: string
  currentPeriodStart: number
  currentPeriodEnd: number
  usage: { apiRequests: number; agentExecutions: number; dataAccessQueries: number; totalCost: number }
  limits: { apiRequests: number; agentExecutions: number }
}

/**
 * Leaves the two files that the dashboard's old usage tracking left in `logs/usage`: an event a line, two of them spoilt,
 * and its float sums. The log of `customer-789` is gone; only the sums are left.
 */
export async function writeLegacyFiles(dir: string): Promise<void> {
  const now = Date.now()
  const events = [...oldEvents('customer-123', 237, now), ...oldEvents('customer-456', 63, now)]
  const lines = events.map((event) => JSON.stringify(event))
  const torn = JSON.stringify(events[0]).slice(0, 61)
  const costless = JSON.stringify({ ...events[1], cost: NaN })
  lines.splice(100, 0, torn)
  lines.splice(200, 0, costless)

  const summaries: Record<string, Summary> = {}
  for (const event of [...events, ...oldEvents('customer-789', 48, now)]) {
    const summary = (summaries[event.customerId] ??= emptySummary(event.customerId, now))
    summary.usage.apiRequests += 1
    summary.usage.totalCost += Number(event.cost)
  }
  await mkdir(dir, { recursive: true })
  await writeFile(join(dir, EVENTS), lines.map((line) => `${line}\n`).join(''))
  await writeFile(join(dir, SUMMARIES), JSON.stringify(summaries, null, 2))
}

function oldEvents(customerId: string, amount: number, now: number): UsageEvent[] {
  const date = new Date(now)
  const month = Date.UTC(date.getUTCFullYear(), date.getUTCMonth())
  const prices = Object.entries(endpointPricing)
  return Array.from({ length: amount }, (_, index) => {
    const [endpoint, { pricePerRequest }] = prices[index % prices.length] as (typeof prices)[number]
    return {
      customerId,
      eventType: 'api_request',
      endpoint,
      timestamp: month + Math.floor(((now - month) * index) / amount),
      cost: pricePerRequest,
      metadata: { method: 'POST', userAgent: 'dashboard' },
    }
  })
}

/** With the old code's period: from the first of the month, at the present time of day. */
function emptySummary(customerId: string, now: number): Summary {
  const start = new Date(now)
  start.setDate(1)
  const end = new Date(start)
  end.setMonth(end.getMonth() + 1)
  return {
    customerId,
    currentPeriodStart: start.getTime(),
    currentPeriodEnd: end.getTime(),
    usage: { apiRequests: 0, agentExecutions: 0, dataAccessQueries: 0, totalCost: 0 },
    limits: { apiRequests: 1000, agentExecutions: 50 },
  }
}

/** Opens the directory as often as a service restarts, and shows that what lay there is counted, once. */
export async function showTakeover(dir: string, checks: Checks): Promise<void> {
  const files = [join(dir, EVENTS), join(dir, SUMMARIES)]
  const before = await fingerprint(files)
  const lines = (await readFile(join(dir, EVENTS), 'utf8')).trimEnd().split('\n').length

  const reports = []
  for (let opening = 0; opening < OPENINGS; opening += 1) {
    const billing = new Billing({ dir })
    reports.push(await billing.ready())
    await billing.close()
  }
  const [first] = reports
  if (first === undefined) return
  const rejectedFile = basename(first.rejectedFile ?? 'no file')
  print(
    `  ${EVENTS}    ${count(lines)} lines: ${count(first.events)} counted, ${count(first.rejected)} set aside in ${rejectedFile}`,
  )
  print(`  ${SUMMARIES}  customers whose log is gone: ${count(first.summaries)}, with the sums in this file`)
  print()
  await compareSums(dir, checks)

  const perOpening = reports.map(({ events, summaries }) => events + summaries)
  const later = perOpening.slice(1).reduce((sum, number) => sum + number, 0)
  checks.claim(
    later === 0 && first.events + first.rejected === lines,
    `opened ${OPENINGS} times, counted once: ${reports.map(({ events }) => count(events)).join(' + ')} events`,
    `the openings counted ${perOpening.join(', ')}`,
  )
  checks.claim((await fingerprint(files)) === before, 'the old files are as they were, to the byte')
}

/** The old sums are sums of floats; the store's are exact. */
async function compareSums(dir: string, checks: Checks): Promise<void> {
  const summaries = JSON.parse(await readFile(join(dir, SUMMARIES), 'utf8')) as Record<string, Summary>
  const billing = new Billing({ dir })
  const rows = await billing.usage.query({ from: 0, to: Date.now() + 1, groupBy: ['customerId'] })
  await billing.close()

  table(
    [
      { title: 'customer' },
      { title: 'requests', align: 'right' },
      { title: 'cost in the old file' },
      { title: 'cost now', align: 'right' },
    ],
    rows.map(({ customerId = '', units, cost }) => {
      const old = summaries[customerId]?.usage.totalCost
      return [customerId, count(units), String(old), money(cost)]
    }),
  )
  const agree = rows.every(({ customerId = '', units, cost }) => {
    const old = summaries[customerId]?.usage
    return old?.apiRequests === units && Math.abs(old.totalCost - Number(cost)) < 1e-6
  })
  checks.claim(agree, 'every customer has the requests that the old code counted')
}

async function fingerprint(paths: string[]): Promise<string> {
  const hash = createHash('sha256')
  for (const path of paths) hash.update(await readFile(path))
  return hash.digest('hex')
}
