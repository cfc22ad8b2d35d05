// Requests through Express with 1, 2 and 4 processes on one store.
import { temporaryDirectory } from '../directories.js'
import { load, type Sample, type Server, startServer, stopServer } from '../http/load.js'
import { pin } from '../machine.js'
import { median } from '../statistics.js'
import type { Row, Table } from '../table.js'
import { type Database, workOf } from './database.js'
import { EMBEDDED, PEER, SHARED } from './variants.js'

const PROCESSES = [1, 2, 4]
const CONNECTIONS = 48
const SERVER_CORE = 0
const LOAD_CORE = 1
/** Of the embedded store's rate with as many processes. */
const GOAL = 0.9

interface Measured {
  rate: number
  cpuMicroseconds: number
  p99: number
  /** The share of requests that were not answered 200: where the machine is too slow, the store's deadline passes. */
  failed: number
  /** Milliseconds of the database's processor time for a thousand requests. */
  databaseMilliseconds: number
  /** Transactions a second. */
  commits: number
}

export async function processes(database: Database, quick: boolean): Promise<Table[]> {
  const effort = quick ? { rounds: 3, seconds: 2 } : { rounds: 5, seconds: 5 }
  const rows: Row[] = []
  const table: Table = {
    title: 'shared: requests through Express, several processes on one store',
    notes: [],
    rows,
    goals: [],
  }
  table.notes.push(
    `${effort.rounds} rounds of ${effort.seconds} s, ${CONNECTIONS} connections in all, 1,000 customers. All servers share one ` +
      'core, the load and the database the other one, so more processes add nothing but their own cost.',
  )
  pin(process.pid, LOAD_CORE)
  for (const count of PROCESSES) {
    const measured = await rounds(database, count, effort)
    const middle = (variant: string, figure: keyof Measured): number =>
      median((measured.get(variant) ?? []).map((sample) => sample[figure]))
    const ratio = (variant: string, other: string): number =>
      median((measured.get(variant) ?? []).map(({ rate }, round) => rate / (measured.get(other)?.[round]?.rate ?? NaN)))
    for (const variant of measured.keys()) {
      rows.push({
        processes: count,
        variant,
        'requests/s': Math.round(middle(variant, 'rate')),
        'of SQLite': ratio(variant, EMBEDDED),
        'CPU µs/request': middle(variant, 'cpuMicroseconds'),
        'p99 ms': middle(variant, 'p99'),
        'failed %': middle(variant, 'failed') * 100,
        'database CPU ms/1,000 requests': variant === EMBEDDED ? '' : middle(variant, 'databaseMilliseconds'),
        'transactions/s': variant === EMBEDDED ? '' : middle(variant, 'commits'),
      })
    }
    const own = ratio(SHARED, EMBEDDED)
    table.goals.push({
      what: `${count} on PostgreSQL, of as many on SQLite`,
      goal: `at least ${GOAL}`,
      measured: own.toFixed(3),
      met: own >= GOAL,
    })
  }
  return [table]
}

async function rounds(
  database: Database,
  count: number,
  effort: { rounds: number; seconds: number },
): Promise<Map<string, Measured[]>> {
  const directory = temporaryDirectory()
  const variants = [EMBEDDED, SHARED, PEER]
  const measured = new Map<string, Measured[]>(variants.map((variant) => [variant, []]))
  const servers = new Map<string, Server[]>()
  for (const variant of variants) {
    const started = Array.from({ length: count }, () => startServer(variant, database.url, directory))
    servers.set(variant, await Promise.all(started))
  }
  for (const server of [...servers.values()].flat()) pin(server.process.pid, SERVER_CORE)
  for (const group of servers.values()) await loadAll(group, 1)
  for (let round = 0; round < effort.rounds; round += 1) {
    const first = round % variants.length
    for (const variant of [...variants.slice(first), ...variants.slice(0, first)]) {
      const before = await workOf(database)
      const samples = await loadAll(servers.get(variant) ?? [], effort.seconds)
      const after = await workOf(database)
      measured.get(variant)?.push(together(samples, before, after, effort.seconds))
    }
    process.stderr.write(`shared: ${count} processes, round ${round + 1} of ${effort.rounds}\n`)
  }
  for (const server of [...servers.values()].flat()) await stopServer(server)
  return measured
}

function loadAll(servers: Server[], seconds: number): Promise<Sample[]> {
  return Promise.all(servers.map((server) => load(server, CONNECTIONS / servers.length, seconds)))
}

function together(
  samples: Sample[],
  before: { seconds: number; commits: number },
  after: { seconds: number; commits: number },
  seconds: number,
): Measured {
  const rate = samples.reduce((sum, sample) => sum + sample.rate, 0)
  const cpu = samples.reduce((sum, sample) => sum + sample.cpuMicroseconds * sample.rate, 0)
  return {
    rate,
    cpuMicroseconds: cpu / rate,
    p99: Math.max(...samples.map((sample) => sample.p99)),
    failed: Math.max(...samples.map((sample) => sample.failed)),
    databaseMilliseconds: ((after.seconds - before.seconds) * 1_000) / ((rate * seconds) / 1_000),
    commits: (after.commits - before.commits) / seconds,
  }
}
