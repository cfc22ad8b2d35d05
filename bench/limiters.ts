// The limiters that Weighbridge is compared with. Each counts by key in a window of a day and refuses nobody: the one in
// memory keeps no window of a month.
import Database from 'better-sqlite3'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Pool } from 'pg'
import { RateLimiterMemory, RateLimiterPostgres, RateLimiterSQLite } from 'rate-limiter-flexible'
import { LIMIT } from './customers.js'

const WINDOW = { points: LIMIT, duration: 24 * 60 * 60 }

export interface Limiter {
  consume(key: string): Promise<unknown>
}

export function memoryLimiter(): Limiter {
  return new RateLimiterMemory(WINDOW)
}

/** With the settings that Weighbridge's own database has. */
export async function sqliteLimiter(directory: string): Promise<Limiter> {
  mkdirSync(directory, { recursive: true })
  const storeClient = new Database(join(directory, 'limiter.db'))
  storeClient.pragma('journal_mode = WAL')
  storeClient.pragma('synchronous = NORMAL')
  const options = { ...WINDOW, storeClient, storeType: 'better-sqlite3', tableName: 'limits' }
  return ready((done) => new RateLimiterSQLite(options, done))
}

/** Over a pool of ten connections, which is pg's default. */
export async function postgresLimiter(url: string): Promise<Limiter> {
  const storeClient = new Pool({ connectionString: url })
  storeClient.on('error', () => {})
  const options = { ...WINDOW, storeClient, storeType: 'pool', tableName: `limits_${process.pid}` }
  return ready((done) => new RateLimiterPostgres(options, done))
}

function ready<T>(make: (done: (error?: Error) => void) => T): Promise<T> {
  return new Promise((resolve, reject) => {
    const limiter: T = make((error) => (error == null ? resolve(limiter) : reject(error)))
  })
}
