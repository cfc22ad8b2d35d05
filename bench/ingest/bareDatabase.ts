// The least that keeping the same rows can cost: SQLite, the same columns, the same index, the same settings.
import Database from 'better-sqlite3'
import type { UsageEvent } from '../../index.mjs'

const SCHEMA = `
  CREATE TABLE events (
    sequence INTEGER PRIMARY KEY,
    customer_id TEXT NOT NULL,
    id TEXT,
    meter TEXT NOT NULL,
    units INTEGER NOT NULL,
    cost TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    subscription_id TEXT,
    endpoint TEXT,
    agent_type TEXT,
    metadata TEXT
  ) STRICT;
  CREATE INDEX events_by_time ON events (timestamp);`

const INSERT = `
  INSERT INTO events (customer_id, id, meter, units, cost, timestamp, recorded_at, endpoint, metadata)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`

export interface BareDatabase {
  /** In one transaction. */
  insert(events: UsageEvent[]): void
  close(): void
}

export function bareDatabase(file: string): BareDatabase {
  const database = new Database(file)
  database.pragma('journal_mode = WAL')
  database.pragma('synchronous = NORMAL')
  database.exec(SCHEMA)
  const statement = database.prepare(INSERT)
  const insert = database.transaction((events: UsageEvent[]) => {
    const recordedAt = Date.now()
    for (const { customerId, id, eventType, cost, timestamp, endpoint, metadata } of events) {
      const text = JSON.stringify(metadata)
      statement.run(customerId, id ?? null, eventType, 1, cost, timestamp, recordedAt, endpoint, text)
    }
  })
  return { insert: (events) => insert(events), close: () => database.close() }
}
