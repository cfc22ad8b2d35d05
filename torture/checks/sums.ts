import type { Contents } from '../store.js'
import { type Violation, violation } from '../violation.js'

const DECIMALS = 12
const HOUR = 3_600_000

interface Sum {
  events: number
  units: number
  /** Trillionths, so that sums are exact. */
  cost: bigint
}

/** Counters are the sums of the events of each calendar month (UTC), rollups those of each hour. */
export function checkSums({ events, counters, rollups }: Contents): Violation[] {
  const months = new Map<string, Sum>()
  const hours = new Map<string, Sum>()
  for (const { customerId, meter, units, cost, timestamp } of events) {
    add(months, `${customerId} ${meter} ${day(monthStart(timestamp))}`, 1, units, cost)
    add(hours, `${customerId} ${meter} ${instant(Math.floor(timestamp / HOUR) * HOUR)}`, 1, units, cost)
  }
  const counted = new Map<string, Sum>()
  for (const { customerId, meter, periodStart, units, cost } of counters) {
    const name = `${customerId} ${meter} ${day(periodStart)}`
    // How many events they sum is what counters do not know.
    add(counted, name, months.get(name)?.events ?? 0, units, cost)
  }
  const rolled = new Map<string, Sum>()
  for (const { customerId, meter, hour, events, units, cost } of rollups) {
    add(rolled, `${customerId} ${meter} ${instant(hour)}`, events, units, cost)
  }
  return violation('sums', [...differences('counter', counted, months), ...differences('rollup', rolled, hours)])
}

export function monthStart(timestamp: number): number {
  const date = new Date(timestamp)
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1)
}

function add(sums: Map<string, Sum>, name: string, events: number, units: number, cost: string): void {
  const sum = sums.get(name) ?? { events: 0, units: 0, cost: 0n }
  sums.set(name, { events: sum.events + events, units: sum.units + units, cost: sum.cost + trillionths(cost) })
}

function differences(what: string, found: Map<string, Sum>, expected: Map<string, Sum>): string[] {
  return [...new Set([...found.keys(), ...expected.keys()])].flatMap((name) => {
    const [one, other] = [inWords(found.get(name)), inWords(expected.get(name))]
    return one === other ? [] : [`${what} ${name}: ${one}, its events: ${other}`]
  })
}

/** What was never used and what was used zero times are the same. */
function inWords(sum: Sum | undefined): string {
  const { events, units, cost } = sum ?? { events: 0, units: 0, cost: 0n }
  return `${events} events, ${units} units, ${cost} trillionths`
}

function trillionths(decimal: string): bigint {
  const [whole = '0', fraction = ''] = decimal.split('.')
  return BigInt(whole + fraction.padEnd(DECIMALS, '0'))
}

function day(timestamp: number): string {
  return new Date(timestamp).toISOString().slice(0, 10)
}

function instant(timestamp: number): string {
  return new Date(timestamp).toISOString()
}
