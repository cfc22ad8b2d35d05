import { startPostgres, VARIABLE } from '../../scripts/postgres.mjs'

/** Before all tests: a PostgreSQL server, whose URL they find in the environment. */
export default async function setUp() {
  const { url, stop } = await startPostgres()
  process.env[VARIABLE] = url
  globalThis.stopPostgres = stop
}
