import { DatabaseSync, type DatabaseSyncInstance } from '@photostructure/sqlite'
import { cpSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { checkAll } from '../checks/all.js'
import { checkJournalLines, readDamaged } from '../checks/journalLines.js'
import { monthStart } from '../checks/sums.js'
import { journalsPath } from '../journals.js'
import { had } from '../ledger.js'
import { someInstant } from '../months.js'
import type { Options } from '../options.js'
import { type PartResult, playRounds, type Round } from '../rounds.js'
import { Service } from '../service.js'
import { databasePath, readStore } from '../store.js'
import type { Call } from '../traffic.js'
import { type CheckName, type Violation, violation } from '../violation.js'
import { Watch } from '../watch.js'

interface Sabotage {
  what: string
  /** Who must notice; nobody else but these may. */
  noticed: CheckName[]
  alter(scene: Scene): void
}

interface Scene {
  dir: string
  database: DatabaseSyncInstance
  /** When everything happened, and the month that it lies in. */
  now: number
  period: number
  /** The marker of a call that was refused. */
  refused: string
}

const ADMITTED = `(SELECT max(sequence) FROM events WHERE customer_id = 'free')`
const OF_LARGE = `customer_id = 'large' AND meter = 'api_request'`
const COPY =
  'customer_id, id, meter, units, cost, timestamp, recorded_at, subscription_id, endpoint, agent_type, metadata'
const LEASES = `CREATE TABLE IF NOT EXISTS leases (holder TEXT, customer_id TEXT, meter TEXT, period_start INTEGER,
  period_end INTEGER, units INTEGER)`

/** Statements each of which must change something. */
const sql =
  (...statements: string[]) =>
  ({ database }: Scene): void => {
    for (const statement of statements) {
      if (database.prepare(statement).run().changes === 0) throw new Error(`changed nothing: ${statement}`)
    }
  }

const SABOTAGES: Sabotage[] = [
  { what: 'nothing', noticed: [], alter: () => {} },
  {
    what: 'an event is deleted',
    noticed: ['answers', 'sums'],
    alter: sql(`DELETE FROM events WHERE sequence = ${ADMITTED}`),
  },
  {
    what: 'an event is deleted and all sums are mended',
    noticed: ['answers', 'stranded'],
    alter: ({ database }) => {
      const [event] = database
        .prepare(`SELECT sequence, units, cost, timestamp FROM events WHERE ${OF_LARGE} AND units = 1`)
        .all() as { sequence: number; units: number; cost: string; timestamp: number }[]
      if (event === undefined) throw new Error('there is no such event')
      database.prepare('DELETE FROM events WHERE sequence = ?').run(event.sequence)
      const hour = Math.floor(event.timestamp / 3_600_000) * 3_600_000
      for (const [table, where] of [
        ['period_counters', OF_LARGE],
        [
          'hourly_rollups',
          `${OF_LARGE} AND hour = ${hour} AND endpoint = (SELECT max(endpoint) FROM hourly_rollups WHERE ${OF_LARGE} AND hour = ${hour})`,
        ],
      ]) {
        const row = database.prepare(`SELECT units, cost FROM ${table} WHERE ${where}`).get() as { cost: string }
        const cost = (Number(row.cost) - Number(event.cost)).toFixed(2)
        const events = table === 'hourly_rollups' ? ', events = events - 1' : ''
        database.prepare(`UPDATE ${table} SET units = units - 1, cost = ?${events} WHERE ${where}`).run(cost)
      }
    },
  },
  {
    what: 'an event is there twice',
    noticed: ['once', 'sums'],
    alter: sql(`INSERT INTO events (${COPY}) SELECT ${COPY} FROM events WHERE sequence = ${ADMITTED}`),
  },
  {
    what: 'an event has more units',
    noticed: ['answers', 'sums'],
    alter: sql(`UPDATE events SET units = units + 1 WHERE sequence = ${ADMITTED}`),
  },
  {
    what: 'an event costs more',
    noticed: ['sums'],
    alter: sql(`UPDATE events SET cost = '7' WHERE sequence = ${ADMITTED}`),
  },
  {
    what: 'an event is of nobody',
    noticed: ['answers'],
    alter: sql(`UPDATE events SET metadata = NULL WHERE sequence = ${ADMITTED}`),
  },
  {
    what: 'a refused call is recorded',
    noticed: ['answers', 'sums'],
    alter: (scene) => insertRefused(scene, 1),
  },
  {
    what: 'more is admitted than the limit of somebody who may exceed it by what is recorded',
    noticed: ['answers', 'limits', 'sums'],
    alter: (scene) => insertRefused(scene, 1_000),
  },
  {
    what: 'an event is of another month',
    noticed: ['sums', 'times'],
    alter: sql(`UPDATE events SET timestamp = timestamp - 31 * 86400000 WHERE sequence = ${ADMITTED}`),
  },
  {
    what: 'a counter is lower',
    noticed: ['sums', 'stranded'],
    alter: sql(`UPDATE period_counters SET units = units - 1 WHERE ${OF_LARGE}`),
  },
  {
    what: 'a counter is past its limit',
    noticed: ['limits', 'limits meanwhile', 'sums'],
    alter: sql(`UPDATE period_counters SET units = units + 1 WHERE ${OF_LARGE}`),
  },
  {
    what: 'a counter is missing',
    noticed: ['sums', 'stranded'],
    alter: sql(`DELETE FROM period_counters WHERE ${OF_LARGE}`),
  },
  {
    what: 'a rollup is lower',
    noticed: ['sums'],
    alter: sql(`UPDATE hourly_rollups SET events = events - 1 WHERE ${OF_LARGE}`),
  },
  {
    what: 'units are leased to nobody',
    noticed: ['leftovers', 'limits meanwhile'],
    alter: ({ database, period }) => {
      database.exec(LEASES)
      database
        .prepare(
          'INSERT INTO leases (holder, customer_id, meter, period_start, period_end, units) VALUES (?, ?, ?, ?, ?, ?)',
        )
        .run('nobody', 'large', 'api_request', period, period, 1)
    },
  },
  {
    what: 'a journal is left behind',
    noticed: ['leftovers'],
    alter: ({ dir }) => mkdirSync(join(journalsPath(dir), 'nobody'), { recursive: true }),
  },
]

function insertRefused({ database, now, refused }: Scene, units: number): void {
  database
    .prepare(
      `INSERT INTO events (customer_id, meter, units, cost, timestamp, recorded_at, metadata)
       VALUES ('exceeding', 'agent_execution', ?, '0.25', ?, 0, ?)`,
    )
    .run(units, now, JSON.stringify({ userAgent: refused }))
}

/** Breaks a good round's store in one way after another, and looks who notices. */
export async function sabotage(options: Options): Promise<PartResult> {
  return playRounds('sabotage', { ...options, rounds: 1 }, play)
}

async function play(round: Round): Promise<Violation[]> {
  const now = someInstant(round.random)
  const service = await Service.open(round, 2, () => now)
  service.watch.start()
  service.startAll()
  await service.load.attempts(300)
  await service.load.stop()
  await service.fill(monthStart(now))
  await service.close()

  const { ledger, customers } = service
  const refused = ledger.entries().find((entry) => had(entry, 'refused') && isOneExecution(entry.call))
  if (refused === undefined) throw new Error('nobody was refused')
  const unnoticed: string[] = []
  for (const [index, { what, noticed, alter }] of SABOTAGES.entries()) {
    const dir = `${round.dir}-${index}`
    cpSync(round.dir, dir, { recursive: true })
    const database = new DatabaseSync(databasePath(dir))
    alter({ dir, database, now, period: monthStart(now), refused: refused.call.marker })
    database.close()
    const watch = new Watch(dir, customers)
    watch.look()
    watch.stop()
    const seen = [...checkAll(readStore(dir), service.known), ...watch.violations].map(({ check }) => check)
    round.tally.add('ways to break a store')
    unnoticed.push(...compare(what, noticed, seen))
    rmSync(dir, { recursive: true })
  }
  return violation('sabotage', [...unnoticed, ...breakLines(round)])
}

function isOneExecution({ customer, kind, meter, units }: Call): boolean {
  return customer.id === 'exceeding' && kind === 'consume' && meter === 'agent_execution' && units === 1
}

/** The same with lines of a journal. */
function breakLines({ tally }: Round): string[] {
  const before = Buffer.from([1, 2, 3].map((number) => journalLine(`torture-lines-${number}`)).join(''))
  const flipped = Buffer.from(before)
  flipped.writeUInt8(flipped.readUInt8(40) ^ 1, 40)
  const torn = before.subarray(0, before.length - 5)
  const all = ['torture-lines-1', 'torture-lines-2', 'torture-lines-3']
  const cases: [
    what: string,
    after: Buffer,
    before: string[],
    recorded: string[],
    rejected: number,
    noticed: boolean,
  ][] = [
    ['whole lines, all recorded', before, [], all, 0, false],
    ['whole lines, one not recorded', before, [], all.slice(1), 0, true],
    ['a torn line that was set aside', torn, [], all.slice(0, 2), 1, false],
    ['a torn line that was not', torn, [], all.slice(0, 2), 0, true],
    ['a flipped bit that was noticed', flipped, [], all.slice(1), 1, false],
    ['a flipped bit that was not', flipped, [], all.slice(1), 0, true],
    ['a flipped bit in what is recorded already', flipped, all.slice(0, 1), all, 0, false],
    ['more set aside than was broken', flipped, [], all.slice(1), 2, true],
  ]
  return cases.flatMap(([what, after, recordedBefore, recorded, rejected, noticed]) => {
    tally.add('ways to break a journal')
    const lines = readDamaged([{ before, after }], new Set(recordedBefore))
    const seen = checkJournalLines(lines, new Set(recorded), rejected).map(({ check }) => check)
    return compare(what, noticed ? ['journal lines'] : [], seen)
  })
}

function journalLine(marker: string): string {
  const entry = JSON.stringify({ sequence: 1, metadata: JSON.stringify({ userAgent: marker }) })
  return `{"checksum":"${crc32(entry).toString(16).padStart(8, '0')}","entry":${entry}}\n`
}

function compare(what: string, noticed: CheckName[], seen: CheckName[]): string[] {
  const [one, other] = [noticed, seen].map((names) => [...new Set(names)].sort().join(', ') || 'nobody')
  return one === other ? [] : [`${what}: noticed by ${other}, not ${one}`]
}
