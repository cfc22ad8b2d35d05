import { type ChildProcess, execFileSync, fork } from 'node:child_process'
import { join } from 'node:path'

const root = join(__dirname, '..', '..')
const started: ChildProcess[] = []

/** Starts a program of `__test__/programs` as a process of its own; it is killed after the test if need be. */
export function startProgram(name: string, ...argumentsOfProgram: string[]): ChildProcess {
  const program = fork(join(root, '__test__', 'programs', `${name}.mts`), argumentsOfProgram, {
    cwd: root,
    execArgv: ['--import', 'tsx'],
  })
  started.push(program)
  return program
}

/** The first message that a program sends. */
export function messageOf<T>(program: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    program.once('message', (message) => resolve(message as T))
    program.once('exit', (code, signal) =>
      reject(new Error(`the program ended with ${code ?? signal} and said nothing`)),
    )
  })
}

/** When a program has ended. */
export function endOf(program: ChildProcess): Promise<void> {
  return new Promise((resolve) => program.once('exit', () => resolve()))
}

/** What a script prints, run by Node in a directory. */
export function runNode(cwd: string, ...argumentsOfNode: string[]): string {
  return execFileSync(process.execPath, argumentsOfNode, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

afterEach(() => {
  for (const program of started.splice(0)) program.kill('SIGKILL')
})
