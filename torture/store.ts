import { DatabaseSync, type DatabaseSyncInstance } from '@photostructure/sqlite'
import { join } from 'node:path'
import { readJournals } from './journals.js'

export interface StoredEvent {
  sequence: number
  customerId: string
  id: string | null
  meter: string
  units: number
  cost: string
  timestamp: number
  /** `undefined`: of nobody here. */
  marker: string | undefined
}

export interface Counter {
  customerId: string
  periodStart: number
  meter: string
  units: number
  cost: string
}

export interface Rollup {
  customerId: string
  hour: number
  meter: string
  events: number
  units: number
  cost: string
}

export interface Lease {
  holder: string
  customerId: string
  meter: string
  periodStart: number
  units: number
}

/** Everything on the disk that the checks look at. */
export interface Contents {
  events: StoredEvent[]
  counters: Counter[]
  rollups: Rollup[]
  /** `undefined`: the engine has none. */
  leases: Lease[] | undefined
  /** Names of the directories of journals; `undefined` where there are none. */
  journals: string[] | undefined
  /** Lines that were set aside. */
  rejected: string[]
}

export function databasePath(dir: string): string {
  return join(dir, 'weighbridge.db')
}

/**
 * Read by another SQLite than the engine's. This process must therefore never open a Billing on the same directory: two
 * SQLite libraries in one process break each other's locks.
 */
export function readStore(dir: string): Contents {
  const database = openReadOnly(dir)
  try {
    database.exec('BEGIN')
    const rows = <Row>(sql: string): Row[] => database.prepare(sql).all() as Row[]
    const events = rows<Omit<StoredEvent, 'marker'> & { metadata: string | null }>(
      'SELECT sequence, customer_id AS customerId, id, meter, units, cost, timestamp, metadata FROM events ORDER BY sequence',
    )
    return {
      events: events.map(({ metadata, ...event }) => ({ ...event, marker: markerIn(metadata) })),
      counters: rows(
        'SELECT customer_id AS customerId, period_start AS periodStart, meter, units, cost FROM period_counters',
      ),
      rollups: rows('SELECT customer_id AS customerId, hour, meter, events, units, cost FROM hourly_rollups'),
      leases: hasLeases(database)
        ? rows('SELECT holder, customer_id AS customerId, meter, period_start AS periodStart, units FROM leases')
        : undefined,
      ...readJournals(dir),
    }
  } finally {
    database.close()
  }
}

export function openReadOnly(dir: string): DatabaseSyncInstance {
  return new DatabaseSync(databasePath(dir), { readOnly: true, timeout: 1_000 })
}

export function hasLeases(database: DatabaseSyncInstance): boolean {
  return database.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'leases'").get() !== undefined
}

function markerIn(metadata: string | null): string | undefined {
  if (metadata === null) return undefined
  return (JSON.parse(metadata) as { userAgent?: string }).userAgent
}
