import type { Failure, StripeFailure } from './binding.js'

/**
 * What went wrong, for a program. Codes never change their meaning.
 *
 * | code | what to do |
 * |---|---|
 * | `invalid_argument` | an argument or option has the wrong type, is out of range, or is unknown: the message names it |
 * | `invalid_catalog` | the tiers, the price list or a price contradict themselves: the message names the place |
 * | `metadata_too_large` | an event's metadata is more than 16 KiB of JSON |
 * | `amount_overflow` | a sum of money no longer fits 28 digits |
 * | `unknown_tier` | no tier has this id |
 * | `unknown_key` | no API key has this id |
 * | `unknown_grant` | the customer has no grant with this id |
 * | `key_exists` | the imported secret is an API key already |
 * | `key_revoked` | a revoked or expired key cannot be rotated: create a new one |
 * | `idempotency_conflict` | the id was used before for an event with other contents: use a new id |
 * | `closed` | `close()` was called |
 * | `close_timeout` | `close({ timeoutMs })` ran out of time; closing goes on |
 * | `overloaded` | more than 262,144 changes wait for the store: slow down and try again |
 * | `store_busy` | another process held the database's lock for five seconds: try again |
 * | `store_full` | the disk is full: make room and try again |
 * | `store_read_only` | the database or its directory cannot be written |
 * | `store_newer` | the database was written by a newer Weighbridge: upgrade this one |
 * | `store_foreign` | the file is not a Weighbridge database: choose another `dir` |
 * | `store_corrupt` | the database file is damaged: restore a backup |
 * | `store_rejected` | the database has refused what it was to hold, and would again; everything else was recorded |
 * | `store_timeout` | the store has not answered within `storeDeadlineMs`; what was asked for may still happen |
 * | `store_unavailable` | the store failed in another way: the message says how |
 * | `store_in_use` | processes use the store that is to be moved: close them |
 * | `store_not_empty` | the schema that a store is to be moved to holds another one: choose another schema |
 * | `store_moving` | a store is being moved into this schema: call `weighbridge migrate-store` until it has finished |
 * | `store_moved` | the store was moved to PostgreSQL: open that one with `store` |
 * | `migration_mismatch` | what was moved differs from its source, which stays the store: the message says where and what to do |
 * | `stripe_key_missing` | neither `secretKey` nor `STRIPE_SECRET_KEY` is set |
 * | `stripe_price_not_metered` | the subscription's price takes no usage |
 * | `stripe_tier_not_found` | the subscription has no item with a tier's price, or several: the message tells its prices |
 * | `stripe_catalog_conflict` | what Stripe has under a lookup key differs from the catalog: the message says where |
 * | `webhook_signature_invalid` | the webhook was not signed with its secret, or not lately: the message says what to do |
 * | `webhook_payload_invalid` | the webhook is signed, but no event of Stripe's: send only those |
 * | `webhook_body_consumed` | the webhook's body was parsed before: the message says how to keep its bytes |
 * | `webhook_secret_missing` | set `STRIPE_WEBHOOK_SECRET` or pass `stripe: { webhookSecret }` |
 * | `webhook_too_large` | a webhook has more than 1 MiB: Stripe's have not |
 * | `webhook_in_progress` | another delivery of the event is being worked on: Stripe sends it again |
 * | `export_timeout` | `outbox.flush({ timeoutMs })` ran out of time; sending goes on |
 * | `native_load_failed` | the native addon could not be loaded: the message says what was tried and what to do |
 * | `internal` | a bug in Weighbridge: please report it |
 */
export type BillingErrorCode =
  | 'invalid_argument'
  | 'invalid_catalog'
  | 'metadata_too_large'
  | 'amount_overflow'
  | 'unknown_tier'
  | 'unknown_key'
  | 'unknown_grant'
  | 'key_exists'
  | 'key_revoked'
  | 'idempotency_conflict'
  | 'closed'
  | 'close_timeout'
  | 'overloaded'
  | 'store_busy'
  | 'store_full'
  | 'store_read_only'
  | 'store_newer'
  | 'store_foreign'
  | 'store_corrupt'
  | 'store_rejected'
  | 'store_timeout'
  | 'store_unavailable'
  | 'store_in_use'
  | 'store_not_empty'
  | 'store_moving'
  | 'store_moved'
  | 'migration_mismatch'
  | 'stripe_key_missing'
  | 'stripe_price_not_metered'
  | 'stripe_tier_not_found'
  | 'stripe_catalog_conflict'
  | 'webhook_signature_invalid'
  | 'webhook_payload_invalid'
  | 'webhook_body_consumed'
  | 'webhook_secret_missing'
  | 'webhook_too_large'
  | 'webhook_in_progress'
  | 'export_timeout'
  | 'native_load_failed'
  | 'internal'

/**
 * Every error that Weighbridge throws or rejects with, except {@link StripeError}, which is what Stripe answered.
 * Whatever it refused, it changed nothing. Messages never hold an API key or a Stripe key.
 */
export class BillingError extends Error {
  override readonly name: string = 'BillingError'
  /** Stable, for programs; the message is for people. */
  readonly code: BillingErrorCode

  constructor(code: BillingErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** A mistake in a catalog. */
export interface CatalogMistake {
  /** Where it is, such as `catalog.tiers[1].limits[0].meter`. */
  place: string
  /** What is wrong there and what to do, for people. It names the place too. */
  message: string
}

/** What is wrong with a catalog: all of it, not only the first mistake. Its code is `invalid_catalog`. */
export class CatalogError extends BillingError {
  override readonly name: string = 'CatalogError'
  /** At least one. */
  readonly mistakes: readonly CatalogMistake[]

  /** @internal */
  constructor(mistakes: readonly CatalogMistake[]) {
    const [first] = mistakes
    const all = mistakes.map(({ message }) => `- ${message}`).join('\n')
    super(
      'invalid_catalog',
      mistakes.length === 1 && first ? first.message : `the catalog has ${mistakes.length} mistakes:\n${all}`,
    )
    this.mistakes = mistakes
  }
}

/**
 * What Stripe refused, or why it could not be asked. The fields are those of Stripe's own package.
 *
 * @see https://docs.stripe.com/api/errors
 */
export class StripeError extends Error {
  override readonly name: string = 'StripeError'
  /** Such as `StripeInvalidRequestError`, `StripeCardError` or `StripeConnectionError`. */
  readonly type: string
  /** Stripe's code, such as `resource_missing`. */
  readonly code: string | undefined
  /** The parameter that it is about. */
  readonly param: string | undefined
  readonly decline_code: string | undefined
  /** The HTTP status; `undefined` where no answer came. */
  readonly statusCode: number | undefined
  /** For Stripe's support. */
  readonly requestId: string | undefined

  /** @internal */
  constructor(failure: StripeFailure) {
    super(failure.message)
    this.type = failure.type
    this.code = failure.code
    this.param = failure.param
    this.decline_code = failure.declineCode
    this.statusCode = failure.statusCode
    this.requestId = failure.requestId
  }
}

/** Whether the store is to blame, and not what it was asked. */
export function isOutage(error: unknown): boolean {
  const { code } = error as { code?: unknown }
  return typeof code === 'string' && (code.startsWith('store_') || code === 'overloaded')
}

export function invalidArgument(message: string): BillingError {
  return new BillingError('invalid_argument', message)
}

/** What the native side delivered. */
export function fromFailure(failure: Failure): BillingError {
  return new BillingError(failure.code as BillingErrorCode, failure.message)
}

/**
 * What the native side threw. Its errors belong to another realm inside Jest, so they are made anew here. An error
 * without one of our codes (they are all lower case) comes from the conversion of an argument.
 */
export function fromNative(error: unknown): BillingError {
  const { code, message } = error as { code?: unknown; message?: unknown }
  const known = typeof code === 'string' && /^[a-z_]+$/.test(code)
  return new BillingError(known ? (code as BillingErrorCode) : 'invalid_argument', readable(String(message)))
}

const TYPES: Record<string, string> = { String: 'a string', f64: 'a number', bool: 'a boolean', null: 'null' }

/** Says in JavaScript's words what napi says in Rust's. */
export function readable(message: string): string {
  const field = / on (?:\w+\.|`)(\w+)/.exec(message)?.[1]
  const subject = field === undefined ? 'the argument' : `\`${field}\``
  if (message.startsWith('Failed to get Array length')) return `${subject} must be an array`
  const either = /^Value is none of these types (.*)/s.exec(message)?.[1]
  if (either !== undefined) {
    const types = [...either.matchAll(/`(\w+)`/g)].map(([, type = '']) => TYPES[type] ?? type)
    return `${subject} must be ${types.join(' or ')}`
  }
  const conversion =
    /Failed to convert (?:JavaScript value `(?<shown>.*)`|napi value(?: (?<kind>\w+))?) into rust type `(?<type>.*?)`/s
  const { shown, kind, type } = conversion.exec(message)?.groups ?? {}
  if (type === undefined) return message
  const got = (shown ?? kind)?.trim()
  return `${subject} must be ${TYPES[type] ?? type}${got === undefined ? '' : `, got ${got}`}`
}
