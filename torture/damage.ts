import { readFileSync, statSync, writeFileSync } from 'node:fs'
import type { Random } from './random.js'

export interface DamagedFile {
  how: 'truncated' | 'bits flipped' | 'ends in zeros'
  before: Buffer
  after: Buffer
}

/** Near the end lies what is in no database yet. */
const NEAR_END = 8_192

export function damageFile(path: string, random: Random): DamagedFile {
  const before = readFileSync(path)
  const after = Buffer.from(before)
  const place = (): number => {
    const from = random.chance(0.7) ? Math.max(0, before.length - NEAR_END) : 0
    return random.whole(from, before.length - 1)
  }
  const how = random.pick(['truncated', 'truncated', 'bits flipped', 'bits flipped', 'ends in zeros'] as const)
  const damaged = { how, before, after }
  switch (how) {
    case 'truncated':
      damaged.after = after.subarray(0, place())
      break
    case 'bits flipped':
      for (let flips = random.whole(1, 20); flips > 0; flips -= 1) {
        const at = place()
        after.writeUInt8(after.readUInt8(at) ^ (1 << random.whole(0, 7)), at)
      }
      break
    case 'ends in zeros':
      after.fill(0, place())
  }
  writeFileSync(path, damaged.after)
  return damaged
}

export function holdsAnything(path: string): boolean {
  return statSync(path).size > 0
}
