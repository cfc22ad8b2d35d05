import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

/** The dashboard in a process of its own, so that it shares no event loop with those who call it. */
export class ServerProcess {
  readonly port: number
  readonly #process: ChildProcess

  private constructor(process: ChildProcess, port: number) {
    this.#process = process
    this.port = port
  }

  /** Resolves when the server listens. */
  static async start(dir: string): Promise<ServerProcess> {
    const child = fork(join(__dirname, '../serve.ts'), ['--dir', dir, '--port', '0'])
    const exited = once(child, 'exit').then(([code]) => {
      throw new Error(`The server ended before it listened, with exit code ${code}`)
    })
    const [{ port }] = (await Promise.race([once(child, 'message'), exited])) as [{ port: number }]
    exited.catch(() => {})
    return new ServerProcess(child, port)
  }

  /** Ends it as an operator would: it answers what it has begun, and closes its billing. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM')
  }

  /** Ends it as a failing machine would: it gets no chance to do anything. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const exited = once(this.#process, 'exit')
    this.#process.kill(signal)
    await exited
  }
}
