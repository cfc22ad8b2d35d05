import { setTimeout as pause } from 'node:timers/promises'
import { checkAll } from '../checks/all.js'
import { endsWithin } from '../deadline.js'
import { checkExpected } from '../expectations.js'
import { readJournals } from '../journals.js'
import { type Entry, had, isAcknowledged } from '../ledger.js'
import { monthStart } from '../checks/sums.js'
import { someInstant, ThreeMonths } from '../months.js'
import type { Options } from '../options.js'
import type { Random } from '../random.js'
import { type PartResult, playRounds, type Round } from '../rounds.js'
import { Service } from '../service.js'
import type { ServerProcess } from '../serverProcess.js'
import { readStore } from '../store.js'
import { takenOver } from '../takeover.js'
import { type Violation, violation } from '../violation.js'
import { withoutCommits } from '../writeLock.js'

/** The longest that a server stands still, or that nobody may commit: less than what a store waits for a lock. */
const INTERRUPTION = 300

interface Script {
  servers: number
  /** What comes to pass in the middle of it. */
  ending: 'one is killed' | 'all are killed' | 'one leaves' | 'none ends'
  /** Who takes the place of a dead process. */
  successor: 'another process' | 'the survivors'
  /** Another server stands still for a while. */
  stall: boolean
  /** Nobody can commit in the moments before. */
  blocked: boolean
  before: number
  after: number
}

function scriptOf(random: Random, jumps: boolean): Script {
  return {
    servers: random.whole(2, 4),
    ending: endingOf(random.fraction(), jumps),
    successor: random.chance(0.7) ? 'another process' : 'the survivors',
    stall: random.chance(0.2),
    blocked: random.chance(0.3),
    before: random.whole(20, 900),
    after: random.whole(20, 300),
  }
}

function endingOf(chance: number, jumps: boolean): Script['ending'] {
  if (jumps && chance < 0.4) return 'none ends'
  if (chance < 0.75) return 'one is killed'
  return chance < 0.9 ? 'all are killed' : 'one leaves'
}

/** Servers under load, of which some are killed. */
export async function crash(options: Options): Promise<PartResult> {
  return playRounds('crash', options, async (round) => {
    const now = someInstant(round.random)
    const service = await Service.open(round, 1, () => now)
    return play(round, service, scriptOf(round.random, false), [now], options)
  })
}

/** The same while their clocks jump back and forth over the ends of months. */
export async function clock(options: Options): Promise<PartResult> {
  return playRounds('clock', options, async (round) => {
    const months = new ThreeMonths(round.random)
    const service = await Service.open(round, 1, () => months.instant(round.random))
    const stopJumping = jumpAbout(round, service)
    const middles = months.starts.map((start) => months.middle(start))
    return play(round, service, scriptOf(round.random, true), middles, options, stopJumping)
  })
}

/** `instants` lie in the periods of which the limits are used up at last. */
async function play(
  round: Round,
  service: Service,
  script: Script,
  instants: number[],
  { expectLeases }: Options,
  afterLoad: () => Promise<void> = async () => {},
): Promise<Violation[]> {
  const { random, tally } = round
  const { load, watch } = service
  tally.add(script.ending)
  await Promise.all(Array.from({ length: script.servers - 1 }, () => service.addServer()))
  watch.start()
  service.startAll()
  const victim = random.pick(service.servers)
  if (script.stall && script.ending !== 'all are killed') await stallAnother(round, service, victim)
  await load.attempts(script.before)
  await pause(random.fraction() * 10)
  const unfinished = await end(round, service, script, victim)
  if (
    service.servers.length < script.servers &&
    (script.successor === 'another process' || service.servers.length < 2)
  ) {
    service.start(await service.addServer())
  }
  await service.retry()
  await load.attempts(script.after)
  await load.stop()
  await afterLoad()
  for (const instant of instants) {
    await Promise.all(service.servers.map((server) => service.jump(server, instant)))
    await service.fill(monthStart(instant))
  }
  await service.close()

  const contents = readStore(service.dir)
  const unanswered = service.ledger.entries().filter((entry) => !isAcknowledged(entry) && had(entry, 'unanswered'))
  const recorded = new Set(contents.events.map(({ marker }) => marker))
  tally.add('unanswered and recorded', unanswered.filter(({ call }) => recorded.has(call.marker)).length)
  tally.add('events', contents.events.length)
  tally.add('lines set aside', contents.rejected.length)
  if (instants.length === 1) tally.add('refused before the last unit was asked for', earlyRefusals(service))
  return [
    ...unfinished,
    ...checkAll(contents, service.known),
    ...watch.violations,
    ...failures(service),
    ...checkExpected(service, expectLeases),
  ]
}

/** Resolves when everything is as the script wants it after the ending. */
async function end(round: Round, service: Service, script: Script, victim: ServerProcess): Promise<Violation[]> {
  const { load, watch } = service
  switch (script.ending) {
    case 'none ends':
      return []
    case 'one leaves':
      await service.leave(victim)
      return []
    case 'all are killed':
      await Promise.all([...service.servers].map((server) => service.kill(server)))
      // Whoever opens the store now must find it as the dead have left it.
      watch.stop()
      await load.stop()
      service.start(await service.addServer())
      watch.start()
      return []
    case 'one is killed': {
      const { journals = [] } = readJournals(service.dir)
      const kill = async (): Promise<void> => service.kill(victim)
      if (!script.blocked) await kill()
      else {
        round.tally.add('killed while nobody could commit')
        await withoutCommits(service.dir, async () => {
          await endsWithin(INTERRUPTION, load.attempts(200))
          await kill()
        })
      }
      if (script.successor === 'another process') return []
      const milliseconds = await takenOver(service.dir, journals)
      round.tally.most('slowest takeover by survivors, ms', Math.round(milliseconds ?? Infinity))
      return milliseconds === undefined
        ? violation('leftovers', ['no survivor took over the journal of a dead process'])
        : []
    }
  }
}

async function stallAnother({ random, tally }: Round, service: Service, victim: ServerProcess): Promise<void> {
  const other = random.pick(service.servers.filter((server) => server !== victim))
  tally.add('stalled')
  await service.load.attempts(random.whole(1, 100))
  other.stall()
  await endsWithin(INTERRUPTION, service.load.attempts(200))
  other.resume()
}

/** Tells one clock after another another time, every few answers, until it is called off. */
function jumpAbout({ random, tally }: Round, service: Service): () => Promise<void> {
  let jumping: Promise<void> = Promise.resolve()
  let left = random.whole(5, 40)
  const listener = (): void => {
    left -= 1
    if (left > 0 || service.servers.length === 0) return
    left = random.whole(5, 40)
    tally.add('clock jumps')
    // Who is killed the moment after needs no clock.
    const jumped = service.jump(random.pick(service.servers)).catch(() => {})
    jumping = jumping.then(() => jumped)
  }
  service.load.onAttempt(listener)
  return () => {
    service.load.offAttempt(listener)
    return jumping
  }
}

/** Calls for one unit that were refused before somebody asked for a unit of the same limit and got it. */
function earlyRefusals({ ledger }: Service): number {
  const entries = ledger.entries().filter(({ call }) => call.kind !== 'record')
  const limitOf = ({ call }: Entry): string => `${call.customer.id} ${call.meter}`
  const lastUnits = new Map<string, number>()
  for (const entry of entries) {
    for (const { outcome, sentAt } of entry.attempts) {
      if (outcome === 'admitted') lastUnits.set(limitOf(entry), Math.max(sentAt, lastUnits.get(limitOf(entry)) ?? 0))
    }
  }
  return entries.filter((entry) => {
    const [first] = entry.attempts
    const refused = entry.call.units === 1 && first?.outcome === 'refused'
    return refused && first.answeredAt < (lastUnits.get(limitOf(entry)) ?? 0)
  }).length
}

/** Nothing here is a reason not to be able to decide. */
function failures({ ledger }: Service): Violation[] {
  const failed = ledger.entries().filter((entry) => had(entry, 'failed'))
  return violation(
    'progress',
    failed.map(({ call, attempts }) => `${call.marker} failed: ${attempts.map(({ answer }) => answer).join(', ')}`),
  )
}
