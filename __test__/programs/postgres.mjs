// Starts a PostgreSQL server, prints its URL, and stops it when nobody holds this process's input any more.
import { startPostgres } from '../../scripts/postgres.mjs'

const { url, stop } = await startPostgres()
process.stdout.write(`${JSON.stringify(url)}\n`)
process.stdin.resume().on('end', () => void stop())
