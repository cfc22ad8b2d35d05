import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

const program = join(__dirname, '..', '..', 'dist', 'cli.js')

export interface Ended {
  code: number | null
  signal: string | null
  output: string
  errors: string
}

/** Starts the command, as it is installed. */
export function command(
  args: string[],
  environment: Record<string, string> = {},
): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [program, ...args], {
    env: { PATH: process.env['PATH'], ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [output, errors] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (chunk) => (output += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk) => (errors += chunk))
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, output, errors }))
  return { child, ended }
}
