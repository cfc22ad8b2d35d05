// The same usage as events of a store and as lines of an access log.
import type { Billing, UsageEvent } from '../../index.mjs'
import { createWriteStream } from 'node:fs'
import { finished } from 'node:stream/promises'
import { customerName } from '../customers.js'

export const FROM = Date.UTC(2026, 3, 1)
export const TO = Date.UTC(2026, 4, 1)
const CUSTOMERS = 1_000
const ENDPOINTS = 10
const BATCH = 10_000

interface Request {
  customer: string
  path: string
  at: number
}

/** One after the other, from the first instant to the last. */
function request(number: number, count: number): Request {
  // Neighbours have different customers, and each customer uses all endpoints.
  const mixed = (number * 7919) % (CUSTOMERS * ENDPOINTS)
  return {
    customer: customerName(mixed % CUSTOMERS),
    path: `/api/items/${Math.floor(mixed / CUSTOMERS)}`,
    at: FROM + Math.floor((number / count) * (TO - FROM)),
  }
}

export async function recordUsage(billing: Billing, count: number): Promise<void> {
  for (let first = 0; first < count; first += BATCH) {
    const length = Math.min(BATCH, count - first)
    const events = Array.from({ length }, (_, index): UsageEvent => {
      const { customer, path, at } = request(first + index, count)
      const metadata = { method: 'POST', model: (first + index) % 3 === 0 ? 'large' : 'small' }
      return { customerId: customer, eventType: 'api_request', endpoint: path, timestamp: at, cost: '0.1', metadata }
    })
    await billing.usage.recordEvents(events)
  }
  await billing.flush()
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** In the Combined Log Format. */
export async function writeAccessLog(file: string, count: number): Promise<void> {
  const stream = createWriteStream(file)
  for (let first = 0; first < count; first += BATCH) {
    const length = Math.min(BATCH, count - first)
    const lines = Array.from({ length }, (_, index) => line(request(first + index, count)))
    if (!stream.write(lines.join(''))) await new Promise((resolve) => stream.once('drain', resolve))
  }
  await finished(stream.end())
}

function line({ customer, path, at }: Request): string {
  const [, year, month, day, time] = /^(\d+)-(\d+)-(\d+)T([\d:]+)/.exec(new Date(at).toISOString()) ?? []
  const date = `${day}/${MONTHS[Number(month) - 1]}/${year}:${time} +0000`
  return `192.0.2.1 - ${customer} [${date}] "POST ${path}?page=2 HTTP/1.1" 200 512 "-" "curl/8.5.0"\n`
}
