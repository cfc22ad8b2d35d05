import type { ExportRuleInput, SenderInput } from './binding.js'
import { invalidArgument } from './errors.js'
import { checkNumber, checkOptions, checkString } from './options.js'
import type { EventType } from './usageTracker.js'

/** Where at Stripe the usage of one event type goes. */
export interface MeterExport {
  /** The `event_name` of Stripe's meter: by default the event type itself. */
  eventName?: string
  /** The meter's `customer_mapping.event_payload_key`: by default `stripe_customer_id`. */
  customerKey?: string
  /** The meter's `value_settings.event_payload_key`: by default `value`. */
  valueKey?: string
  /** For usage records: the price of the subscription's item, where it has several metered ones. */
  priceId?: string
}

/** How usage is reported to Stripe. Everything has a default. */
export interface UsageExportOptions {
  /** The event types to report, each with its meter's `event_name` or more: by default all, under their own names. */
  meters?: Partial<Record<EventType, string | MeterExport>>
  /**
   * `'meter_events'`: one by one, the default. `'meter_event_stream'`: a hundred in a call, for volume, in live mode only.
   * `'usage_records'`: for prices without a meter, the default on API versions up to `2025-02-24.acacia`, and refused on
   * later ones.
   */
  via?: 'meter_events' | 'meter_event_stream' | 'usage_records'
  /**
   * One report is made for each customer, event type and so many milliseconds: by default 60,000. Whole seconds that
   * divide an hour.
   */
  windowMs?: number
  /**
   * How many calls this process begins in a second, at most: by default 20 with a test key and 200 with a live one. Stripe
   * takes 25 and 1,000, of all processes together.
   */
  callsPerSecond?: number
}

/** What is to be reported, for the store, and to where, for the sender. */
export interface UsageExport {
  rule: ExportRuleInput
  sender: Omit<SenderInput, 'stripe' | 'callsPerSecond'> & { callsPerSecond?: number }
}

const EVENT_TYPES: EventType[] = ['api_request', 'agent_execution', 'data_access']

/** `undefined` says nothing, `null` that nothing is reported any more. */
export function usageExport(exportUsage: boolean | UsageExportOptions | undefined): UsageExport | null | undefined {
  if (exportUsage === undefined) return undefined
  if (exportUsage === false) return null
  const options = exportUsage === true ? {} : exportUsage
  checkOptions('stripe.exportUsage', options, ['meters', 'via', 'windowMs', 'callsPerSecond'])
  const { meters, via, windowMs, callsPerSecond } = options
  if (via !== undefined) checkString('via', via)
  checkNumber('windowMs', windowMs)
  checkNumber('callsPerSecond', callsPerSecond)
  const targets = meterTargets(meters)
  return {
    rule: { meters: targets.map(({ eventType }) => eventType), ...(windowMs !== undefined && { windowMs }) },
    sender: { meters: targets, ...(via && { via }), ...(callsPerSecond !== undefined && { callsPerSecond }) },
  }
}

/** With everything that was left out. By default all event types, under their own names. */
export function meterTargets(
  meters: NonNullable<UsageExportOptions['meters']> = Object.fromEntries(EVENT_TYPES.map((type) => [type, {}])),
): SenderInput['meters'] {
  checkOptions('stripe.exportUsage.meters', meters, EVENT_TYPES)
  return Object.entries(meters).map(([eventType, meter]) => {
    if (meter === undefined) throw invalidArgument(`\`meters.${eventType}\` must be a string or an object`)
    const target = typeof meter === 'string' ? { eventName: meter } : meter
    checkOptions(`stripe.exportUsage.meters.${eventType}`, target, ['eventName', 'customerKey', 'valueKey', 'priceId'])
    for (const [name, value] of Object.entries(target)) checkString(name, value)
    return { eventType, eventName: eventType, customerKey: 'stripe_customer_id', valueKey: 'value', ...target }
  })
}
