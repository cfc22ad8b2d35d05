import { fromNative } from './errors.js'
import { native } from './native.js'
import { checkNumber, checkOptions, checkString } from './options.js'
import { webhookSecrets } from './webhookSecrets.js'

/** An event of Stripe's, as Stripe sent it: of `/v1` with the object in `data.object`, or a thin one of `/v2`. */
export interface StripeEvent {
  id: string
  /** Such as `customer.subscription.updated`. */
  type: string
  [property: string]: any
}

/** What {@link generateTestHeader} signs. */
export interface TestHeaderOptions {
  /** The body, byte for byte as it will be sent. */
  payload: string | Uint8Array
  /** The secret of the webhook. */
  secret: string
  /** When it is to be signed, in seconds since the epoch: by default now, by the machine's clock. */
  timestamp?: number
}

/** How far the time of a signature may be from ours, in seconds: as in Stripe's own package. */
export const TOLERANCE_SECONDS = 300

/**
 * A `Stripe-Signature` header for an event of your own, to test your webhook with; the `generateTestHeaderString` of
 * Stripe's package makes the same.
 *
 * ```ts
 * const payload = JSON.stringify({ id: 'evt_1', type: 'customer.subscription.updated', created, data: { object } })
 * const headers = { 'stripe-signature': generateTestHeader({ payload, secret: 'whsec_test' }) }
 * await fetch(`${url}/webhooks/stripe`, { method: 'POST', headers, body: payload })
 * ```
 *
 * @throws BillingError `invalid_argument`.
 */
export function generateTestHeader(options: TestHeaderOptions): string {
  checkOptions('generateTestHeader', options, ['payload', 'secret', 'timestamp'])
  const { payload, secret, timestamp = Math.floor(Date.now() / 1000) } = options
  checkString('secret', secret)
  checkNumber('timestamp', timestamp)
  return rethrown(() => native().signStripeEvent(Buffer.from(payload), secret, timestamp))
}

/**
 * The event of a webhook, where the signature is of exactly these bytes: for handlers of your own. It takes what the
 * function of this name in Stripe's package takes, and several secrets, too. A signature from the future is refused
 * like one that is too old.
 *
 * @param payload The body as it was received: parsed and written again it is another one.
 * @param header The `Stripe-Signature` header.
 * @param secret The secret of the webhook, or several, as while it is rolled.
 * @param toleranceSeconds How old a signature may be: 300 by default, as in Stripe's package.
 * @param receivedAt In milliseconds since the epoch: by default now, by the machine's clock.
 * @throws BillingError `webhook_signature_invalid`, `webhook_payload_invalid`, `invalid_argument`.
 */
export function constructEvent(
  payload: string | Uint8Array,
  header: string,
  secret: string | string[],
  toleranceSeconds: number = TOLERANCE_SECONDS,
  receivedAt: number = Date.now(),
): StripeEvent {
  checkString('header', header)
  const bytes = Buffer.from(payload)
  const signed = { payload: bytes, signature: header, secrets: webhookSecrets('secret', secret), toleranceSeconds }
  rethrown(() => native().verifyStripeEvent(receivedAt, signed))
  return JSON.parse(bytes.toString('utf8')) as StripeEvent
}

function rethrown<T>(operation: () => T): T {
  try {
    return operation()
  } catch (error) {
    throw fromNative(error)
  }
}
