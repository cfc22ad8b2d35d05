// Whether a call costs more where there is more: customers, events, routes.
import type { Goal, Row, Table } from '../table.js'
import { compare, type Effort, ratio, typical } from './comparison.js'
import type { Subject } from './subject.js'

/** Either way. */
const TOLERANCE = 0.1

/** @param subjects from the smallest to the largest; the smallest is measured a second time, for the noise */
export async function growth(what: string, notes: string[], subjects: Subject[], effort: Effort): Promise<Table> {
  const [smallest] = subjects
  if (smallest === undefined) throw new Error('there is nothing to measure')
  const again = { ...smallest, name: `${smallest.name} again` }
  const comparison = await compare([...subjects, again], effort)
  const ratioOf = (name: string): number => ratio(comparison, name, smallest.name, 'loop')
  const rows = comparison.names.map((name): Row => ({
    [what]: name,
    'event loop ns/call': Math.round(typical(comparison, name, 'loop')),
    'of the smallest': ratioOf(name),
  }))
  const worst = Math.max(...subjects.slice(1).map(({ name }) => ratioOf(name)))
  const noise = ratioOf(again.name)
  const goal: Goal = {
    what: `a call of the middleware with more ${what}`,
    goal: `at most ${(1 + TOLERANCE).toFixed(2)} of the smallest`,
    measured: `${worst.toFixed(3)} (the smallest itself a second time: ${noise.toFixed(3)})`,
    met: Math.abs(noise - 1) > TOLERANCE ? null : worst <= 1 + TOLERANCE,
  }
  return { title: `micro: with more ${what}`, notes, rows, goals: [goal] }
}
