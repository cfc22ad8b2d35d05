import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Fleet } from '../fleet.js'
import type { Options } from '../options.js'
import type { CallsArgument, CallsMessage, Sample } from '../programs/calls.js'
import { type PartResult, playRounds, type Round } from '../rounds.js'
import { Database } from '../database.js'
import { checkLeftovers } from '../checks/leftovers.js'
import { readJournals } from '../journals.js'
import { type Violation, violation } from '../violation.js'

/** A process ends so soon after its work, milliseconds. */
const ENDING = 1_000
/** What memory may grow by after the first fifth of the calls, KiB: what a garbage collector needs to breathe. */
const GROWTH = 48 * 1_024
const WARM_UP = 0.2
const FEW = 20_000
/** For ten million calls on a slow machine, milliseconds. */
const DEADLINE = 3 * 3_600_000

interface Ended {
  done: CallsMessage & { name: 'done' }
  samples: Sample[]
  /** Milliseconds from the last word to the exit. */
  ending: number
  code: number | null
}

/** Very many calls within one process: how much memory they take, and how the process ends, closed and left open. */
export async function memory(options: Options): Promise<PartResult> {
  return playRounds(
    'memory',
    { ...options, rounds: 1 },
    async (round) => [
      ...(await play(round, 'few, closed', { dir: join(round.dir, 'closed'), requests: FEW, closes: true })),
      ...(await play(round, 'few, left open', { dir: join(round.dir, 'open'), requests: FEW, closes: false })),
      ...(await play(round, 'many, closed', {
        dir: join(round.dir, 'many'),
        requests: options.requests,
        closes: true,
      })),
    ],
    { deadline: DEADLINE },
  )
}

async function play({ tally, fleet }: Round, name: string, argument: CallsArgument): Promise<Violation[]> {
  const startedAt = performance.now()
  const { done, samples, ending, code } = await run(argument)
  const seconds = (performance.now() - startedAt) / 1_000
  const { admitted, refused, rejections, warnings, closing } = done
  const tell = (what: string, number: number): void => tally.most(`${name}: ${what}`, Math.round(number))
  tell('calls', admitted + refused)
  tell('calls a second', (admitted + refused) / seconds)
  tell('close() took, ms', closing)
  tell('ended after its last word, ms', ending)

  const wrong = [
    ...(code === 0 ? [] : [`${name}: exit code ${code}`]),
    ...(ending <= ENDING ? [] : [`${name}: it ended ${Math.round(ending)} ms after its last word`]),
    ...(rejections + warnings === 0 ? [] : [`${name}: ${rejections} unhandled rejections, ${warnings} warnings`]),
    ...(admitted + refused === argument.requests ? [] : [`${name}: ${admitted} admitted and ${refused} refused`]),
  ]
  tell('recorded when it had ended', count(argument.dir))
  if (!argument.closes) {
    // The last of them may be in a journal still.
    await openAndClose(fleet, argument.dir)
    tell('recorded when it was opened again', count(argument.dir))
  }
  const recorded = count(argument.dir)
  if (recorded !== admitted) wrong.push(`${name}: ${admitted} admitted, ${recorded} recorded`)
  const { journals } = readJournals(argument.dir)
  const left = checkLeftovers({ ...EMPTY, journals })
  if (argument.requests <= FEW) return [...violation('process', wrong), ...left]

  const warm = samples.filter(({ calls }) => calls >= argument.requests * WARM_UP)
  const [first, last] = [warm[0], warm.at(-1)]
  if (first === undefined || last === undefined) return violation('process', [`${name}: no samples`])
  const slope = slopeOf(warm.map(({ calls, resident }) => [calls, resident]))
  const growth = slope * (last.calls - first.calls)
  tell('resident after warm-up, KiB', first.resident)
  tell('resident at the end, KiB', last.resident)
  tell('resident at most, KiB', Math.max(...samples.map(({ resident }) => resident)))
  tell('anonymous after warm-up, KiB', first.anonymous)
  tell('anonymous at the end, KiB', last.anonymous)
  tell('JavaScript heap at the end, KiB', last.heap)
  tally.numbers[`${name}: slope after warm-up, KiB a million calls`] = Math.round(slope * 1e6)
  if (growth > GROWTH) wrong.push(`${name}: memory grew by ${Math.round(growth)} KiB after the warm-up`)
  return [...violation('process', wrong), ...left]
}

const EMPTY = { events: [], counters: [], rollups: [], leases: undefined, rejected: [] }

async function openAndClose(fleet: Fleet, dir: string): Promise<void> {
  const server = fleet.take()
  await server.open({ dir, now: Date.now() })
  await server.close()
}

async function run(argument: CallsArgument): Promise<Ended> {
  const child = fork(join(__dirname, '../programs/calls.ts'), [JSON.stringify(argument)], {
    execArgv: ['--import', 'tsx'],
  })
  const samples: Sample[] = []
  let done: Ended['done'] | undefined
  let doneAt = 0
  child.on('message', (message: CallsMessage) => {
    if (message.name === 'sample') samples.push(message.sample)
    else [done, doneAt] = [message, performance.now()]
  })
  const [code] = (await once(child, 'exit')) as [number | null]
  const ending = performance.now() - doneAt
  if (done === undefined) throw new Error(`the calls did not come to an end: exit code ${code}`)
  return { done, samples, ending, code }
}

function count(dir: string): number {
  const database = new Database(dir)
  try {
    const [row] = database.rows<{ count: number }>(['count'], 'SELECT count(*) AS count FROM events')
    return row?.count ?? 0
  } finally {
    database.close()
  }
}

/** Least squares. */
function slopeOf(points: [number, number][]): number {
  const mean = (axis: 0 | 1): number => points.reduce((sum, point) => sum + point[axis], 0) / points.length
  const [x, y] = [mean(0), mean(1)]
  const covariance = points.reduce((sum, point) => sum + (point[0] - x) * (point[1] - y), 0)
  const variance = points.reduce((sum, point) => sum + (point[0] - x) ** 2, 0)
  return variance === 0 ? 0 : covariance / variance
}
