import { type Duration, durationOf } from '../clockwork.js'

export type Done = (error?: unknown) => void

/** Something that is called many times. */
export interface Subject {
  name: string
  /** Calls `done` once, at once or later. */
  call(number: number, done: Done): void
  /** Waits for what goes on in the background; not measured. */
  settle?(): Promise<void>
}

/** So many calls are under way at a time. */
export const CONCURRENCY = 50

/** What one call takes, acknowledgement included: nanoseconds. */
export async function measure(subject: Subject, calls: number): Promise<Duration> {
  const { loop, wall } = await durationOf(async () => {
    for (let first = 0; first < calls; first += CONCURRENCY) await burst(subject, first)
  })
  await subject.settle?.()
  return { loop: loop / calls, wall: wall / calls }
}

function burst(subject: Subject, first: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let underWay = CONCURRENCY
    const done: Done = (error) => {
      underWay -= 1
      if (error !== undefined) reject(error)
      else if (underWay === 0) resolve()
    }
    for (let number = first; number < first + CONCURRENCY; number += 1) subject.call(number, done)
  })
}
