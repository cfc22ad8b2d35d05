import { DatabaseSync } from '@photostructure/sqlite'
import { databasePath } from './store.js'

/** Lets nobody commit while something is done: what is admitted meanwhile is in no database. */
export async function withoutCommits(dir: string, doing: () => Promise<void>): Promise<void> {
  const database = new DatabaseSync(databasePath(dir), { timeout: 4_000 })
  try {
    database.exec('BEGIN IMMEDIATE')
    await doing()
    database.exec('ROLLBACK')
  } finally {
    database.close()
  }
}
