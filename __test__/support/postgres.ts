import { randomBytes } from 'node:crypto'
import { Client } from 'pg'
import type { BillingOptions } from 'weighbridge'

const databases = new Set<Database>()

afterAll(async () => {
  for (const database of databases) await database.drop()
  databases.clear()
})

/** A schema of a test's own, in a PostgreSQL database, made when it is opened first. */
export class Database {
  readonly schema = `test_${randomBytes(8).toString('hex')}`

  constructor(
    readonly url: string,
    /** Leads to the database past everything that a test puts in between. */
    public direct = url,
  ) {}

  get options(): BillingOptions {
    return { store: this.url, postgres: { schema: this.schema } }
  }

  /** What a query finds, past all that is asked of a Billing. */
  async rows(query: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
    const client = new Client({ connectionString: this.direct, options: `-c search_path=${this.schema}` })
    client.on('error', () => {})
    await client.connect()
    try {
      return (await client.query(query, values)).rows
    } finally {
      await client.end()
    }
  }

  async number(query: string, values: unknown[] = []): Promise<number> {
    return Number(Object.values((await this.rows(query, values))[0] ?? {})[0])
  }

  async drop(): Promise<void> {
    await this.rows(`DROP SCHEMA IF EXISTS ${this.schema} CASCADE`)
  }
}

/** The URL of the server that runs for all tests. */
export function sharedUrl(): string {
  const url = process.env['WEIGHBRIDGE_TEST_POSTGRES_URL']
  if (url === undefined) throw new Error('the tests were started without their global setup: there is no PostgreSQL')
  return url
}

/** A schema on that server, dropped after the tests of the file. */
export function sharedDatabase(): Database {
  const database = new Database(sharedUrl())
  databases.add(database)
  return database
}
