import { join } from 'node:path'
import { createCustomers, openBilling } from '../customers.js'
import { temporaryDirectory } from '../directories.js'
import { countEvents, CUSTOMERS, event, fill } from '../events.js'
import type { PartOptions } from '../options.js'
import type { Table } from '../table.js'
import { bareDatabase, type BareDatabase } from './bareDatabase.js'
import { latency } from './latency.js'
import { type Effort, type Stores, throughput } from './throughput.js'

const SMALL = 10_000
const BATCH = 10_000

export async function ingest({ quick, store }: PartOptions): Promise<Table[]> {
  const effort: Effort = quick ? { rounds: 3, events: 10_000 } : { rounds: 5, events: 40_000 }
  const tables: Table[] = []
  for (const stores of [await smallStores(), await largeStores(store)]) {
    tables.push(await throughput(stores, effort))
    tables.push({ ...(await latency(stores.billing, quick)), title: latencyTitle(stores) })
    await stores.billing.close()
    stores.bare.close()
  }
  return tables
}

function latencyTitle({ size }: Stores): string {
  return `ingest: latency of one event into ${size.toLocaleString('en')} events`
}

async function smallStores(): Promise<Stores> {
  const directory = temporaryDirectory()
  const billing = openBilling({ dir: directory })
  await createCustomers(billing, 0, CUSTOMERS)
  await fill(billing, SMALL)
  return { billing, bare: filledDatabase(join(directory, 'bare.db'), SMALL), size: SMALL }
}

async function largeStores(directory: string): Promise<Stores> {
  const billing = openBilling({ dir: directory })
  const size = await countEvents(billing)
  return { billing, bare: filledDatabase(join(temporaryDirectory(), 'bare.db'), size), size }
}

function filledDatabase(file: string, size: number): BareDatabase {
  const bare = bareDatabase(file)
  for (let first = 0; first < size; first += BATCH) {
    bare.insert(Array.from({ length: Math.min(BATCH, size - first) }, (_, index) => event(first + index)))
  }
  return bare
}
