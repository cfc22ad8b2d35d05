import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release, type } from 'node:os'

/** What the figures were measured on. Other work on the machine shows in its load. */
export function describeMachine(): string {
  const load = loadavg().map((average) => average.toFixed(1))
  const machine = `${cpus()[0]?.model}, ${availableParallelism()} cores, ${type()} ${release()}`
  return `${new Date().toISOString().slice(0, 10)}, ${machine}, Node ${process.version}, load average ${load.join(', ')}`
}

/** Keeps a process and all of its threads on one core, where the machine allows it. */
export function pin(pid: number | undefined, core: number): void {
  if (availableParallelism() < 2 && core > 0) return
  spawnSync('taskset', ['-a', '-p', '-c', String(core), String(pid)], { stdio: 'ignore' })
}

/** Nanoseconds that a process's threads have run; NaN where the system does not tell. */
export function threadTime(pid: number | undefined): number {
  try {
    const threads = readdirSync(`/proc/${pid}/task`)
    const times = threads.map((thread) => readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0])
    return times.reduce((sum, time) => sum + Number(time), 0)
  } catch {
    return NaN
  }
}
