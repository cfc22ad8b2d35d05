import { run, start } from './processes'

/**
 * Lets nobody commit to the store until the function that it gives back is called. Another process does it: two SQLite
 * libraries in one process break each other's locks.
 */
export async function lockStore(dir: string): Promise<() => Promise<void>> {
  const { process, next, ended } = start('lock.cjs', { dir })
  await next()
  return async () => {
    process.kill('SIGKILL')
    await ended
  }
}

/** What a query finds in the store's database, past all that is asked of a Billing. */
export async function rows(dir: string, query: string): Promise<Record<string, unknown>[]> {
  return (await run('rows.cjs', { dir, query })) as Record<string, unknown>[]
}
