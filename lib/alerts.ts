import type { EngineSource } from './defaultEngine.js'
import { invalidArgument } from './errors.js'
import type { ThresholdReached } from './notices.js'
import { checkOptions, checkString } from './options.js'

/**
 * How far an alert is: `kept`, made while there was no receiver (`BillingOptions.alerts`); `pending`, to be sent; `sending`, by
 * one of the processes; `delivered`; `failed`, given up.
 */
export type AlertState = 'kept' | 'pending' | 'sending' | 'delivered' | 'failed'

/** That a share was reached, and how far telling a receiver of it is. */
export interface Alert {
  /** Under which it is sent, in every attempt: the header `webhook-id`. */
  id: string
  state: AlertState
  /** When the event was counted that has reached it, in milliseconds since the epoch. */
  createdAt: number
  /** How often it was sent, or begun to be. */
  attempts: number
  /** In milliseconds since the epoch; of one that is being sent, when somebody else would. `null` where there is none. */
  nextAttemptAt: number | null
  /** Why the last attempt failed. */
  reason: string | null
  reached: ThresholdReached
}

/** Which alerts. */
export interface AlertQuery {
  state?: AlertState
  customerId?: string
  /** The id of the alert before the page: `null` or left out for the first one. */
  startingAfter?: string | null
  /** From 1 to 100: 10 by default. */
  limit?: number
}

/** A page of alerts, the oldest first. */
export interface AlertPage {
  data: Alert[]
  hasMore: boolean
}

const QUERY: (keyof AlertQuery)[] = ['state', 'customerId', 'startingAfter', 'limit']

/** What was reached in the last 90 days, and how far telling of it is. */
export class Alerts {
  readonly #engine: EngineSource

  constructor(engine: EngineSource) {
    this.#engine = engine
  }

  /**
   * A page of alerts, the oldest first.
   *
   * @throws BillingError `invalid_argument`, `closed`, or a `store_*` code.
   */
  async list(query: AlertQuery = {}): Promise<AlertPage> {
    checkOptions('alerts.list', query, QUERY)
    const { startingAfter, limit = 10, ...filters } = query
    if (!(Number.isInteger(limit) && limit >= 1 && limit <= 100)) {
      throw invalidArgument(`\`limit\` must be a whole number from 1 to 100, got ${String(limit)}`)
    }
    const page = { ...filters, limit: limit + 1, ...(startingAfter && { startingAfter }) }
    const alerts = JSON.parse(
      await this.#engine().call<string>((native, ticket) => native.alerts(ticket, page)),
    ) as Alert[]
    return { data: alerts.slice(0, limit), hasMore: alerts.length > limit }
  }

  /**
   * Sends an alert again that was given up, under the same id, and through as many attempts as at first. Answers whether there
   * is a failed alert with this id.
   *
   * @throws BillingError `invalid_argument`, `closed`, or a `store_*` code.
   */
  async retry(id: string): Promise<boolean> {
    checkString('id', id)
    const engine = this.#engine()
    return engine.call<boolean>((native, ticket) => native.retryAlert(ticket, engine.now(), id))
  }
}
