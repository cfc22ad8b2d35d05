import type { DecisionTuple } from './decision.js'
import type { NativeEngine } from './binding.js'

/** What is known of a customer: his id, his subscription's, his tier. */
type Known = [DecisionTuple[1], DecisionTuple[2], DecisionTuple[3]]

/** The customer's number, limit (NaN without one), used, start and end of the period. */
type Figures = Float64Array & Record<0 | 1 | 2 | 3 | 4, number>

/**
 * The native decision function. The usual answer, that a request of a customer who was told of before is admitted, comes as
 * his number and some figures: to make a tuple on the native side costs a microsecond more.
 */
export class Gate {
  readonly #decide: ReturnType<NativeEngine['gate']>
  readonly #figures = new Float64Array(5) as Figures
  readonly #customers: Known[] = []

  constructor(decide: ReturnType<NativeEngine['gate']>) {
    this.#decide = decide
  }

  /** `null`: it comes later, under the ticket. What it throws is the native side's. */
  decide(
    ticket: number,
    now: number,
    key: string,
    method: string,
    path: string,
    rules: number,
    userAgent: string | undefined,
    id: string | undefined,
    units: number,
    isHold: boolean,
    digest: string | undefined,
    dimensions: string | undefined,
  ): DecisionTuple | null {
    const figures = this.#figures
    const decide = this.#decide
    const made = decide(
      ticket,
      now,
      key,
      method,
      path,
      rules,
      userAgent,
      id,
      units,
      isHold,
      digest,
      dimensions,
      figures,
    )
    if (made === null) return null
    if (typeof made === 'number') return this.#recorded(this.#customers[made] as Known)
    const decision = made as DecisionTuple
    // From now on his number says enough.
    if (decision[0] === 'recorded') this.#customers[figures[0]] = [decision[1], decision[2], decision[3]]
    return decision
  }

  #recorded([customerId, subscriptionId, tier]: Known): DecisionTuple {
    const { 1: limit, 2: used, 3: start, 4: end } = this.#figures
    const known = Number.isNaN(limit) ? undefined : limit
    return ['recorded', customerId, subscriptionId, tier, known, used, start, end, undefined, undefined, undefined]
  }
}
