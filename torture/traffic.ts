import { type Customer, isLimited, type LimitedMeter, type Meter } from './customers.js'
import type { Random } from './random.js'

/** Something that a customer is to be charged for. */
export interface Call {
  /** Sent as the user agent, and kept with the event: says which call an event is of. */
  marker: string
  kind: 'request' | 'consume' | 'record'
  customer: Customer
  meter: Meter
  units: number
  /** What makes a retry count once. */
  id?: string
  /** Of a recorded event; others have the server's time. */
  timestamp?: number
}

/** Makes calls, each with a marker of its own. */
export class Traffic {
  readonly #random: Random
  readonly #name: string
  readonly #customers: Customer[]
  /** When recorded events are to have happened. */
  readonly #instant: () => number
  #made = 0

  constructor(name: string, customers: Customer[], random: Random, instant: () => number) {
    this.#name = name
    this.#customers = customers
    this.#random = random
    this.#instant = instant
  }

  /** Any call of any customer. */
  next(): Call {
    const random = this.#random
    const customer = random.pick(this.#customers)
    const chance = random.fraction()
    if (chance < 0.7) return this.#call('request', customer, 'api_request', 1)
    if (chance < 0.9) return this.#call('consume', customer, this.#meter(), random.whole(1, 3))
    const meter = customer.mayExceed || !isLimited(customer) ? this.#meter() : 'data_access'
    return { ...this.#call('record', customer, meter, random.whole(1, 3)), timestamp: this.#instant() }
  }

  /** One unit of a meter. */
  unit(customer: Customer, meter: LimitedMeter): Call {
    return this.#call(meter === 'api_request' ? 'request' : 'consume', customer, meter, 1)
  }

  #meter(): LimitedMeter {
    return this.#random.chance(0.5) ? 'api_request' : 'agent_execution'
  }

  #call(kind: Call['kind'], customer: Customer, meter: Meter, units: number): Call {
    this.#made += 1
    const marker = `torture-${this.#name}-${this.#made}`
    const call: Call = { marker, kind, customer, meter, units }
    return this.#random.chance(0.3) ? { ...call, id: `id-${marker}` } : call
  }
}
