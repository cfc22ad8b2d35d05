import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { Agent } from 'node:http'
import { join } from 'node:path'
import type { Answer, Answers, Command } from './commands.js'

/** A server in a process of its own, which can be killed. */
export class ServerProcess {
  readonly #process: ChildProcess
  readonly #ended: Promise<unknown>
  readonly #waiting: { resolve(result: any): void; reject(error: Error): void }[] = []
  #agent = new Agent({ keepAlive: true })
  #port = 0

  constructor() {
    this.#process = fork(join(__dirname, 'programs', 'server.ts'), {
      execArgv: ['--import', 'tsx'],
      // JSON has no Infinity.
      serialization: 'advanced',
    })
    this.#ended = once(this.#process, 'exit')
    this.#process.on('message', ({ result, error }: Answer) => {
      const asked = this.#waiting.shift()
      if (error === undefined) asked?.resolve(result)
      else asked?.reject(new Error(error))
    })
    // That a message could not be sent is told by its end.
    this.#process.on('error', () => {})
    this.#process.on('exit', (code, signal) => {
      for (const { reject } of this.#waiting) reject(new Error(`a server ended: ${signal ?? `exit code ${code}`}`))
    })
  }

  get alive(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null
  }

  get port(): number {
    return this.#port
  }

  get agent(): Agent {
    return this.#agent
  }

  async open(command: Omit<Command & { name: 'open' }, 'name'>): Promise<Answers['open']> {
    const opened = await this.#ask<'open'>({ name: 'open', ...command })
    this.#agent = new Agent({ keepAlive: true })
    this.#port = opened.port
    return opened
  }

  async enrol(customers: { id: string; tier: string }[]): Promise<Record<string, string>> {
    return (await this.#ask<'enrol'>({ name: 'enrol', customers })).keys
  }

  async setClock(now: number): Promise<void> {
    await this.#ask<'clock'>({ name: 'clock', now })
  }

  /** As an operator would: it answers what it has begun, and closes its billing. */
  async close(): Promise<Answers['close']> {
    this.#agent.destroy()
    return this.#ask<'close'>({ name: 'close' })
  }

  /** As a failing machine would. */
  async kill(): Promise<void> {
    if (this.alive) this.#process.kill('SIGKILL')
    await this.#ended
    this.#agent.destroy()
  }

  /** It stands still, and keeps whatever it holds. */
  stall(): void {
    this.#process.kill('SIGSTOP')
  }

  resume(): void {
    this.#process.kill('SIGCONT')
  }

  async #ask<Name extends Command['name']>(command: Command & { name: Name }): Promise<Answers[Name]> {
    if (!this.alive) throw new Error('a server that has ended was asked')
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      this.#process.send(command)
    })
  }
}
