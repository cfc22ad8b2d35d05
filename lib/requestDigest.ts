import { createHash } from 'node:crypto'
import type { BillingRequest } from './express.js'

/**
 * What makes two requests with one `Idempotency-Key` the same request: the full URL, and the body where something before
 * has parsed it. Half a SHA-256, in hexadecimal.
 */
export function requestDigest(req: BillingRequest): string {
  const hash = createHash('sha256').update(req.originalUrl)
  const body = bodyText(req.body)
  // A URL holds no such character.
  if (body !== undefined) hash.update('\0').update(body)
  return hash.digest('hex').slice(0, 32)
}

function bodyText(body: unknown): string | Uint8Array | undefined {
  if (typeof body === 'string' || body instanceof Uint8Array) return body
  try {
    return JSON.stringify(body)
  } catch {
    // Nothing that a parser makes of bytes: a circle, or a BigInt.
    return undefined
  }
}
