// One operation without HTTP, against limiters that keep their counts in a database.
import type { Billing } from '../../index.mjs'
import { temporaryDirectory } from '../directories.js'
import { customerName } from '../customers.js'
import { type Limiter, memoryLimiter, postgresLimiter, sqliteLimiter } from '../limiters.js'
import { startPostgres } from '../postgres.js'
import type { Goal, Row, Table } from '../table.js'
import { compare, type Comparison, type Effort, ratio, typical } from './comparison.js'
import { middlewareSubject, plainExchange } from './exchanges.js'
import { CONCURRENCY, type Subject } from './subject.js'

const OWN = 'Weighbridge, middleware'
const CONSUME = 'Weighbridge, consume'
const SQLITE = 'rate-limiter-flexible, SQLite'
const POSTGRES = 'rate-limiter-flexible, PostgreSQL'
/** Times faster than a limiter with a database. */
const GOAL = 20

export async function operations(billing: Billing, keys: string[], effort: Effort): Promise<Table> {
  const notes = [`${effort.rounds} rounds of ${effort.calls} calls, ${CONCURRENCY} under way at a time.`]
  const postgres = await startPostgres(temporaryDirectory()).catch((error: Error) => {
    notes.push(`Not measured: ${POSTGRES}. ${error.message}`)
  })
  const settle = (): Promise<void> => billing.flush()
  const exchanges = keys.map((key) => plainExchange(key, '/api/execute'))
  const subjects = [
    middlewareSubject(OWN, billing.middleware(), exchanges, settle),
    { ...consumeSubject(billing, keys.length), settle },
    limiterSubject('rate-limiter-flexible, memory', memoryLimiter(), keys),
    limiterSubject(SQLITE, await sqliteLimiter(temporaryDirectory()), keys),
  ]
  if (postgres) subjects.push(limiterSubject(POSTGRES, await postgresLimiter(postgres.url), keys))
  try {
    return operationsTable(await compare(subjects, effort), notes)
  } finally {
    await postgres?.stop()
  }
}

function operationsTable(comparison: Comparison, notes: string[]): Table {
  const rows = comparison.names.map((name): Row => ({
    operation: name,
    'wall ns/call': Math.round(typical(comparison, name, 'wall')),
    'event loop ns/call': Math.round(typical(comparison, name, 'loop')),
    "wall, times the middleware's": ratio(comparison, name, OWN, 'wall'),
    "event loop, times the middleware's": ratio(comparison, name, OWN, 'loop'),
  }))
  const peers = [SQLITE, POSTGRES].filter((name) => comparison.names.includes(name))
  const goals = peers.flatMap((peer) => [OWN, CONSUME].map((own) => speedGoal(comparison, own, peer)))
  return { title: 'micro: one operation without HTTP', notes, rows, goals }
}

function speedGoal(comparison: Comparison, own: string, peer: string): Goal {
  const times = ratio(comparison, peer, own, 'wall')
  return {
    what: `${own} against ${peer}`,
    goal: `${GOAL} times as fast`,
    measured: times.toFixed(1),
    met: times >= GOAL,
  }
}

function consumeSubject(billing: Billing, customers: number): Subject {
  const names = Array.from({ length: customers }, (_, index) => customerName(index))
  return {
    name: CONSUME,
    call: (number, done) => {
      const customerId = names[number % customers] ?? ''
      billing.usage
        .consume({ customerId, eventType: 'api_request', endpoint: '/api/execute' })
        .then(({ allowed, code }) => done(allowed ? undefined : new Error(code)), done)
    },
  }
}

function limiterSubject(name: string, limiter: Limiter, keys: string[]): Subject {
  return {
    name,
    call: (number, done) => {
      limiter.consume(keys[number % keys.length] ?? '').then(() => done(), done)
    },
  }
}
