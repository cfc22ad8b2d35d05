import type { Clock } from 'weighbridge'

/** Runs like the machine's clock, from an instant that somebody else decides. */
export class JumpingClock implements Clock {
  #origin: number
  #setAt = Date.now()

  constructor(now: number) {
    this.#origin = now
  }

  now(): number {
    return this.#origin + Date.now() - this.#setAt
  }

  jump(now: number): void {
    this.#origin = now
    this.#setAt = Date.now()
  }
}
