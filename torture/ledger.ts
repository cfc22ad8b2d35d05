import type { Call } from './traffic.js'

export type Outcome =
  /** 200, counted. */
  | 'admitted'
  /** 200, counted before. */
  | 'duplicate'
  /** 429. */
  | 'refused'
  /** 5xx. */
  | 'failed'
  /** The connection broke before an answer came. */
  | 'unanswered'
  /** An answer that no call here should get. */
  | 'unexpected'

export interface Attempt {
  outcome: Outcome
  /** What came, for people. */
  answer: string
  sentAt: number
  answeredAt: number
}

export interface Entry {
  call: Call
  attempts: Attempt[]
}

/** What the client saw. */
export class Ledger {
  readonly #entries = new Map<string, Entry>()

  note(call: Call, attempt: Attempt): void {
    const entry = this.#entries.get(call.marker)
    if (entry === undefined) this.#entries.set(call.marker, { call, attempts: [attempt] })
    else entry.attempts.push(attempt)
  }

  get(marker: string): Entry | undefined {
    return this.#entries.get(marker)
  }

  entries(): Entry[] {
    return [...this.#entries.values()]
  }
}

export function had({ attempts }: Entry, ...outcomes: Outcome[]): boolean {
  return attempts.some(({ outcome }) => outcomes.includes(outcome))
}

/** Whether the client was told that it is counted. */
export function isAcknowledged(entry: Entry): boolean {
  return had(entry, 'admitted', 'duplicate')
}
