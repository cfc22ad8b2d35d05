import { Billing, type BillingOptions } from 'weighbridge'
import { freshDirectory } from './directory'

const opened: Billing[] = []

/** A Billing in a fresh directory, or in the given one, closed after the test. */
export function openBilling(options: BillingOptions = {}): Billing {
  const billing = new Billing({ dir: options.path === undefined ? freshDirectory() : undefined, ...options })
  opened.push(billing)
  return billing
}

afterEach(async () => {
  await Promise.all(opened.splice(0).map((billing) => billing.close()))
})
