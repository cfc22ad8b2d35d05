import { existsSync, watch } from 'node:fs'
import { journalsPath, readJournals } from './journals.js'

const PATIENCE = 10_000

/**
 * How many milliseconds it takes until one of these journals, of which the last owner has died, was taken over by
 * somebody living. `undefined`: it was not.
 */
export async function takenOver(dir: string, before: string[]): Promise<number | undefined> {
  const path = journalsPath(dir)
  const startedAt = performance.now()
  const done = (): boolean => {
    const { journals = [] } = readJournals(dir)
    return before.some((name) => !journals.includes(name))
  }
  if (before.length === 0 || !existsSync(path)) return 0
  return new Promise((resolve) => {
    const changes = watch(path)
    const timer = setTimeout(() => finish(undefined), PATIENCE)
    const finish = (milliseconds: number | undefined): void => {
      clearTimeout(timer)
      changes.close()
      resolve(milliseconds)
    }
    const look = (): void => {
      if (done()) finish(performance.now() - startedAt)
    }
    changes.on('change', look)
    look()
  })
}
