// The store that is expensive to build: once per run, for all parts that want one.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createCustomers, openBilling } from './customers.js'
import { countEvents, CUSTOMERS, fill } from './events.js'
import type { PartOptions } from './options.js'
import type { Table } from './table.js'

const EVENTS = 10_000_000
const QUICK_EVENTS = 200_000

/** Builds it in the directory, or adds to the one that is there what it lacks. */
export async function largeStore({ store: directory, quick }: PartOptions): Promise<Table[]> {
  const isThere = existsSync(join(directory, 'weighbridge.db'))
  const wanted = quick ? QUICK_EVENTS : EVENTS
  const billing = openBilling({ dir: directory })
  const there = isThere ? await countEvents(billing) : 0
  if (there < wanted) {
    process.stderr.write(`building a store of ${wanted.toLocaleString('en')} events\n`)
    if (!isThere) await createCustomers(billing, 0, CUSTOMERS)
    await fill(billing, wanted - there)
  }
  await billing.close()
  return []
}
