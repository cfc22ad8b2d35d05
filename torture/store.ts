import { Database } from './database.js'
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

export function readStore(dir: string): Contents {
  const database = new Database(dir)
  try {
    database.execute('BEGIN')
    const events = database.rows<Omit<StoredEvent, 'marker'> & { metadata: string | null }>(
      ['sequence', 'customerId', 'id', 'meter', 'units', 'cost', 'timestamp', 'metadata'],
      'SELECT *, customer_id AS customerId FROM events ORDER BY sequence',
    )
    return {
      events: events.map(({ metadata, ...event }) => ({ ...event, marker: markerIn(metadata) })),
      counters: database.rows<Counter>(
        ['customerId', 'periodStart', 'meter', 'units', 'cost'],
        'SELECT *, customer_id AS customerId, period_start AS periodStart FROM period_counters',
      ),
      rollups: database.rows<Rollup>(
        ['customerId', 'hour', 'meter', 'events', 'units', 'cost'],
        'SELECT *, customer_id AS customerId FROM hourly_rollups',
      ),
      leases: database.hasTable('leases')
        ? database.rows<Lease>(
            ['holder', 'customerId', 'meter', 'periodStart', 'units'],
            'SELECT *, customer_id AS customerId, quota AS meter, period_start AS periodStart FROM leases',
          )
        : undefined,
      ...readJournals(dir),
    }
  } finally {
    database.close()
  }
}

function markerIn(metadata: string | null): string | undefined {
  if (metadata === null) return undefined
  return (JSON.parse(metadata) as { userAgent?: string }).userAgent
}
