import type { StripeCallOptions } from './binding.js'
import { invalidArgument } from './errors.js'
import { checkOptions, checkString } from './options.js'

/** An object of Stripe's API, as Stripe sent it. */
export interface StripeObject {
  id: string
  object: string
  [property: string]: any
}

/**
 * Parameters under Stripe's own names, which are sent as they are: nested objects and arrays too, `null` unsets a field, and
 * a `Date` becomes seconds since the epoch (in version 2 of the API an ISO string).
 *
 * @see https://docs.stripe.com/api
 */
export interface StripeParams {
  [parameter: string]: unknown
}

/** What may differ from call to call, under the names of Stripe's own package. */
export interface StripeRequestOptions {
  /**
   * The same key in a later call gives the answer of the first one, for at least 24 hours; by default a random one for each
   * call. At most 255 characters. Without effect where a call changes nothing.
   */
  idempotencyKey?: string
  /** The `Stripe-Version` of this call. */
  apiVersion?: string
  /** The connected account on whose behalf is asked, `acct_…`. */
  stripeAccount?: string
  /** For each attempt, in milliseconds. */
  timeout?: number
  /** How often to try again after the first attempt. */
  maxNetworkRetries?: number
}

/** Where a customer pays or subscribes, on Stripe's page. The common parameters; all others may be given too. */
export interface CheckoutSessionParams extends StripeParams {
  mode: 'payment' | 'setup' | 'subscription'
  /** Stripe's id of the customer. */
  customer?: string
  line_items?: { price?: string; quantity?: number; [parameter: string]: unknown }[]
  success_url?: string
  cancel_url?: string
  /** Comes back in the session: for your own id of the customer. */
  client_reference_id?: string
}

/** Where a customer sees his bills and changes his card or plan. */
export interface PortalSessionParams extends StripeParams {
  /** Stripe's id of the customer. */
  customer: string
  return_url?: string
}

/** Of which customer or subscription, and after which changes. */
export interface InvoicePreviewParams extends StripeParams {
  /** Stripe's id of the customer. */
  customer?: string
  subscription?: string
  subscription_details?: {
    items?: { id?: string; price?: string; quantity?: number; deleted?: boolean; [parameter: string]: unknown }[]
    proration_behavior?: 'always_invoice' | 'create_prorations' | 'none'
    [parameter: string]: unknown
  }
}

export const REQUEST_OPTIONS: (keyof StripeRequestOptions)[] = [
  'idempotencyKey',
  'apiVersion',
  'stripeAccount',
  'timeout',
  'maxNetworkRetries',
]

/** An id that becomes a part of a path. Anything but Stripe's own alphabet is refused, since it could lead elsewhere. */
export function stripeId(name: string, id: string): string {
  checkString(name, id)
  if (!/^[\w-]+$/.test(id)) {
    throw invalidArgument(
      `\`${name}\` must be an id of Stripe's, made of letters, digits, _ and -; got ${JSON.stringify(id)}`,
    )
  }
  return id
}

export function callOptions(where: string, options: StripeRequestOptions): StripeCallOptions {
  checkOptions(where, options, REQUEST_OPTIONS)
  return options
}

/** The parameters as JSON, in which dates are what the path's version of the API wants. */
export function encodeParams(where: string, path: string, params: StripeParams): string {
  if (typeof params !== 'object' || params === null || Array.isArray(params)) {
    throw invalidArgument(`${where} takes an object of Stripe's parameters`)
  }
  const isVersion1 = path.startsWith('/v1/')
  try {
    return JSON.stringify(params, function (this: StripeParams, name, value: unknown) {
      // What `value` was before `toJSON`.
      const given = this[name]
      return isVersion1 && given instanceof Date ? Math.floor(given.getTime() / 1000) : value
    })
  } catch (error) {
    throw invalidArgument(`${where}: the parameters must be what JSON can hold: ${(error as Error).message}`)
  }
}
