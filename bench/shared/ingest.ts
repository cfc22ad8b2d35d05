// Batches of events into PostgreSQL, against the bare inserting of the same rows.
import type { UsageEvent } from '../../index.mjs'
import { createCustomers, openBilling } from '../customers.js'
import { temporaryDirectory } from '../directories.js'
import { CUSTOMERS } from '../events.js'
import { type Stores, throughput } from '../ingest/throughput.js'
import type { Table } from '../table.js'
import type { Database } from './database.js'

/** The columns and the key that Weighbridge's own table has. */
const TABLE = `
  CREATE TABLE bare_events (
    customer_id text COLLATE "C" NOT NULL,
    timestamp timestamptz NOT NULL,
    sequence bigserial,
    id text,
    meter text NOT NULL,
    units bigint NOT NULL,
    cost numeric NOT NULL,
    recorded_at timestamptz NOT NULL,
    subscription_id text,
    endpoint text,
    agent_type text,
    metadata text,
    PRIMARY KEY (customer_id, timestamp, sequence)
  )`

const INSERT = `
  INSERT INTO bare_events (customer_id, timestamp, id, meter, units, cost, recorded_at, endpoint, metadata)
  SELECT customer_id, to_timestamp(at / 1000.0), id, meter, 1, cost, now(), endpoint, metadata
  FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::numeric[], $6::text[], $7::text[])
    AS new(customer_id, at, id, meter, cost, endpoint, metadata)`

export async function ingest(database: Database, quick: boolean): Promise<Table> {
  await database.client.query(TABLE)
  const billing = openBilling({ dir: temporaryDirectory(), store: database.url, postgres: { schema: 'ingest' } })
  await createCustomers(billing, 0, CUSTOMERS)
  const stores = async (): Promise<Stores> => ({
    billing,
    bare: { insert: bareInsert(database) },
    close: async () => {},
  })
  const effort = { rounds: quick ? 3 : 5, events: quick ? 10_000 : 40_000 }
  const table = await throughput('shared: batches into PostgreSQL', stores, effort)
  await billing.close()
  return table
}

/** In one statement, which is its own transaction. */
function bareInsert({ client }: Database): (events: UsageEvent[]) => Promise<void> {
  return async (events) => {
    await client.query(INSERT, [
      events.map(({ customerId }) => customerId),
      events.map(({ timestamp }) => timestamp),
      events.map(({ id }) => id ?? null),
      events.map(({ eventType }) => eventType),
      events.map(({ cost }) => cost),
      events.map(({ endpoint }) => endpoint),
      events.map(({ metadata }) => JSON.stringify(metadata)),
    ])
  }
}
