import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'

export const PARTS = ['sabotage', 'crash', 'clock', 'disk', 'damage', 'memory'] as const
export type PartName = (typeof PARTS)[number]

export interface Options {
  seed: string
  only: PartName[]
  /** Of each part that goes by rounds. */
  rounds: number
  /** The number of the first round: a failed one can be run again by itself. */
  first: number
  /** No round begins after so many seconds of a part. */
  seconds: number
  /** Calls of the memory part. */
  requests: number
  /** Whether an engine without leases or journals is an error. */
  expectLeases: boolean
}

export const USAGE = `npm run torture -- [options]

  --only <parts>     of ${PARTS.join(', ')}; with commas between them; all by default
  --rounds <n>       rounds of each part (20)
  --seconds <n>      no round begins after so many seconds of its part (600)
  --seed <text>      the same seed makes the same choices; printed
  --first <n>        number of the first round (1)
  --requests <n>     calls of the memory part (1000000)
  --expect-leases    an engine without leases and journals is an error`

export function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string', default: PARTS.join(',') },
      rounds: { type: 'string', default: '20' },
      seconds: { type: 'string', default: '600' },
      seed: { type: 'string', default: randomBytes(4).toString('hex') },
      first: { type: 'string', default: '1' },
      requests: { type: 'string', default: '1000000' },
      'expect-leases': { type: 'boolean', default: false },
    },
  })
  return {
    seed: values.seed,
    only: values.only.split(',').map(partName),
    rounds: count('rounds', values.rounds),
    first: count('first', values.first),
    seconds: count('seconds', values.seconds),
    requests: count('requests', values.requests),
    expectLeases: values['expect-leases'],
  }
}

function partName(name: string): PartName {
  const part = PARTS.find((part) => part === name)
  if (part === undefined) throw new Error(`there is no part "${name}"`)
  return part
}

function count(name: string, text: string): number {
  const number = Number(text)
  if (!Number.isSafeInteger(number) || number < 1) throw new Error(`--${name} must be a whole number from 1`)
  return number
}
