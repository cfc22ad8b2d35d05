import { cpSync, rmSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { checkAll } from '../checks/all.js'
import { checkJournalLines, readDamaged } from '../checks/journalLines.js'
import { monthStart } from '../checks/sums.js'
import { Database } from '../database.js'
import { had } from '../ledger.js'
import { someInstant } from '../months.js'
import type { Options } from '../options.js'
import { type PartResult, playRounds, type Round } from '../rounds.js'
import { SABOTAGES } from '../sabotages.js'
import { Service } from '../service.js'
import { readStore } from '../store.js'
import type { Call } from '../traffic.js'
import { type CheckName, type Violation, violation } from '../violation.js'
import { Watch } from '../watch.js'

/** Breaks a good round's store in one way after another, and looks who notices. */
export async function sabotage(options: Options): Promise<PartResult> {
  return playRounds('sabotage', { ...options, rounds: 1 }, play)
}

async function play(round: Round): Promise<Violation[]> {
  const now = someInstant(round.random)
  const service = await Service.open(round, 2, () => now)
  service.watch.start()
  service.startAll()
  await service.load.attempts(300)
  await service.load.stop()
  await service.fill(monthStart(now))
  await service.close()

  const { ledger, customers } = service
  const refused = ledger.entries().find((entry) => had(entry, 'refused') && isOneExecution(entry.call))
  if (refused === undefined) throw new Error('nobody was refused')
  const unnoticed: string[] = []
  for (const [index, { what, noticed, alter }] of SABOTAGES.entries()) {
    const dir = `${round.dir}-${index}`
    cpSync(round.dir, dir, { recursive: true })
    const database = new Database(dir, { readOnly: false })
    alter({ dir, database, now, period: monthStart(now), refused: refused.call.marker })
    database.close()
    const watch = new Watch(dir, customers)
    watch.look()
    watch.stop()
    const seen = [...checkAll(readStore(dir), service.known), ...watch.violations].map(({ check }) => check)
    round.tally.add('ways to break a store')
    unnoticed.push(...compare(what, noticed, seen))
    rmSync(dir, { recursive: true })
  }
  return violation('sabotage', [...unnoticed, ...breakLines(round)])
}

function isOneExecution({ customer, kind, meter, units }: Call): boolean {
  return customer.id === 'exceeding' && kind === 'consume' && meter === 'agent_execution' && units === 1
}

/** The same with lines of a journal. */
function breakLines({ tally }: Round): string[] {
  const before = Buffer.from([1, 2, 3].map((number) => journalLine(`torture-lines-${number}`)).join(''))
  const flipped = Buffer.from(before)
  flipped.writeUInt8(flipped.readUInt8(40) ^ 1, 40)
  const torn = before.subarray(0, before.length - 5)
  const all = ['torture-lines-1', 'torture-lines-2', 'torture-lines-3']
  const cases: [
    what: string,
    after: Buffer,
    before: string[],
    recorded: string[],
    rejected: number,
    noticed: boolean,
  ][] = [
    ['whole lines, all recorded', before, [], all, 0, false],
    ['whole lines, one not recorded', before, [], all.slice(1), 0, true],
    ['a torn line that was set aside', torn, [], all.slice(0, 2), 1, false],
    ['a torn line that was not', torn, [], all.slice(0, 2), 0, true],
    ['a flipped bit that was noticed', flipped, [], all.slice(1), 1, false],
    ['a flipped bit that was not', flipped, [], all.slice(1), 0, true],
    ['a flipped bit in what is recorded already', flipped, all.slice(0, 1), all, 0, false],
    ['more set aside than was broken', flipped, [], all.slice(1), 2, true],
  ]
  return cases.flatMap(([what, after, recordedBefore, recorded, rejected, noticed]) => {
    tally.add('ways to break a journal')
    const lines = readDamaged([{ before, after }], new Set(recordedBefore))
    const seen = checkJournalLines(lines, new Set(recorded), rejected).map(({ check }) => check)
    return compare(what, noticed ? ['journal lines'] : [], seen)
  })
}

function journalLine(marker: string): string {
  const entry = JSON.stringify({ sequence: 1, metadata: JSON.stringify({ userAgent: marker }) })
  return `{"checksum":"${crc32(entry).toString(16).padStart(8, '0')}","entry":${entry}}\n`
}

function compare(what: string, noticed: CheckName[], seen: CheckName[]): string[] {
  const [one, other] = [noticed, seen].map((names) => [...new Set(names)].sort().join(', ') || 'nobody')
  return one === other ? [] : [`${what}: noticed by ${other}, not ${one}`]
}
