import type * as binding from './binding.js'
import { BillingError, fromNative, invalidArgument } from './errors.js'
import { native } from './native.js'

/** Asks a plain function of the native side. */
export function ask<Answer>(question: (native: typeof binding) => Answer): Answer {
  try {
    return question(native())
  } catch (error) {
    throw error instanceof BillingError ? error : fromNative(error)
  }
}

/** What JSON would lose becomes a string: a bigint, and NaN and Infinity, which are then refused where they stand. */
export function json(what: string, question: unknown): string {
  const text = (_: string, value: unknown): unknown =>
    typeof value === 'bigint' || (typeof value === 'number' && !Number.isFinite(value)) ? String(value) : value
  try {
    return JSON.stringify(question, text) ?? 'null'
  } catch (error) {
    throw invalidArgument(`${what} must be an object that JSON can hold: ${(error as Error).message}`)
  }
}
