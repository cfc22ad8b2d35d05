import type { Billing } from '../../index.mjs'
import Database from 'better-sqlite3'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { openBilling } from '../customers.js'
import { temporaryDirectory } from '../directories.js'
import { median } from '../statistics.js'
import type { Goal, Table } from '../table.js'
import { byEndpoint, byMetadata } from './catalogs.js'
import { GOAL } from './simulate.js'
import { FROM, recordUsage, TO } from './usage.js'

const MEBIBYTE = 2 ** 20
const SQL = `
  SELECT customer_id, meter, endpoint, json_extract(metadata, '$.model') AS model, count(*), sum(units) FROM events
  WHERE timestamp >= ? AND timestamp < ? GROUP BY customer_id, meter, endpoint, model`
const ROWS = `
  SELECT customer_id, meter, endpoint, metadata, units FROM events WHERE timestamp >= ? AND timestamp < ?`

interface Variant {
  name: string
  /** Answers with how many events it has seen. */
  run(): Promise<number>
}

export async function recorded(count: number, rounds: number): Promise<Table> {
  const directory = temporaryDirectory()
  const recording = openBilling({ dir: directory })
  await recordUsage(recording, count)
  await recording.close()
  // Two copies of SQLite in one process must not open the same file: closing it in one takes away the other's locks.
  const copy = join(temporaryDirectory(), 'copy.db')
  copyFileSync(join(directory, 'weighbridge.db'), copy)
  const database = new Database(copy, { readonly: true })
  const billing = openBilling({ dir: directory })
  const variants = [
    simulation('Weighbridge, each event by its metadata', billing, byMetadata),
    simulation('Weighbridge, two catalogs by metadata', billing, byMetadata, byEndpoint),
    simulation('Weighbridge, hourly sums', billing, byEndpoint),
    { name: 'better-sqlite3, sums in SQL', run: () => Promise.resolve(inSql(database)) },
    { name: 'better-sqlite3, sums in JavaScript', run: () => Promise.resolve(inJavaScript(database)) },
  ]
  const rates = new Map<string, number[]>(variants.map(({ name }) => [name, []]))
  const memory = new Map<string, number>()
  for (let round = 0; round < rounds; round += 1) {
    for (let place = 0; place < variants.length; place += 1) {
      const variant = variants[(round + place) % variants.length]
      if (variant === undefined) continue
      const { rate, mebibytes } = await measured(variant, count)
      rates.get(variant.name)?.push(rate)
      memory.set(variant.name, Math.max(memory.get(variant.name) ?? 0, mebibytes))
    }
  }
  database.close()
  await billing.close()
  const base = rates.get('better-sqlite3, sums in SQL') ?? []
  const rows = variants.map(({ name }) => {
    const own = rates.get(name) ?? []
    return {
      variant: name,
      'events/s': Math.round(median(own)),
      'of SQL': median(own.map((rate, round) => rate / (base[round] ?? NaN))),
      'resident MiB': memory.get(name) ?? NaN,
    }
  })
  const rate = median(rates.get(variants[0]?.name ?? '') ?? [])
  const goal: Goal = {
    what: 'events a second that are priced anew, each by its metadata',
    goal: `at least ${GOAL.toLocaleString('en')}`,
    measured: Math.round(rate).toLocaleString('en'),
    met: rate >= GOAL,
  }
  const notes = [
    `${rounds} rounds over ${count.toLocaleString('en')} events of 1,000 customers in SQLite. What better-sqlite3 does is only the adding up: it prices nothing.`,
  ]
  return { title: 'simulate: recorded events', notes, rows, goals: [goal] }
}

function simulation(name: string, billing: Billing, catalog: typeof byEndpoint, baseline?: typeof byEndpoint): Variant {
  const question = {
    catalog,
    tierId: 'pro',
    from: FROM,
    to: TO,
    limit: 10,
    ...(baseline && { baseline: { catalog: baseline, tierId: 'pro' } }),
  }
  return { name, run: async () => (await billing.simulate(question)).events }
}

/** The most that is resident is looked for every few milliseconds, where the thread is free. */
async function measured({ name, run }: Variant, count: number): Promise<{ rate: number; mebibytes: number }> {
  globalThis.gc?.()
  let most = 0
  const look = (): void => void (most = Math.max(most, process.memoryUsage.rss()))
  const timer = setInterval(look, 5)
  const began = performance.now()
  const events = await run()
  const seconds = (performance.now() - began) / 1_000
  clearInterval(timer)
  look()
  if (events !== count) throw new Error(`${name} has seen ${events} of ${count} events`)
  return { rate: count / seconds, mebibytes: most / MEBIBYTE }
}

function inSql(database: Database.Database): number {
  let events = 0
  for (const row of database.prepare(SQL).raw().iterate(FROM, TO)) events += (row as number[])[4] ?? 0
  return events
}

function inJavaScript(database: Database.Database): number {
  const sums = new Map<string, number>()
  let events = 0
  for (const row of database.prepare(ROWS).raw().iterate(FROM, TO)) {
    const [customer, meter, endpoint, metadata, units] = row as [string, string, string, string, number]
    const { model } = JSON.parse(metadata) as { model: string }
    const key = `${customer} ${meter} ${endpoint} ${model}`
    sums.set(key, (sums.get(key) ?? 0) + units)
    events += 1
  }
  return events
}
