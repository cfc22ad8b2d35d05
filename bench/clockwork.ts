// How long this process's main thread is at work, which is what a middleware takes from everybody else.
import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'

/** The system brings a thread's time up to date when it falls asleep. */
const NAP_MILLISECONDS = 2

export interface Duration {
  /** Nanoseconds of the main thread's time. */
  loop: number
  /** Nanoseconds on the wall. */
  wall: number
}

export async function durationOf(work: () => Promise<void>): Promise<Duration> {
  await sleep(NAP_MILLISECONDS)
  const loopBefore = mainThreadTime()
  const wallBefore = performance.now()
  await work()
  const wall = (performance.now() - wallBefore) * 1e6
  await sleep(NAP_MILLISECONDS)
  return { loop: mainThreadTime() - loopBefore, wall }
}

/** Its processor time on Linux; elsewhere the time in which the event loop was not idle. */
function mainThreadTime(): number {
  if (process.platform !== 'linux') return performance.eventLoopUtilization().active * 1e6
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0])
}
