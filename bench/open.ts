// What opening a large store takes, in time and memory, and how much room its events take on the disk.
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { openBilling } from './customers.js'
import { countEvents } from './events.js'
import type { PartOptions } from './options.js'
import { median } from './statistics.js'
import type { Goal, Table } from './table.js'

const OPENINGS = 9
const MEBIBYTE = 2 ** 20
/** Milliseconds. */
const GOAL = 100

export async function open({ store }: PartOptions): Promise<Table[]> {
  const before = residentMebibytes()
  const first = await openAndClose(store)
  const milliseconds = [first.milliseconds]
  for (let opening = 1; opening < OPENINGS; opening += 1) milliseconds.push((await openAndClose(store)).milliseconds)
  const bytes = statSync(join(store, 'weighbridge.db')).size
  const events = await eventsOf(store)
  const worst = Math.max(...milliseconds)
  const rows = [
    { what: 'events in the store', figure: events },
    { what: 'first opening in the process, ms', figure: first.milliseconds },
    { what: `median of ${OPENINGS} openings, ms`, figure: median(milliseconds) },
    { what: `longest of ${OPENINGS} openings, ms`, figure: worst },
    { what: 'memory before (RSS), MiB', figure: before },
    { what: 'memory after the first opening (RSS), MiB', figure: first.mebibytes },
    { what: 'database file when closed, MiB', figure: bytes / MEBIBYTE },
    { what: 'bytes of it for each event', figure: bytes / events },
  ]
  const goal: Goal = {
    what: 'opening the store',
    goal: `at most ${GOAL} ms`,
    measured: `${worst.toFixed(1)} ms at the longest`,
    met: worst <= GOAL,
  }
  const notes = ['From `new Billing()` to `await ready()`. The file may be in the cache of the system.']
  return [{ title: 'open: a large store', notes, rows, goals: [goal] }]
}

async function openAndClose(directory: string): Promise<{ milliseconds: number; mebibytes: number }> {
  const began = performance.now()
  const billing = openBilling({ dir: directory })
  await billing.ready()
  const milliseconds = performance.now() - began
  const mebibytes = residentMebibytes()
  await billing.close()
  return { milliseconds, mebibytes }
}

async function eventsOf(directory: string): Promise<number> {
  const billing = openBilling({ dir: directory })
  const events = await countEvents(billing)
  await billing.close()
  return events
}

function residentMebibytes(): number {
  return process.memoryUsage.rss() / MEBIBYTE
}
