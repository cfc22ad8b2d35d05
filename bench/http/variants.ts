import type { RequestHandler } from 'express'
import { rateLimit } from 'express-rate-limit'
import { createCustomers, customerName, LIMIT, openBilling } from '../customers.js'
import { temporaryDirectory } from '../directories.js'
import { type Limiter, memoryLimiter, postgresLimiter, sqliteLimiter } from '../limiters.js'
import { seedMiddleware } from '../seed.js'

/** What stands before the route, and the keys that callers send in turn. */
export interface Variant {
  middleware?: RequestHandler
  keys: string[]
}

const CUSTOMERS = 1_000
export const BASE = 'no-op'
export const AGAIN = 'no-op again'
export const OWN = 'Weighbridge'

/** @param postgres where the PostgreSQL server is, for the variant that needs one */
export const VARIANTS: Record<string, (postgres: string) => Promise<Variant>> = {
  bare: async () => ({ keys: keys(CUSTOMERS) }),
  [BASE]: noOp,
  [AGAIN]: noOp,
  [OWN]: async () => {
    const billing = openBilling({ dir: temporaryDirectory() })
    const keys = await createCustomers(billing, 0, CUSTOMERS)
    return { middleware: billing.middleware(), keys }
  },
  'express-rate-limit, memory': async () => ({
    middleware: rateLimit({
      windowMs: 60_000,
      limit: LIMIT,
      standardHeaders: 'draft-8',
      legacyHeaders: false,
      keyGenerator: (req) => req.headers.authorization ?? '',
    }),
    keys: keys(CUSTOMERS),
  }),
  'rate-limiter-flexible, memory': async () => limited(memoryLimiter()),
  'rate-limiter-flexible, SQLite': async () => limited(await sqliteLimiter(temporaryDirectory())),
  'rate-limiter-flexible, PostgreSQL': async (postgres) => limited(await postgresLimiter(postgres)),
  'JSON files, 10 customers': async () => jsonFiles(10),
  'JSON files, 1,000 customers': async () => jsonFiles(1_000),
  'JSON files, 10,000 customers': async () => jsonFiles(10_000),
}

export function needsPostgres(variant: string): boolean {
  return variant.includes('PostgreSQL')
}

/** What Weighbridge replaces breaks its own file as soon as two requests meet, and fails from then on. */
export function bearsConcurrency(variant: string): boolean {
  return !variant.startsWith('JSON files')
}

async function noOp(): Promise<Variant> {
  return { middleware: (_req, _res, next) => next(), keys: keys(CUSTOMERS) }
}

function keys(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `key-${index}`)
}

/** As its documentation shows it. */
function limited(limiter: Limiter): Variant {
  const middleware: RequestHandler = (req, res, next) => {
    limiter.consume(req.headers.authorization ?? '').then(
      () => next(),
      () => res.status(429).send('Too Many Requests'),
    )
  }
  return { middleware, keys: keys(CUSTOMERS) }
}

function jsonFiles(customers: number): Variant {
  const names = keys(customers)
  const byKey = new Map(names.map((key, index) => [key, customerName(index)]))
  return { middleware: seedMiddleware(temporaryDirectory(), byKey), keys: names }
}
