import { createCustomers, openBilling } from '../customers.js'
import { temporaryDirectory } from '../directories.js'
import type { PartOptions } from '../options.js'
import type { Table } from '../table.js'
import type { Effort } from './comparison.js'
import { cost } from './cost.js'
import { growth } from './growth.js'
import { operations } from './operations.js'
import { middlewaresOfRoutes, storesOfCustomers, storesOfEvents } from './stores.js'

const CUSTOMERS = 1_000

export async function micro({ quick, store }: PartOptions): Promise<Table[]> {
  const effort: Effort = quick ? { rounds: 3, calls: 5_000 } : { rounds: 15, calls: 20_000 }
  const billing = openBilling({ dir: temporaryDirectory() })
  const keys = await createCustomers(billing, 0, CUSTOMERS)
  const tables = [
    await cost(billing, keys, effort),
    await operations(billing, keys, quick ? effort : { rounds: 7, calls: 10_000 }),
  ]
  const routes = middlewaresOfRoutes([5, 50, 500, 5_000], billing, keys)
  tables.push(await growth('routes', ['Half of the routes have a parameter.'], routes, effort))
  await billing.close()

  const customers = await storesOfCustomers(quick ? [10, 1_000, 10_000] : [10, 1_000, 100_000, 1_000_000])
  const active = 'Up to 1,000 of the customers, from all over the store, send requests.'
  tables.push(await growth('customers', [active], customers.subjects, effort))
  await customers.close()

  const events = await storesOfEvents(quick ? [0, 50_000] : [0, 100_000, 1_000_000], store)
  const added = 'Events at the start; each round adds its calls to each store.'
  tables.push(await growth('events', [added], events.subjects, effort))
  await events.close()
  return tables
}
