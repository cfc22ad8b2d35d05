// Several processes on one PostgreSQL database, and what the database has to do for them.
import { Client } from 'pg'
import { temporaryDirectory } from '../directories.js'
import type { PartOptions } from '../options.js'
import { startPostgres } from '../postgres.js'
import type { Table } from '../table.js'
import { ingest } from './ingest.js'
import { processes } from './processes.js'

/** The load's: on the servers' core it would take their time. */
const DATABASE_CORE = 1

export async function shared({ quick }: PartOptions): Promise<Table[]> {
  const postgres = await startPostgres(temporaryDirectory(), DATABASE_CORE)
  const client = new Client({ connectionString: postgres.url })
  await client.connect()
  try {
    const place = { url: postgres.url, client }
    return [...(await processes(place, quick)), await ingest(place, quick)]
  } finally {
    await client.end()
    await postgres.stop()
  }
}
