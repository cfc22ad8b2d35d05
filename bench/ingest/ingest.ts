import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { createCustomers, openBilling } from '../customers.js'
import { temporaryDirectory } from '../directories.js'
import { countEvents, CUSTOMERS, event, fill } from '../events.js'
import type { PartOptions } from '../options.js'
import type { Table } from '../table.js'
import { bareDatabase, type BareDatabase } from './bareDatabase.js'
import { latency } from './latency.js'
import { type OpenStores, type Stores, throughput } from './throughput.js'

const SMALL = 10_000
/** Events with ids of the caller's own that the large store gets: their index must not be empty. */
const FOREIGN = 1_000_000
const QUICK_FOREIGN = 20_000
const BATCH = 10_000

export async function ingest({ quick, store }: PartOptions): Promise<Table[]> {
  const rounds = quick ? 3 : 5
  const { stores: large, size } = await largeStores(store, quick ? QUICK_FOREIGN : FOREIGN)
  const again: OpenStores = async () => ({ ...large, close: async () => {} })
  const tables = [
    await throughput(batchesInto(SMALL), smallStores, { rounds, events: 10_000 }),
    await throughput(batchesInto(size), again, { rounds, events: quick ? 10_000 : 40_000 }),
    await latency(`ingest: latency of one event into ${text(size)} events`, large.billing, quick),
  ]
  await large.close()
  return tables
}

function batchesInto(events: number): string {
  return `ingest: batches into ${text(events)} events`
}

function text(events: number): string {
  return events.toLocaleString('en')
}

async function smallStores(): Promise<Stores> {
  const directory = temporaryDirectory()
  const billing = openBilling({ dir: directory })
  await createCustomers(billing, 0, CUSTOMERS)
  await fill(billing, SMALL)
  return pair(billing, filledDatabase(join(directory, 'bare.db'), SMALL))
}

async function largeStores(directory: string, foreign: number): Promise<{ stores: Stores; size: number }> {
  const billing = openBilling({ dir: directory })
  await fill(billing, foreign, randomUUID)
  const size = await countEvents(billing)
  return { stores: pair(billing, filledDatabase(join(temporaryDirectory(), 'bare.db'), size)), size }
}

function pair(billing: Stores['billing'], bare: BareDatabase): Stores {
  const close = async (): Promise<void> => {
    await billing.close()
    bare.close()
  }
  return { billing, bare, close }
}

function filledDatabase(file: string, size: number): BareDatabase {
  const bare = bareDatabase(file)
  for (let first = 0; first < size; first += BATCH) {
    bare.insert(Array.from({ length: Math.min(BATCH, size - first) }, (_, index) => event(first + index)))
  }
  return bare
}
