// What the growth of a call's cost is measured over.
import type { Billing } from '../../index.mjs'
import { performance } from 'node:perf_hooks'
import { createCustomers, customerName, openBilling } from '../customers.js'
import { temporaryDirectory } from '../directories.js'
import { countEvents, fill } from '../events.js'
import { middlewareSubject, plainExchange } from './exchanges.js'
import type { Subject } from './subject.js'

/** So many of a store's customers send requests. */
const ACTIVE = 1_000
/** Customers are created no longer than this. */
const PATIENCE_MILLISECONDS = 180_000
const CREATED_AT_A_TIME = 10_000

export interface GrowingStores {
  subjects: Subject[]
  close(): Promise<void>
}

export async function storesOfCustomers(sizes: number[]): Promise<GrowingStores> {
  const billings: Billing[] = []
  const subjects: Subject[] = []
  for (const size of sizes) {
    const billing = openBilling({ dir: temporaryDirectory() })
    billings.push(billing)
    const keys: string[] = []
    const began = performance.now()
    while (keys.length < size && performance.now() - began < PATIENCE_MILLISECONDS) {
      const to = Math.min(size, keys.length + CREATED_AT_A_TIME)
      keys.push(...(await createCustomers(billing, keys.length, to)))
    }
    const step = Math.max(1, Math.floor(keys.length / ACTIVE))
    const active = keys.filter((_, index) => index % step === 0).slice(0, ACTIVE)
    subjects.push(subjectOf(count(keys.length), billing, active))
  }
  return { subjects, close: () => closeAll(billings) }
}

/** @param large a directory with the largest of the stores */
export async function storesOfEvents(sizes: number[], large: string): Promise<GrowingStores> {
  const billings: Billing[] = []
  const subjects: Subject[] = []
  for (const size of sizes) {
    const billing = openBilling({ dir: temporaryDirectory() })
    billings.push(billing)
    const keys = await createCustomers(billing, 0, ACTIVE)
    await fill(billing, size)
    subjects.push(subjectOf(count(size), billing, keys))
  }
  const billing = openBilling({ dir: large })
  billings.push(billing)
  const names = Array.from({ length: ACTIVE }, (_, index) => customerName(index))
  const created = await Promise.all(names.map((customerId) => billing.keys.create({ customerId })))
  const keys = created.map(({ key }) => key)
  subjects.push(subjectOf(count(await countEvents(billing)), billing, keys))
  return { subjects, close: () => closeAll(billings) }
}

/** Every second route has a parameter. */
export function middlewaresOfRoutes(sizes: number[], billing: Billing, keys: string[]): Subject[] {
  return sizes.map((size) => {
    const routes = Array.from({ length: size }, (_, index) => `/api/resource-${index}${index % 2 === 1 ? '/:id' : ''}`)
    const pricing = Object.fromEntries(routes.map((route) => [route, { pricePerRequest: '0.1' }]))
    const exchanges = keys.map((key, index) => {
      // Spread over the whole list, however long it is.
      const route = routes[(index * 7919) % size] ?? ''
      return plainExchange(key, route.replace(':id', 'item-1'))
    })
    return middlewareSubject(count(size), billing.middleware({ pricing }), exchanges, () => billing.flush())
  })
}

function subjectOf(name: string, billing: Billing, keys: string[]): Subject {
  const exchanges = keys.map((key) => plainExchange(key, '/api/execute'))
  return middlewareSubject(name, billing.middleware(), exchanges, () => billing.flush())
}

function count(number: number): string {
  return number.toLocaleString('en')
}

async function closeAll(billings: Billing[]): Promise<void> {
  for (const billing of billings) await billing.close()
}
