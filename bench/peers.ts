import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

const here = import.meta.dirname

/** Installs what Weighbridge is compared with, once: the package itself does without it. */
export function installPeers(): void {
  if (existsSync(join(here, 'node_modules', '.package-lock.json'))) return
  process.stderr.write('Installing what Weighbridge is compared with into bench/node_modules.\n')
  const command = ['ci', '--no-audit', '--no-fund', '--prefix', here]
  const { status } = spawnSync('npm', command, { cwd: here, stdio: ['ignore', process.stderr, process.stderr] })
  if (status !== 0) throw new Error(`npm ${command.join(' ')} failed`)
}
