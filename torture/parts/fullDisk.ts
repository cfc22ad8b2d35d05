import { checkAll } from '../checks/all.js'
import { monthStart } from '../checks/sums.js'
import { endsWithin } from '../deadline.js'
import { checkExpected } from '../expectations.js'
import type { Attempt, Outcome } from '../ledger.js'
import { someInstant } from '../months.js'
import type { Options } from '../options.js'
import type { Round } from '../rounds.js'
import { Service } from '../service.js'
import { fillDisk, makeRoom } from '../smallDisk.js'
import { readStore } from '../store.js'
import { type Violation, violation } from '../violation.js'

/** Longer than the servers' `storeDeadlineMs`: so long may all wait for units that cannot be given back on a full disk. */
const PATIENCE = 30_000

const are =
  (outcome: Outcome) =>
  (attempt: Attempt): boolean =>
    attempt.outcome === outcome

/** Servers under load while their disk is full and after there is room again. In half of the rounds one is killed. */
export async function playFullDisk(round: Round, { expectLeases }: Options): Promise<Violation[]> {
  const { random, tally, dir } = round
  const now = someInstant(random)
  const service = await Service.open(round, 2, () => now)
  const { load, watch } = service
  const wrong: string[] = []
  watch.start()
  service.startAll()
  await load.attempts(random.whole(50, 400))

  fillDisk(dir, random.whole(0, 300_000))
  if (!(await endsWithin(PATIENCE, load.attempts(random.whole(1, 200), are('failed'))))) {
    wrong.push('nothing failed on a full disk')
  }
  if (random.chance(0.5)) {
    tally.add('killed while the disk was full')
    await service.kill(random.pick(service.servers))
    const refusal = await service.addServer().then(
      (server) => service.start(server),
      (error: Error) => error.message,
    )
    if (refusal !== undefined) {
      tally.add('openings refused while it was full')
      if (!refusal.startsWith('store_full')) wrong.push(`opened on a full disk: ${refusal}`)
    }
  }
  await load.attempts(random.whole(20, 200))

  const fullUntil = performance.now()
  makeRoom(dir)
  if (!(await endsWithin(PATIENCE, load.attempts(100, are('admitted'))))) wrong.push('it did not recover')
  const first = service.ledger
    .entries()
    .flatMap(({ attempts }) => attempts)
    .filter(({ outcome, sentAt }) => outcome === 'admitted' && sentAt > fullUntil)
    .reduce((earliest, { answeredAt }) => Math.min(earliest, answeredAt), Infinity)
  tally.most('longest until it admitted again, ms', Math.round(first - fullUntil))
  if (service.servers.length < 2) service.start(await service.addServer())
  await service.retry()
  await load.attempts(random.whole(20, 200))
  await load.stop()
  await service.fill(monthStart(now))
  await service.close()

  const contents = readStore(dir)
  tally.add('events', contents.events.length)
  return [
    ...violation('progress', wrong),
    ...checkAll(contents, service.known),
    ...watch.violations,
    ...checkExpected(service, expectLeases),
  ]
}
