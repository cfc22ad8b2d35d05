import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A directory of this process's own, removed when it ends. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'weighbridge-bench-'))
  process.once('SIGINT', () => process.exit(130))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  return directory
}
