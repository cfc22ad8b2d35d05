import { clearInterval, setInterval } from 'node:timers'
import type { NativeSender, SenderInput } from './binding.js'
import type { Engine } from './engine.js'
import { BillingError, fromNative } from './errors.js'
import { native } from './native.js'
import { Tickets } from './tickets.js'

/** How often the sender is told what time it is. */
const PULSE_MS = 1_000

/** The native sender, which works by itself, and does not keep the process alive. */
export class UsageSender {
  readonly #tickets = new Tickets()
  readonly #native: NativeSender
  #pulse: NodeJS.Timeout | undefined

  /** Looks at everything, and starts nothing. */
  constructor(input: SenderInput) {
    try {
      this.#native = new (native().NativeSender)(input, this.#tickets.deliver)
    } catch (error) {
      this.#tickets.dispose()
      throw error instanceof BillingError ? error : fromNative(error)
    }
  }

  /** Begins to send what this engine's store has, and ends when it closes. */
  start(engine: Engine): void {
    engine.attach((nativeEngine) => this.#native.start(nativeEngine, engine.now()))
    this.#pulse = setInterval(() => this.#native.tell(engine.now()), PULSE_MS).unref()
    engine.beforeClosing(() => this.#close())
  }

  /** Resolves when nothing is left to be sent now. */
  flush(now: number, timeoutMs: number): Promise<void> {
    return this.#tickets.promise((ticket) => {
      this.#native.tell(now)
      this.#native.flush(ticket, timeoutMs)
    })
  }

  /** Resolves when what was under way is settled. */
  async #close(): Promise<void> {
    clearInterval(this.#pulse)
    await this.#tickets.promise<void>((ticket) => this.#native.close(ticket)).finally(() => this.#tickets.dispose())
  }
}
