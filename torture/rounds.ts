import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { within } from './deadline.js'
import { Fleet } from './fleet.js'
import type { Options, PartName } from './options.js'
import { Random } from './random.js'
import { Tally } from './tally.js'
import type { Violation } from './violation.js'

const ROUND_DEADLINE = 120_000
/** A part gives up after so many failed rounds. */
const ENOUGH = 3

export interface Round {
  part: PartName
  number: number
  /** Empty at first, the round's own. */
  dir: string
  random: Random
  fleet: Fleet
  tally: Tally
  /** What must be ended with the round, however it ends. */
  endings: (() => void)[]
}

export interface FailedRound {
  number: number
  kept: string
  violations: Violation[]
}

export interface PartResult {
  part: PartName
  rounds: number
  seconds: number
  numbers: Record<string, number>
  failed: FailedRound[]
  /** Why it could not be tried, or what it is about could not. */
  notTested?: string
}

/** Plays a part's rounds, each in a directory of its own, and keeps those of failed ones. `deadline` is in milliseconds. */
export async function playRounds(
  part: PartName,
  { seed, rounds, first, seconds }: Options,
  play: (round: Round) => Promise<Violation[]>,
  { parent = tmpdir(), deadline = ROUND_DEADLINE }: { parent?: string; deadline?: number } = {},
): Promise<PartResult> {
  const startedAt = performance.now()
  const elapsed = (): number => (performance.now() - startedAt) / 1_000
  const fleet = new Fleet()
  const tally = new Tally()
  const failed: FailedRound[] = []
  let number = first
  for (; number < first + rounds && elapsed() < seconds && failed.length < ENOUGH; number += 1) {
    const dir = mkdtempSync(join(parent, 'weighbridge-torture-'))
    const random = new Random(`${seed} ${part} ${number}`)
    const round: Round = { part, number, dir, random, fleet, tally, endings: [] }
    const violations = await within(deadline, 'the round', play(round)).catch((error: Error): Violation[] => [
      { check: 'progress', message: error.stack ?? error.message },
    ])
    for (const end of round.endings) end()
    if (violations.length > 0) {
      await fleet.end()
      failed.push({ number, kept: keep(dir, parent), violations })
    }
    rmSync(dir, { recursive: true, force: true })
    if (process.stderr.isTTY) process.stderr.write(`\r${part} ${number} of ${first + rounds - 1}`)
  }
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
  await fleet.end()
  return { part, rounds: number - first, seconds: elapsed(), numbers: tally.numbers, failed }
}

/** A small disk goes away with its part: what is kept is kept elsewhere. */
function keep(dir: string, parent: string): string {
  const kept = mkdtempSync(join(tmpdir(), parent === tmpdir() ? 'weighbridge-failed-' : 'weighbridge-failed-disk-'))
  mkdirSync(kept, { recursive: true })
  cpSync(dir, kept, { recursive: true })
  return kept
}
