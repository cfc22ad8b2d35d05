import { resolve } from 'node:path'
import type { NativeAccessLog } from './binding.js'
import type { InstantInput } from './credits.js'
import { fromNative } from './errors.js'
import { native } from './native.js'
import { checkOptions, checkString } from './options.js'
import { json } from './question.js'
import { checkedQuestion, type Simulation, type SimulationPlan } from './simulation.js'
import { Tickets } from './tickets.js'

/** A catalog, and which of its tiers the customers of a log would have: what `customers` says, or else `tierId`. */
export type AccessLogPlan = Omit<SimulationPlan, 'tiers'>

/** Which log, and what it is to be billed by. */
export interface AccessLogQuestion extends AccessLogPlan {
  /** The log: a text, or one that gzip has compressed. It is read from its beginning to its end, a piece at a time. */
  file: string
  /**
   * How its lines are written: `'common'`, `'combined'` (more fields may follow the user agent) or `'json'`. Left out, each line
   * is read by its looks.
   */
  format?: 'common' | 'combined' | 'json'
  /**
   * By what requests are told apart: `'user'`, the authenticated user, without one the address (the default); `'address'`; or a
   * field of JSON lines.
   */
  customer?: 'user' | 'address' | (string & {})
  /**
   * Which requests are billed: all but those that were answered 401, 402, 403 or 429 (`'request'`, the default), or of these
   * only those with a status below 400 (`'success'`).
   */
  billOn?: 'request' | 'success'
  /** The IANA time zone of the calendar months that are billed: by default `UTC`. */
  timeZone?: string
  /** The first instant that counts: by default all do. A month that is cut counts with its share of base amount and minimum. */
  from?: InstantInput
  /** The first instant after it. */
  to?: InstantInput
  /** Another catalog to compare with. Without one nothing is known of what was paid. */
  baseline?: AccessLogPlan
  /** How many customers are listed: by default 1,000. Sums have them all. */
  limit?: number
}

/** What a catalog would have brought for the requests of a log. `missingEvents` is always 0. */
export interface AccessLogSimulation extends Simulation {
  /** All lines that are not empty. */
  lines: number
  /** Requests that are not billed, by what they were answered. */
  unbilledLines: number
  /** Lines that tell of no request. They are passed over. */
  badLines: number
  /** The first five of them. */
  firstBadLines: BadLine[]
}

/** A line that tells of no request. */
export interface BadLine {
  /** Its number, from 1. */
  line: number
  /** Why, for people: `has no date such as …`. */
  reason: string
  /** Its beginning. */
  text: string
}

const QUESTION = [
  'file',
  'catalog',
  'customers',
  'tierId',
  'format',
  'customer',
  'billOn',
  'timeZone',
  'from',
  'to',
  'baseline',
  'limit',
] satisfies (keyof AccessLogQuestion)[]

/**
 * What the requests of an access log would cost by a catalog: each is one unit of the meter `api_request` (JSON lines may say
 * otherwise), at the price of its method and path, for the calendar month in which it was made. See docs/simulation.md for what
 * is read of a line.
 *
 * Needs no Billing and no store. What is held in memory grows with customers and prices, not with the log.
 *
 * @throws CatalogError where a catalog is none; BillingError `unknown_tier` where it lacks a tier that is named;
 * `invalid_argument` for bad options, and where the file cannot be read.
 */
export async function simulateAccessLog(question: AccessLogQuestion): Promise<AccessLogSimulation> {
  checkOptions('simulateAccessLog', question, QUESTION)
  checkString('file', question.file)
  const text = json('a question', {
    ...checkedQuestion('simulateAccessLog', question),
    file: resolve(question.file),
  })
  const tickets = new Tickets()
  try {
    const log = nativeAccessLog(tickets)
    const answer = await tickets.promise<string>((ticket) => log.simulate(ticket, text))
    return { ...(JSON.parse(answer) as AccessLogSimulation), missingEvents: 0 }
  } finally {
    tickets.dispose()
  }
}

function nativeAccessLog(tickets: Tickets): NativeAccessLog {
  try {
    return new (native().NativeAccessLog)(tickets.deliver)
  } catch (error) {
    throw fromNative(error)
  }
}
