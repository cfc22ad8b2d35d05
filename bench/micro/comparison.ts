import type { Duration } from '../clockwork.js'
import { median } from '../statistics.js'
import { measure, type Subject } from './subject.js'

/** Calls before anything is measured: by then Node has compiled what there is to compile. */
const WARM_UP = 20_000

export interface Effort {
  rounds: number
  /** Calls of each subject in each round. */
  calls: number
}

/** What each subject takes, round by round; the first of them is what the others are held against. */
export interface Comparison {
  names: string[]
  rounds: Map<string, Duration[]>
}

/** Measures subjects in turn, another one first in each round, so that what else the machine does meets all of them. */
export async function compare(subjects: Subject[], { rounds, calls }: Effort): Promise<Comparison> {
  const durations = new Map<string, Duration[]>(subjects.map(({ name }) => [name, []]))
  for (const subject of subjects) await measure(subject, Math.max(calls, WARM_UP))
  for (let round = 0; round < rounds; round += 1) {
    const order = [...subjects.slice(round % subjects.length), ...subjects.slice(0, round % subjects.length)]
    for (const subject of order) durations.get(subject.name)?.push(await measure(subject, calls))
  }
  return { names: subjects.map(({ name }) => name), rounds: durations }
}

/** The median nanoseconds of a call. */
export function typical({ rounds }: Comparison, name: string, figure: keyof Duration): number {
  return median((rounds.get(name) ?? []).map((duration) => duration[figure]))
}

/** The median of the ratios of two subjects in the same rounds. */
export function ratio({ rounds }: Comparison, one: string, other: string, figure: keyof Duration): number {
  const others = rounds.get(other) ?? []
  const ratios = (rounds.get(one) ?? []).map((own, round) => own[figure] / (others[round]?.[figure] ?? NaN))
  return median(ratios)
}
