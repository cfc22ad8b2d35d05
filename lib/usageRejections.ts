import type { UsageReport } from './binding.js'
import type { Engine } from './engine.js'
import type { StripeObject } from './stripeRequests.js'

/** Usage that Stripe took and found wrong afterwards. */
export interface UsageRejection {
  /** It is `dead` now, and tells the customer: mend the cause, then `billing.stripe.outbox.retry(report.id)`. */
  report: UsageReport
  /** Why, in Stripe's word: such as `meter_event_customer_not_found`. */
  code: string
  message: string
}

const TYPES = ['v1.billing.meter.error_report_triggered', 'v1.billing.meter.no_meter_found']

/** Whether an event tells of usage that Stripe found wrong after it took it. */
export function tellsOfRejections(type: string): boolean {
  return TYPES.includes(type)
}

interface ErrorReport {
  reason?: {
    error_types?: {
      code?: string
      sample_errors?: { error_message?: string; request?: { identifier?: string } }[]
    }[]
  }
}

/**
 * Makes the reports dead that an event names. What is not ours, and what is dead already, is passed over.
 *
 * @param event As Stripe answers where it is asked for: the one that is delivered may be without its data.
 */
export async function rejectUsage(engine: Engine, event: StripeObject): Promise<UsageRejection[]> {
  const { reason } = (event['data'] ?? {}) as ErrorReport
  const rejections: UsageRejection[] = []
  for (const { code = 'unknown', sample_errors: samples = [] } of reason?.error_types ?? []) {
    for (const { error_message: message = '', request } of samples) {
      const id = request?.identifier
      if (id === undefined) continue
      const report = await engine.call<UsageReport | null>((native, ticket) =>
        native.rejectUsageReport(ticket, engine.now(), id, message === '' ? code : `${code}: ${message}`),
      )
      if (report !== null) rejections.push({ report, code, message })
    }
  }
  return rejections
}
