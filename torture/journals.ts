import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export function journalsPath(dir: string): string {
  return join(dir, 'weighbridge.db.journals')
}

/** One directory for each process that has a journal, and what was set aside. */
export function readJournals(dir: string): { journals: string[] | undefined; rejected: string[] } {
  const path = journalsPath(dir)
  if (!existsSync(path)) return { journals: undefined, rejected: [] }
  const journals = readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
  const rejectedPath = join(path, 'rejected.jsonl')
  const rejected = existsSync(rejectedPath) ? readFileSync(rejectedPath, 'utf8').split('\n') : []
  return { journals, rejected: rejected.filter((line) => line !== '') }
}

/** The segments of all journals, with their paths. */
export function segmentPaths(dir: string): string[] {
  return (readJournals(dir).journals ?? []).flatMap((journal) => {
    const path = join(journalsPath(dir), journal)
    const names = readdirSync(path).filter((name) => /^\d+\.jsonl$/.test(name))
    return names.sort((one, other) => Number.parseInt(one) - Number.parseInt(other)).map((name) => join(path, name))
  })
}
