// How long a caller waits for one event to be durable.
import type { Billing } from '../../index.mjs'
import { performance } from 'node:perf_hooks'
import { event } from '../events.js'
import { quantile } from '../statistics.js'
import type { Row, Table } from '../table.js'

const UNDER_WAY = [1, 64, 1_024]

export async function latency(title: string, billing: Billing, quick: boolean): Promise<Table> {
  const rows: Row[] = []
  for (const underWay of UNDER_WAY) {
    const calls = Math.max(quick ? 1_000 : 10_000, underWay * (quick ? 10 : 50))
    await latencies(billing, underWay, Math.min(calls, 2_000))
    const milliseconds = await latencies(billing, underWay, calls)
    rows.push({
      'under way': underWay,
      calls,
      'p50 ms': quantile(milliseconds, 0.5),
      'p95 ms': quantile(milliseconds, 0.95),
      'p99 ms': quantile(milliseconds, 0.99),
      'max ms': quantile(milliseconds, 1),
    })
  }
  const notes = ['`usage.recordEvent`, from the call to its promise: another one begins as soon as one has ended.']
  return { title, notes, rows, goals: [] }
}

async function latencies(billing: Billing, underWay: number, calls: number): Promise<number[]> {
  const milliseconds: number[] = []
  let begun = 0
  const caller = async (): Promise<void> => {
    while (begun < calls) {
      begun += 1
      const began = performance.now()
      await billing.usage.recordEvent(event(begun))
      milliseconds.push(performance.now() - began)
    }
  }
  await Promise.all(Array.from({ length: underWay }, caller))
  return milliseconds
}
