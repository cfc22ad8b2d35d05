import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Options } from '../options.js'
import type { PartResult } from '../rounds.js'

const NAMESPACE = ['unshare', '--map-root-user', '--mount']
const SIZE = '16m'

/** Servers on a disk that is full for a while: a real one, mounted where only the program that plays the rounds sees it. */
export async function disk(options: Options): Promise<PartResult> {
  const [command = '', ...flags] = NAMESPACE
  if (spawnSync(command, [...flags, 'true']).status !== 0) {
    return {
      part: 'disk',
      rounds: 0,
      seconds: 0,
      numbers: {},
      failed: [],
      notTested: `a full disk needs \`${NAMESPACE.join(' ')}\`, which this system does not give`,
    }
  }
  const dir = mkdtempSync(join(tmpdir(), 'weighbridge-small-disk-'))
  const mount = `mount -t tmpfs -o size=${SIZE} tmpfs '${dir}' && exec "$0" "$@"`
  const program = [process.execPath, '--import', 'tsx', join(__dirname, '../programs/fullDisk.ts')]
  const child = spawn(command, [...flags, 'sh', '-c', mount, ...program, dir, JSON.stringify(options)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const ended = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`the program of the full disk ended: ${signal ?? `exit code ${code}`}`)
  })
  const [result] = (await Promise.race([once(child, 'message'), ended])) as [PartResult]
  await ended.catch(() => {})
  rmdirSync(dir)
  return result
}
