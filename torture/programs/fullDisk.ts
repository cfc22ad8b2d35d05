// Plays the rounds of the full disk, in the namespace in which the disk is mounted, and tells the parent the result.
import type { Options } from '../options.js'
import { playFullDisk } from '../parts/fullDisk.js'
import { playRounds } from '../rounds.js'

async function main(): Promise<void> {
  const [dir = '', options = ''] = process.argv.slice(2)
  const parsed = JSON.parse(options) as Options
  const result = await playRounds('disk', parsed, (round) => playFullDisk(round, parsed), { parent: dir })
  process.send?.(result)
}

void main()
