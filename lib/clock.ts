import { invalidArgument } from './errors.js'

/** What time it is, wherever Weighbridge decides something by it. */
export interface Clock {
  /** Milliseconds since 1970-01-01T00:00:00Z, a whole number, as `Date.now()` gives it. */
  now(): number
}

/** The machine's clock. */
export const systemClock: Clock = { now: () => Date.now() }

export function checkClock(clock: Clock = systemClock): Clock {
  if (typeof clock?.now !== 'function') throw invalidArgument('`clock` must be an object with a function now()')
  return clock
}

/**
 * A clock that stands still until it is told otherwise, for tests that cross a month's end.
 *
 * ```ts
 * const clock = new ManualClock(Date.UTC(2026, 0, 31, 23, 59, 59, 999))
 * const billing = new Billing({ dir, clock })
 * clock.advance(1) // February
 * ```
 */
export class ManualClock implements Clock {
  #now: number

  /** @param now Milliseconds since the epoch; the machine's time by default. */
  constructor(now: number = Date.now()) {
    this.#now = whole(now)
  }

  /** What it was last told. */
  now(): number {
    return this.#now
  }

  /** Moves the clock to an instant, forwards or backwards. */
  set(now: number): void {
    this.#now = whole(now)
  }

  /** Moves the clock forwards, or backwards by a negative number. */
  advance(milliseconds: number): void {
    this.#now = whole(this.#now + milliseconds)
  }
}

function whole(now: number): number {
  if (!Number.isSafeInteger(now)) throw invalidArgument(`a clock needs whole milliseconds since the epoch, got ${now}`)
  return now
}
