import express from 'express'
import type { Billing, BillingOptions } from 'weighbridge'
import { keyOf, limitedTo, openBilling, temporaryDirectory } from './billing'
import { type Answer, byStatus, call, type Call, serve } from './http'
import type { Database } from './postgres'
import { until } from './until'

export const DEADLINE = 100
/** A busy machine answers late, but not as late as a store that is asked without a deadline: that takes five seconds. */
const GUARD = 2_000
export const LIMIT = 1_000_000
/** What a new customer's first lease holds at least, less what has been used of it, and before a refill is asked for. */
export const CERTAIN = 30

export interface Heard {
  degraded: string[]
  recovered: number
}

/** An app that bills on PostgreSQL, and a customer for whom units are set aside. */
export class Service {
  readonly heard: Heard = { degraded: [], recovered: 0 }
  /** Requests that were let through, and so must be counted. */
  admitted = 0
  /** Milliseconds. */
  slowest = 0

  private constructor(
    readonly billing: Billing,
    readonly dir: string,
    readonly database: Database,
    readonly key: string,
    /** Of a customer who has asked for nothing yet. */
    readonly newKey: string,
    readonly port: number,
  ) {
    billing.on('degraded', ({ code }) => this.heard.degraded.push(code))
    billing.on('recovered', () => (this.heard.recovered += 1))
  }

  static async start(database: Database, options: BillingOptions = {}): Promise<Service> {
    const dir = temporaryDirectory()
    const tiers = limitedTo(LIMIT)
    const billing = openBilling({ dir, tiers, storeDeadlineMs: DEADLINE, ...database.options, ...options })
    const key = await keyOf(billing, 'customer-1', 'limited')
    const newKey = await keyOf(billing, 'customer-2', 'limited')
    const app = express()
      .use(billing.middleware({ logger: { error: () => {} } }))
      .use((_, res) => void res.end())
    const service = new Service(billing, dir, database, key, newKey, await serve(app))
    // A busy machine may not answer the first ones in time; the first that is let through has brought units for more.
    await until(async () => (await service.call()).status, 200)
    await until(() => service.counted(), service.admitted)
    return service
  }

  /** A request of the customer, or of another one; it is timed. */
  async call(key = this.key, options: Call = {}): Promise<Answer> {
    const since = performance.now()
    const answer = await call(this.port, '/api/execute', { key, ...options })
    this.slowest = Math.max(this.slowest, performance.now() - since)
    if (answer.status === 200) this.admitted += 1
    return answer
  }

  /** So many at once. */
  callOften(times: number, key = this.key): Promise<Answer[]> {
    return Promise.all(Array.from({ length: times }, () => this.call(key)))
  }

  /** Spends what is set aside, until there is no more of it. */
  async exhaust(): Promise<void> {
    const statuses = new Set<number>()
    while (!statuses.has(500)) {
      for (const status of Object.keys(byStatus(await this.callOften(50)))) statuses.add(Number(status))
      expect([200, 500]).toEqual(expect.arrayContaining([...statuses]))
    }
  }

  expectInTime(): void {
    expect(this.slowest).toBeLessThan(DEADLINE + GUARD)
  }

  /** As many events as the database has. */
  counted(): Promise<number> {
    return this.database.number('SELECT count(*) FROM events')
  }

  /** All that was let through is counted once, soon; and when all is closed nothing is left over. */
  async expectExact(): Promise<void> {
    await until(() => this.counted(), this.admitted)
    await this.billing.close()
    expect(await this.counted()).toBe(this.admitted)
    expect(await this.database.number('SELECT sum(units) FROM period_counters')).toBe(this.admitted)
    expect(await this.database.number('SELECT sum(units) FROM hourly_rollups')).toBe(this.admitted)
    expect(await this.database.rows('SELECT * FROM leases')).toEqual([])
    expect(await this.database.rows('SELECT * FROM journals')).toEqual([])
  }
}

const watches = new Set<() => Promise<number[]>>()

afterEach(async () => {
  await Promise.all([...watches].map((end) => end()))
  watches.clear()
})

/** Looks again and again at the sum of what is used and what is leased. */
export function watchUnits(database: Database): { end: () => Promise<number[]> } {
  const seen: number[] = []
  let isOver = false
  const watch = async (): Promise<void> => {
    while (!isOver) {
      // One statement, so that all of it is of one moment. The server may be away just now.
      const sum = await database
        .number(
          `SELECT (SELECT coalesce(sum(units), 0) FROM period_counters)
                + (SELECT coalesce(sum(units), 0) FROM leases)`,
        )
        .catch(() => undefined)
      if (sum !== undefined) seen.push(sum)
    }
  }
  const watched = watch()
  const end = async (): Promise<number[]> => {
    isOver = true
    await watched
    return seen
  }
  watches.add(end)
  return { end }
}
