import type * as binding from './binding.js'
import { BillingError, fromNative, invalidArgument } from './errors.js'
import { native } from './native.js'

/** Asks one of the addon's pure functions, with its errors as ours. */
export function ask<Answer>(question: (native: typeof binding) => Answer): Answer {
  try {
    return question(native())
  } catch (error) {
    throw error instanceof BillingError ? error : fromNative(error)
  }
}

/**
 * A question as JSON. What JSON would lose becomes a string: a bigint, and NaN, Infinity and invalid dates, which are then
 * refused where they stand.
 */
export function json(what: string, question: unknown): string {
  try {
    const text = JSON.stringify(
      question,
      function (this: Record<string, unknown>, key: string, value: unknown): unknown {
        if (typeof value === 'bigint' || (typeof value === 'number' && !Number.isFinite(value))) return String(value)
        const isInvalidDate = value === null && this[key] !== null
        return isInvalidDate ? String(this[key]) : value
      },
    )
    return text ?? 'null'
  } catch (error) {
    throw invalidArgument(`${what} must be an object that JSON can hold: ${(error as Error).message}`)
  }
}
