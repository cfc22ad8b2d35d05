import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Database, quoted } from './database.js'
import { journalsPath } from './journals.js'
import type { CheckName } from './violation.js'

export interface Sabotage {
  what: string
  /** Who must notice; nobody else but these may. */
  noticed: CheckName[]
  alter(scene: Scene): void
}

/** What is to be broken. */
export interface Scene {
  dir: string
  database: Database
  /** When everything happened, and the month that it lies in. */
  now: number
  period: number
  /** The marker of a call that was refused. */
  refused: string
}

const ADMITTED = `(SELECT max(sequence) FROM events WHERE customer_id = 'free')`
const OF_LARGE = `customer_id = 'large' AND meter = 'api_request'`
const A_TENTH_LESS = 'cost = CAST(round(cost - 0.1, 2) AS TEXT)'
const COPY =
  'customer_id, id, meter, units, cost, timestamp, recorded_at, subscription_id, endpoint, agent_type, metadata'
const LEASES = `CREATE TABLE IF NOT EXISTS leases (holder TEXT, customer_id TEXT, quota TEXT, period_start INTEGER,
  period_end INTEGER, units INTEGER)`

const sql =
  (...statements: string[]) =>
  ({ database }: Scene): void => {
    for (const statement of statements) database.change(statement)
  }

export const SABOTAGES: Sabotage[] = [
  { what: 'nothing', noticed: [], alter: () => {} },
  {
    what: 'an event is deleted',
    noticed: ['answers', 'sums'],
    alter: sql(`DELETE FROM events WHERE sequence = ${ADMITTED}`),
  },
  {
    what: 'an event is deleted and all sums are mended',
    noticed: ['answers', 'stranded'],
    alter: sql(
      `DELETE FROM events WHERE sequence = (SELECT max(sequence) FROM events WHERE ${OF_LARGE} AND cost = '0.1')`,
      `UPDATE period_counters SET units = units - 1, ${A_TENTH_LESS} WHERE ${OF_LARGE}`,
      `UPDATE hourly_rollups SET units = units - 1, events = events - 1, ${A_TENTH_LESS}
       WHERE ${OF_LARGE} AND endpoint = (SELECT max(endpoint) FROM hourly_rollups WHERE ${OF_LARGE})`,
    ),
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
      database.execute(LEASES)
      database.change(
        `INSERT INTO leases (holder, customer_id, quota, period_start, period_end, units)
         VALUES ('nobody', 'large', 'api_request', ${period}, ${period}, 1)`,
      )
    },
  },
  {
    what: 'a journal is left behind',
    noticed: ['leftovers'],
    alter: ({ dir }) => mkdirSync(join(journalsPath(dir), 'nobody'), { recursive: true }),
  },
]

function insertRefused({ database, now, refused }: Scene, units: number): void {
  const metadata = quoted(JSON.stringify({ userAgent: refused }))
  database.change(
    `INSERT INTO events (customer_id, meter, units, cost, timestamp, recorded_at, metadata)
     VALUES ('exceeding', 'agent_execution', ${units}, '0.25', ${now}, 0, ${metadata})`,
  )
}
