import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkAll } from '../checks/all.js'
import { checkJournalLines, readDamaged } from '../checks/journalLines.js'
import { monthStart } from '../checks/sums.js'
import { damageFile, holdsAnything } from '../damage.js'
import { endsWithin } from '../deadline.js'
import { checkExpected } from '../expectations.js'
import { readJournals, segmentPaths } from '../journals.js'
import { someInstant } from '../months.js'
import type { Options } from '../options.js'
import { type PartResult, playRounds, type Round } from '../rounds.js'
import { Service } from '../service.js'
import { readStore, type StoredEvent } from '../store.js'
import type { Violation } from '../violation.js'
import { withoutCommits } from '../writeLock.js'

const INTERRUPTION = 300

/** Servers that are all killed, and of which the journals are damaged before others take them over. */
export async function damage(options: Options): Promise<PartResult> {
  const result = await playRounds('damage', options, (round) => play(round, options))
  const damaged = result.numbers['lines in the journals of the dead'] ?? 0
  return damaged > 0 ? result : { ...result, notTested: 'no journals were left behind that could have been damaged' }
}

async function play(round: Round, { expectLeases }: Options): Promise<Violation[]> {
  const { random, tally, dir } = round
  const now = someInstant(random)
  const service = await Service.open(round, random.whole(1, 3), () => now)
  const { load, watch } = service
  watch.start()
  service.startAll()
  await load.attempts(random.whole(20, 600))
  const killAll = async (): Promise<void> => {
    await Promise.all([...service.servers].map((server) => service.kill(server)))
  }
  // Where nobody can commit, the journals hold the more.
  if (!random.chance(0.7)) await killAll()
  else {
    await withoutCommits(dir, async () => {
      await endsWithin(INTERRUPTION, load.attempts(random.whole(1, 400)))
      await killAll()
    })
  }
  watch.stop()
  await load.stop()

  const before = readACopy(dir)
  const recordedBefore = markers(before.events)
  const files = segmentPaths(dir)
    .filter(holdsAnything)
    .map((path) => damageFile(path, random))
  for (const { how } of files) tally.add(how)
  const lines = readDamaged(files, recordedBefore)
  tally.add('lines in the journals of the dead', lines.whole.size + lines.lost.size)
  tally.add('whole lines not yet in the database', [...lines.whole].filter((name) => !recordedBefore.has(name)).length)
  tally.add('lost lines not yet in the database', [...lines.lost].filter((name) => !recordedBefore.has(name)).length)

  await service.addServer()
  const rejected = readJournals(dir).rejected.length - before.rejected.length
  tally.add('lines to set aside, at least', lines.fewestRejected)
  tally.add('lines set aside', rejected)
  watch.start()
  service.startAll()
  await load.attempts(random.whole(20, 300))
  await load.stop()
  await service.fill(monthStart(now))
  await service.close()

  const contents = readStore(dir)
  tally.add('events', contents.events.length)
  return [
    ...checkAll(contents, { ...service.known, lost: lines.lost }),
    ...checkJournalLines(lines, markers(contents.events), rejected),
    ...watch.violations,
    ...checkExpected(service, expectLeases),
  ]
}

/** To look at the original would be to recover it, before those do who are to be tested. */
function readACopy(dir: string): ReturnType<typeof readStore> {
  const copy = mkdtempSync(join(tmpdir(), 'weighbridge-copy-'))
  try {
    cpSync(dir, copy, { recursive: true })
    return readStore(copy)
  } finally {
    rmSync(copy, { recursive: true })
  }
}

function markers(events: StoredEvent[]): Set<string> {
  return new Set(events.flatMap(({ marker }) => (marker === undefined ? [] : [marker])))
}
