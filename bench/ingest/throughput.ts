// Batches of events, against the bare inserting of the same rows.
import type { Billing, UsageEvent } from '../../index.mjs'
import { randomUUID } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { event } from '../events.js'
import { median } from '../statistics.js'
import type { Goal, Row, Table } from '../table.js'

const BATCHES = [100, 1_000, 10_000]
/** Batches under way at a time, where it is more than one. */
const OVERLAP = 4
/** Of the bare rate. */
const GOAL = 0.8

/** The least that keeping the same rows can cost. */
export interface Bare {
  /** In one transaction. */
  insert(events: UsageEvent[]): void | Promise<void>
}

/** The same events in either of them. */
export interface Stores {
  billing: Billing
  bare: Bare
  close(): Promise<void>
}

/** Asked anew for each row of the table: small stores would not stay small. */
export type OpenStores = () => Promise<Stores>

export interface Effort {
  rounds: number
  /** Events of each kind in each round. */
  events: number
}

export async function throughput(title: string, openStores: OpenStores, effort: Effort): Promise<Table> {
  const rows: Row[] = []
  const goals: Goal[] = []
  for (const batch of BATCHES) {
    for (const foreign of [false, true]) {
      const stores = await openStores()
      const { bare, own, overlapping } = await rates(stores, effort, () => batchesOf(batch, effort.events, foreign))
      await stores.close()
      const ratio = medianRatio(own, bare)
      const ids = foreign ? 'UUIDv4' : 'none given'
      rows.push({
        batch,
        ids,
        'bare events/s': Math.round(median(bare)),
        'Weighbridge events/s': Math.round(median(own)),
        'of bare': ratio,
        [`of bare, ${OVERLAP} batches under way`]: medianRatio(overlapping, bare),
      })
      goals.push({
        what: `batches of ${batch.toLocaleString('en')}, ids: ${ids}`,
        goal: `at least ${GOAL} of bare`,
        measured: ratio.toFixed(2),
        met: ratio >= GOAL,
      })
    }
  }
  const notes = [
    `${effort.rounds} rounds of ${effort.events.toLocaleString('en')} events, which stay in the stores. The bare inserting ` +
      'checks no ids and keeps no counters.',
  ]
  return { title, notes, rows, goals }
}

async function rates(
  { billing, bare }: Stores,
  { rounds }: Effort,
  makeBatches: () => UsageEvent[][],
): Promise<{ bare: number[]; own: number[]; overlapping: number[] }> {
  const rates = { bare: [] as number[], own: [] as number[], overlapping: [] as number[] }
  const own = (rows: UsageEvent[]): Promise<void> => record(billing, rows)
  const flush = (): Promise<void> => billing.flush()
  for (let round = 0; round < rounds; round += 1) {
    rates.bare.push(await rateOf(makeBatches(), 1, async (rows) => bare.insert(rows)))
    rates.own.push(await rateOf(makeBatches(), 1, own, flush))
    rates.overlapping.push(await rateOf(makeBatches(), OVERLAP, own, flush))
  }
  return rates
}

function medianRatio(rates: number[], others: number[]): number {
  return median(rates.map((rate, round) => rate / (others[round] ?? NaN)))
}

async function record(billing: Billing, events: UsageEvent[]): Promise<void> {
  const refused = (await billing.usage.recordEvents(events)).find(({ status }) => status !== 'recorded')
  if (refused !== undefined) throw new Error(`an event was not recorded: ${JSON.stringify(refused)}`)
}

function batchesOf(size: number, events: number, foreign: boolean): UsageEvent[][] {
  const one = (number: number): UsageEvent => event(number, foreign ? randomUUID() : undefined)
  const count = Math.max(1, Math.floor(events / size))
  return Array.from({ length: count }, (_, batch) =>
    Array.from({ length: size }, (_, index) => one(batch * size + index)),
  )
}

/** Events a second. */
async function rateOf(
  batches: UsageEvent[][],
  underWay: number,
  work: (events: UsageEvent[]) => Promise<void>,
  settle?: () => Promise<void>,
): Promise<number> {
  const total = batches.reduce((sum, batch) => sum + batch.length, 0)
  const began = performance.now()
  const worker = async (): Promise<void> => {
    for (let batch = batches.pop(); batch !== undefined; batch = batches.pop()) await work(batch)
  }
  await Promise.all(Array.from({ length: underWay }, worker))
  await settle?.()
  return total / ((performance.now() - began) / 1_000)
}
