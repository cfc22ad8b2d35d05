import { ServerProcess } from './serverProcess.js'

/** Server processes from round to round: those that survive one serve in the next. */
export class Fleet {
  readonly #all = new Set<ServerProcess>()
  readonly #idle: ServerProcess[] = []

  /** Has so many processes starting up, for whoever takes them next. */
  warm(count: number): void {
    while (this.#idle.length < count) this.#idle.push(this.#start())
  }

  take(): ServerProcess {
    return this.#idle.shift() ?? this.#start()
  }

  giveBack(servers: ServerProcess[]): void {
    this.#idle.push(...servers.filter(({ alive }) => alive))
  }

  /** Kills all of them, those in service too. */
  async end(): Promise<void> {
    await Promise.all([...this.#all].map((server) => server.kill()))
    this.#all.clear()
    this.#idle.length = 0
  }

  #start(): ServerProcess {
    const server = new ServerProcess()
    this.#all.add(server)
    return server
  }
}
