import { EventEmitter } from 'node:events'
import { send } from './client.js'
import type { Attempt, Ledger } from './ledger.js'
import type { ServerProcess } from './serverProcess.js'
import type { Call } from './traffic.js'

/** Calls under way on several servers at a time, noted in a ledger. */
export class Load {
  readonly #ledger: Ledger
  readonly #keys: Record<string, string>
  readonly #lanes = new Map<ServerProcess, Promise<unknown>>()
  readonly #released = new Set<ServerProcess>()
  /** Tells `attempt` of each, and `idle` when no lane is left. */
  readonly #events = new EventEmitter().setMaxListeners(0)

  constructor(ledger: Ledger, keys: Record<string, string>) {
    this.#ledger = ledger
    this.#keys = keys
  }

  /** One call. */
  async send(server: ServerProcess, call: Call): Promise<Attempt> {
    const attempt = await send(server, call, this.#keys)
    this.#ledger.note(call, attempt)
    this.#events.emit('attempt', attempt)
    return attempt
  }

  /** Sends to a server over so many connections until it is released or dead. */
  start(server: ServerProcess, lanes: number, next: () => Call): void {
    const lane = async (): Promise<void> => {
      while (!this.#released.has(server)) {
        const { outcome } = await this.send(server, next())
        if (outcome === 'unanswered') return
      }
    }
    const ended = Promise.all(Array.from({ length: lanes }, lane)).then(() => {
      this.#lanes.delete(server)
      if (this.#lanes.size === 0) this.#events.emit('idle')
    })
    this.#lanes.set(server, ended)
  }

  /** Lets the lanes of a server end with the answers that they wait for. */
  async release(server: ServerProcess): Promise<void> {
    this.#released.add(server)
    await this.#lanes.get(server)
    this.#released.delete(server)
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#lanes.keys()].map((server) => this.release(server)))
  }

  onAttempt(listener: (attempt: Attempt) => void): void {
    this.#events.on('attempt', listener)
  }

  offAttempt(listener: (attempt: Attempt) => void): void {
    this.#events.off('attempt', listener)
  }

  /** Resolves after so many more attempts of that kind, or when no lane is left. */
  async attempts(count: number, wanted: (attempt: Attempt) => boolean = () => true): Promise<void> {
    if (this.#lanes.size === 0) return
    return new Promise((resolve) => {
      let left = count
      const finish = (): void => {
        this.#events.off('attempt', listener).off('idle', finish)
        resolve()
      }
      const listener = (attempt: Attempt): void => {
        if (wanted(attempt)) left -= 1
        if (left <= 0) finish()
      }
      this.#events.on('attempt', listener).once('idle', finish)
    })
  }
}
