import { type Customer, LIMITED_METERS } from '../customers.js'
import type { Ledger } from '../ledger.js'
import type { Contents } from '../store.js'
import { type Violation, violation } from '../violation.js'
import { monthStart } from './sums.js'

/** No period's counter is past the limit; of a customer who may exceed it, what a limit holds back is not. */
export function checkLimits({ counters, events }: Contents, customers: Customer[], ledger: Ledger): Violation[] {
  const past: string[] = []
  for (const customer of customers) {
    for (const meter of LIMITED_METERS) {
      const limit = customer.limits[meter]
      const used = new Map<number, number>()
      const add = (period: number, units: number): unknown => used.set(period, (used.get(period) ?? 0) + units)
      if (customer.mayExceed) {
        for (const event of events) {
          const held = ledger.get(event.marker ?? '')?.call.kind !== 'record'
          if (event.customerId === customer.id && event.meter === meter && held) {
            add(monthStart(event.timestamp), event.units)
          }
        }
      } else {
        for (const counter of counters) {
          if (counter.customerId === customer.id && counter.meter === meter) add(counter.periodStart, counter.units)
        }
      }
      for (const [period, units] of used) {
        if (units > limit) past.push(`${customer.id} used ${units} of ${limit} ${meter} in ${month(period)}`)
      }
    }
  }
  return violation('limits', past)
}

/** Of customers who were called for until they were refused, everything is used, in each of the periods. */
export function checkStranded({ counters }: Contents, customers: Customer[], periods: number[]): Violation[] {
  const left: string[] = []
  for (const { id, limits } of customers) {
    for (const meter of LIMITED_METERS) {
      if (limits[meter] === Infinity) continue
      for (const period of periods) {
        const counter = counters.find(
          ({ customerId, meter: counted, periodStart }) =>
            customerId === id && counted === meter && periodStart === period,
        )
        const units = counter?.units ?? 0
        if (units < limits[meter]) {
          left.push(`${id} could use only ${units} of ${limits[meter]} ${meter} in ${month(period)}`)
        }
      }
    }
  }
  return violation('stranded', left)
}

function month(period: number): string {
  return new Date(period).toISOString().slice(0, 7)
}
