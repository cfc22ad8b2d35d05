import type { IncomingMessage } from 'node:http'
import { types } from 'node:util'
import { BillingError } from './errors.js'

/** Stripe's events stay far below. */
const MAX_BYTES = 1024 * 1024

/** Where others leave what they have read. */
interface MaybeRead {
  /** A convention: set by `verify` functions and by some hosts. */
  rawBody?: unknown
  /** Of `express.raw()` the bytes, of `express.text()` the text, of `express.json()` what was parsed. */
  body?: unknown
}

/**
 * The bytes of a request's body, whether or not somebody has read them before.
 *
 * @throws BillingError `webhook_body_consumed`, `webhook_too_large`.
 */
export async function rawBody(request: IncomingMessage): Promise<Buffer> {
  const { rawBody, body } = request as MaybeRead
  for (const kept of [rawBody, body]) {
    if (types.isUint8Array(kept) || typeof kept === 'string') return Buffer.from(kept)
  }
  if (!request.readableDidRead && !request.readableEnded) return read(request)
  throw new BillingError(
    'webhook_body_consumed',
    'the body was parsed before, and a signature is of its bytes. Either put the webhook first: ' +
      "app.post('/webhooks/stripe', billing.stripeWebhook()) before app.use(express.json()); or keep the bytes: " +
      'express.json({ verify: (req, _res, bytes) => { req.rawBody = bytes } })',
  )
}

/** The stream itself is left alone, so that a request that is too large can still be answered. */
function read(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    request.on('data', (chunk: Buffer | string) => {
      const bytes = Buffer.from(chunk as Buffer)
      size += bytes.length
      if (size <= MAX_BYTES) chunks.push(bytes)
      else reject(new BillingError('webhook_too_large', `the body has more than ${MAX_BYTES} bytes`))
    })
    request.on('end', () => resolve(Buffer.concat(chunks)))
    request.on('error', reject)
    request.on('close', () => reject(new Error('the request was broken off')))
  })
}
