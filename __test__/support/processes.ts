import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const children = new Set<ChildProcess>()

afterEach(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }
  children.clear()
})

export interface Program {
  process: ChildProcess
  /** What it prints, line by line, each line being JSON. */
  next(): Promise<unknown>
  /** How it ended, and everything that it printed besides. */
  ended: Promise<{ code: number | null; signal: string | null; errors: string }>
}

export interface Surroundings {
  directory?: string
  environment?: Record<string, string>
}

/** Starts one of the programs in `__test__/programs`, with arguments that it gets as JSON. */
export function start(program: string, argument: unknown = {}, { directory, environment }: Surroundings = {}): Program {
  const file = join(__dirname, '..', 'programs', program)
  const child = spawn(process.execPath, [file, JSON.stringify(argument)], {
    cwd: directory,
    env: { PATH: process.env['PATH'], ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.add(child)
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (chunk) => (errors += chunk))
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, errors }))
  // Made at once: a line that comes before its iterator is lost.
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (): Promise<unknown> => {
    const { value, done } = await lines.next()
    if (done === true) throw new Error(`${program} ended: ${errors}`)
    return JSON.parse(value)
  }
  return { process: child, next, ended }
}

/** Runs a program to its end and gives back the one thing that it prints. */
export async function run(program: string, argument?: unknown, surroundings?: Surroundings): Promise<unknown> {
  const { next, ended } = start(program, argument, surroundings)
  const answer = await next()
  expect(await ended).toEqual({ code: 0, signal: null, errors: '' })
  return answer
}
