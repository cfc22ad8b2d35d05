import { setInterval } from 'node:timers'
import type { Failure } from './binding.js'
import { type BillingError, fromFailure, fromNative } from './errors.js'

/** Called once with the error or the value. */
export type Settle = (error: BillingError | undefined, value: unknown) => void

/** No ticket has this number: what comes under it nobody has asked for. */
const UNASKED = 0
const LONGEST_INTERVAL = 2 ** 31 - 1

/**
 * Who waits for which answer of the native side. Answers come in batches: tickets whose events are written, and
 * `[ticket, error, value, …]`, one call for as
 * many as there are. While anyone waits the process is kept alive; nothing else here does that.
 */
export class Tickets {
  readonly #waiting = new Map<number, Settle>()
  #keepAlive: NodeJS.Timeout | undefined
  #last = 0
  readonly #unasked: Settle

  /** @param notice is told what nobody has asked for. */
  constructor(notice: (notice: unknown) => void = () => {}) {
    this.#unasked = (_, value) => notice(value)
  }

  /** A ticket whose answer goes to `settle`. */
  issue(settle: Settle): number {
    const ticket = ++this.#last
    if (this.#waiting.size === 0) this.#holdProcess()
    this.#waiting.set(ticket, settle)
    return ticket
  }

  /** Nobody waits for this answer any more. */
  withdraw(ticket: number): void {
    this.#waiting.delete(ticket)
    if (this.#waiting.size === 0) this.#keepAlive?.unref()
  }

  /** A promise for the answer to an operation that takes a ticket. What the operation throws rejects it. */
  promise<T>(operation: (ticket: number) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const ticket = this.issue((error, value) => (error === undefined ? resolve(value as T) : reject(error)))
      try {
        operation(ticket)
      } catch (error) {
        this.withdraw(ticket)
        reject(fromNative(error))
      }
    })
  }

  /** No answer comes any more. */
  dispose(): void {
    clearInterval(this.#keepAlive)
    this.#keepAlive = undefined
  }

  #holdProcess(): void {
    this.#keepAlive ??= setInterval(() => {}, LONGEST_INTERVAL)
    this.#keepAlive.ref()
  }

  readonly deliver = (written: number[], batch: unknown[]): void => {
    for (const ticket of written) this.#hand(ticket, undefined, undefined)
    for (let index = 0; index < batch.length; index += 3) {
      const ticket = batch[index] as number
      const failure = batch[index + 1] as Failure | undefined
      this.#hand(ticket, failure === undefined ? undefined : fromFailure(failure), batch[index + 2])
    }
  }

  #hand(ticket: number, error: BillingError | undefined, value: unknown): void {
    const settle = ticket === UNASKED ? this.#unasked : this.#waiting.get(ticket)
    if (settle === undefined) return
    this.withdraw(ticket)
    try {
      settle(error, value)
    } catch (error) {
      // What a handler of the caller's throws is his, whatever it is, and must not cost the others their answers.
      queueMicrotask(() => {
        throw error
      })
    }
  }
}
