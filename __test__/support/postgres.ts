import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Client } from 'pg'

let server: ChildProcess | undefined
let url = process.env['WEIGHBRIDGE_TEST_POSTGRES_URL'] ?? ''
const schemas: string[] = []

beforeAll(async () => {
  if (url !== '') return
  const program = join(__dirname, '..', 'programs', 'postgres.mjs')
  server = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] })
  const [line] = await once(createInterface({ input: server.stdout as NodeJS.ReadableStream }), 'line')
  url = JSON.parse(line)
}, 120_000)

afterAll(async () => {
  for (const schema of schemas) await query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`)
  if (server === undefined) return
  const exited = once(server, 'exit')
  server.stdin?.end()
  await exited
}, 60_000)

/** The URL of a PostgreSQL server to test with. */
export function postgresUrl(): string {
  return url
}

/** A schema of the test's own, which is not made yet. */
export function ownSchema(): string {
  const schema = `test_${randomUUID().replaceAll('-', '')}`
  schemas.push(schema)
  return schema
}

/** Asks the server itself. */
export async function query(sql: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}
