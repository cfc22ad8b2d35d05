import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const made: string[] = []

/** A directory of this process's own, removed when it ends. */
export function temporaryDirectory(): string {
  if (made.length === 0) {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
    process.once('exit', removeAll)
  }
  const directory = mkdtempSync(join(tmpdir(), 'weighbridge-bench-'))
  made.push(directory)
  return directory
}

function removeAll(): void {
  for (const directory of made) rmSync(directory, { recursive: true, force: true })
}
