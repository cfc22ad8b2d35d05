import { existsSync } from 'node:fs'
import { type Customer, LIMITED_METERS } from './customers.js'
import { Database } from './database.js'
import { journalsPath } from './journals.js'
import { type Violation, violation } from './violation.js'

const PAUSE = 5

const COUNTED = 'SELECT customer_id, period_start, meter, units AS counted, 0 AS leased FROM period_counters'
const LEASED = 'SELECT customer_id, period_start, quota, 0, units FROM leases'

interface Standing {
  customer: string
  period: number
  meter: string
  counted: number
  leased: number
}

/** Looks at the store while servers work on it: what is counted and what is leased are never past a limit together. */
export class Watch {
  readonly #dir: string
  readonly #customers: Customer[]
  readonly #past = new Set<string>()
  #database: Database | undefined
  #timer: NodeJS.Timeout | undefined
  looks = 0
  /** Looks at which the store could not be read. */
  blind = 0
  leases = false
  journals = false
  /** The most units that were seen out on lease at a time. */
  mostLeased = 0

  constructor(dir: string, customers: Customer[]) {
    this.#dir = dir
    this.#customers = customers.filter(({ mayExceed }) => !mayExceed)
  }

  start(): void {
    this.#timer = setInterval(() => this.look(), PAUSE).unref()
  }

  look(): void {
    try {
      if (!this.journals) this.journals = existsSync(journalsPath(this.#dir))
      this.#database ??= this.#open()
      this.#judge(this.#standings(this.#database))
      this.looks += 1
    } catch {
      this.blind += 1
    }
  }

  /** Closes the database too: a look would hide a crash from whoever opens it next. */
  stop(): void {
    clearInterval(this.#timer)
    this.#database?.close()
    this.#database = undefined
  }

  get violations(): Violation[] {
    return violation('limits meanwhile', [...this.#past])
  }

  #open(): Database {
    const database = new Database(this.#dir)
    this.leases = database.hasTable('leases')
    return database
  }

  #standings(database: Database): Standing[] {
    return database.rows<Standing>(
      ['customer', 'period', 'meter', 'counted', 'leased'],
      `SELECT customer_id AS customer, period_start AS period, meter, sum(counted) AS counted, sum(leased) AS leased
       FROM (${this.leases ? `${COUNTED} UNION ALL ${LEASED}` : COUNTED}) GROUP BY 1, 2, 3`,
    )
  }

  #judge(standings: Standing[]): void {
    this.mostLeased = Math.max(
      this.mostLeased,
      standings.reduce((sum, { leased }) => sum + leased, 0),
    )
    for (const { customer, meter, counted, leased } of standings) {
      const known = this.#customers.find(({ id }) => id === customer)
      const limited = LIMITED_METERS.find((name) => name === meter)
      if (known === undefined || limited === undefined) continue
      const limit = known.limits[limited]
      if (counted + leased > limit) {
        this.#past.add(`${customer} had ${counted} counted and ${leased} leased of ${limit} ${meter}`)
      }
    }
  }
}
