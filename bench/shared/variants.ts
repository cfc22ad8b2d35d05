import { createCustomers, openBilling } from '../customers.js'
import { temporaryDirectory } from '../directories.js'
import type { Variant } from '../http/variants.js'

const CUSTOMERS = 1_000
export const EMBEDDED = 'Weighbridge, SQLite'
export const SHARED = 'Weighbridge, PostgreSQL'
export const PEER = 'rate-limiter-flexible, PostgreSQL'

/** Where several processes meet. */
export interface Place {
  /** The URL of a PostgreSQL database. */
  postgres: string
  /** A directory of one machine. */
  directory: string
}

/** Processes on one store, each with keys of its own of the same customers. */
export const SHARED_VARIANTS: Record<string, (place: Place) => Promise<Variant>> = {
  [EMBEDDED]: async ({ directory }) => billed(openBilling({ dir: directory })),
  [SHARED]: async ({ postgres }) => billed(openBilling({ dir: temporaryDirectory(), store: postgres })),
}

async function billed(billing: ReturnType<typeof openBilling>): Promise<Variant> {
  const keys = await createCustomers(billing, 0, CUSTOMERS)
  return { middleware: billing.middleware(), keys }
}
