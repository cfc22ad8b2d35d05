// Requests per second through Express: each variant in a process of its own, rounds interleaved and rotated, so that what
// else the machine does meets all of them alike.
import type { PartOptions } from '../options.js'
import { temporaryDirectory } from '../directories.js'
import { pin } from '../machine.js'
import { type Postgres, startPostgres } from '../postgres.js'
import { median } from '../statistics.js'
import type { Goal, Row, Table } from '../table.js'
import { load, type Sample, type Server, startServer, stopServer } from './load.js'
import { AGAIN, BASE, bearsConcurrency, needsPostgres, OWN, VARIANTS } from './variants.js'

const SERVER_CORE = 0
const LOAD_CORE = 1
const CONNECTIONS = 50
const WARM_UP_SECONDS = 1
/** Of the no-op's rate, and of its 99th percentile. */
const RATE_GOAL = 0.97
const P99_GOAL = 1.1
/** Of each peer's rate. */
const PEER_GOALS: Record<string, number> = {
  'express-rate-limit, memory': 1,
  'rate-limiter-flexible, memory': 1,
  'rate-limiter-flexible, SQLite': 2,
  'rate-limiter-flexible, PostgreSQL': 2.5,
  'JSON files, 10,000 customers': 250,
}

interface Effort {
  rounds: number
  seconds: number
}

export async function http({ quick }: PartOptions): Promise<Table[]> {
  const effort = quick ? { rounds: 3, seconds: 1 } : { rounds: 9, seconds: 4 }
  const notes = [
    `${effort.rounds} rounds of ${effort.seconds} s, ${CONNECTIONS} connections, and 1 where the server bears no more.`,
  ]
  const postgres = await startPostgres(temporaryDirectory(), LOAD_CORE).catch((error: Error) => {
    notes.push(`Not measured: rate-limiter-flexible on PostgreSQL. ${error.message}`)
  })
  try {
    const servers = await startServers(postgres ?? undefined)
    pin(process.pid, LOAD_CORE)
    for (const { process: server } of servers.values()) pin(server.pid, SERVER_CORE)
    const samples = await playRounds(servers, effort)
    notes.push(...(await failures(servers, effort.seconds)))
    for (const server of servers.values()) await stopServer(server)
    return [ratesTable(samples, notes), peersTable(samples)]
  } finally {
    await postgres?.stop()
  }
}

async function startServers(postgres: Postgres | undefined): Promise<Map<string, Server>> {
  const names = Object.keys(VARIANTS).filter((name) => postgres !== undefined || !needsPostgres(name))
  const started = names.map(async (name) => [name, await startServer(name, postgres?.url ?? '')] as const)
  return new Map(await Promise.all(started))
}

async function playRounds(servers: Map<string, Server>, effort: Effort): Promise<Map<string, Sample[]>> {
  for (const [name, server] of servers) await load(server, connectionsOf(name), WARM_UP_SECONDS)
  const entries = [...servers]
  const samples = new Map<string, Sample[]>(entries.map(([name]) => [name, []]))
  for (let round = 0; round < effort.rounds; round += 1) {
    // Another one begins each round.
    const first = round % entries.length
    for (const [name, server] of [...entries.slice(first), ...entries.slice(0, first)]) {
      const sample = await load(server, connectionsOf(name), effort.seconds)
      if (sample.failed > 0) throw new Error(`${name}: ${sample.failed * 100} % of the requests failed`)
      samples.get(name)?.push(sample)
    }
    process.stderr.write(`http: round ${round + 1} of ${effort.rounds}\n`)
  }
  return samples
}

/** What becomes of servers that do not bear concurrency if they meet it nevertheless. */
async function failures(servers: Map<string, Server>, seconds: number): Promise<string[]> {
  const notes: string[] = []
  for (const [name, server] of servers) {
    if (bearsConcurrency(name)) continue
    const { failed } = await load(server, CONNECTIONS, seconds)
    const share = Number.isNaN(failed)
      ? 'no request is answered'
      : `${(failed * 100).toFixed(0)} % of the requests fail`
    notes.push(`${name}: with ${CONNECTIONS} connections and ${seconds} s ${share}.`)
  }
  return notes
}

function connectionsOf(variant: string): number {
  return bearsConcurrency(variant) ? CONNECTIONS : 1
}

/** The median of the ratios of two variants in the same rounds. */
function ratio(samples: Map<string, Sample[]>, one: string, other: string, figure: 'rate' | 'p99'): number {
  const others = samples.get(other) ?? []
  return median((samples.get(one) ?? []).map((sample, round) => sample[figure] / (others[round]?.[figure] ?? NaN)))
}

function ratesTable(samples: Map<string, Sample[]>, notes: string[]): Table {
  const rows = [...samples].map(([variant, own]): Row => {
    const middle = (figure: keyof Sample): number => median(own.map((sample) => sample[figure]))
    return {
      variant,
      connections: connectionsOf(variant),
      'requests/s': Math.round(middle('rate')),
      'of no-op': ratio(samples, variant, BASE, 'rate'),
      'p99 of no-op': ratio(samples, variant, BASE, 'p99'),
      'CPU µs/request': middle('cpuMicroseconds'),
      'p50 ms': middle('p50'),
      'p99 ms': middle('p99'),
    }
  })
  const own = ratio(samples, OWN, BASE, 'rate')
  const noise = ratio(samples, AGAIN, BASE, 'rate')
  const p99 = ratio(samples, OWN, BASE, 'p99')
  const p99Noise = ratio(samples, AGAIN, BASE, 'p99')
  const goals: Goal[] = [
    {
      what: 'rate of the no-op middleware',
      goal: `at least ${RATE_GOAL}`,
      measured: `${own.toFixed(3)} (the no-op itself a second time: ${noise.toFixed(3)})`,
      met: Math.abs(noise - 1) > 1 - RATE_GOAL ? null : own >= RATE_GOAL,
    },
    {
      what: 'p99 of the no-op middleware',
      goal: `at most ${P99_GOAL}`,
      measured: `${p99.toFixed(3)} (the no-op itself a second time: ${p99Noise.toFixed(3)})`,
      met: Math.abs(p99Noise - 1) > P99_GOAL - 1 ? null : p99 <= P99_GOAL,
    },
  ]
  return { title: 'http: requests through Express', notes, rows, goals }
}

function peersTable(samples: Map<string, Sample[]>): Table {
  const peers = [...samples.keys()].filter((name) => ![OWN, BASE, AGAIN, 'bare'].includes(name))
  const times = (peer: string): number => ratio(samples, OWN, peer, 'rate')
  const rows = peers.map((peer) => ({ peer, "Weighbridge's rate, times the peer's": times(peer) }))
  const goals = peers.flatMap((peer): Goal[] => {
    const goal = PEER_GOALS[peer]
    if (goal === undefined) return []
    const measured = times(peer)
    return [{ what: peer, goal: `at least ${goal} times`, measured: measured.toFixed(2), met: measured >= goal }]
  })
  return { title: 'http: Weighbridge against each peer', notes: [], rows, goals }
}
