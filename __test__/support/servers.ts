import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

/** PostgreSQL servers of the test file's own. */
let program: ChildProcess | undefined
const waiting = new Map<number, (reply: Reply) => void>()
let calls = 0

interface Reply {
  number: number
  value?: Found
  error?: string
}

interface Found {
  server: number
  url: string
  port: number
  data: string
}

afterAll(async () => {
  if (program === undefined) return
  const exited = once(program, 'exit')
  program.disconnect()
  await exited
  program = undefined
})

async function ask(method: string, server: number | undefined, values: unknown[]): Promise<Found | undefined> {
  program ??= fork(join(__dirname, '..', 'programs', 'postgres.mjs')).on('message', (reply: Reply) => {
    waiting.get(reply.number)?.(reply)
    waiting.delete(reply.number)
  })
  const number = (calls += 1)
  const reply = new Promise<Reply>((resolve) => waiting.set(number, resolve))
  program.send({ number, method, server, values })
  const { value, error } = await reply
  if (error !== undefined) throw new Error(error)
  return value
}

export type Settings = Record<string, string>

/** A server that can be stopped and started again; it is removed after the tests of the file. */
export class Server {
  readonly url: string
  readonly port: number
  /** The directory of its data. */
  readonly data: string
  readonly #number: number

  private constructor({ server, url, port, data }: Found) {
    this.url = url
    this.port = port
    this.data = data
    this.#number = server
  }

  /** A new one, with settings for its configuration; it runs. */
  static async start(settings: Settings = {}): Promise<Server> {
    const server = await Server.make(settings)
    await server.start()
    return server
  }

  /** The same, not running yet. */
  static async make(settings: Settings = {}): Promise<Server> {
    return new Server((await ask('make', undefined, [settings])) as Found)
  }

  async start(): Promise<void> {
    await this.#call('start')
  }

  /** `immediate` is as in a crash. */
  async stop(how: 'fast' | 'immediate' = 'fast'): Promise<void> {
    await this.#call('stop', how)
  }

  /** Writes a file into its data, for its eyes only. */
  async write(name: string, text: string): Promise<void> {
    await this.#call('write', name, text)
  }

  /** A standby that follows this server, by the name of `standby`. */
  async startStandby(): Promise<Server> {
    const standby = new Server((await this.#call('makeStandby')) as Found)
    await standby.start()
    return standby
  }

  #call(method: string, ...values: unknown[]): Promise<Found | undefined> {
    return ask(method, this.#number, values)
  }
}
