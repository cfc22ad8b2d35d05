import { Database } from './database.js'

/** Lets nobody commit while something is done: what is admitted meanwhile is in no database. */
export async function withoutCommits(dir: string, doing: () => Promise<void>): Promise<void> {
  const database = new Database(dir, { readOnly: false })
  try {
    database.execute('BEGIN IMMEDIATE')
    await doing()
    database.execute('ROLLBACK')
  } finally {
    database.close()
  }
}
