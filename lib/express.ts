import type { IncomingMessage, ServerResponse } from 'node:http'
import { setImmediate } from 'node:timers'
import type { RequestBilling } from './requestBilling.js'

declare global {
  namespace Express {
    interface Request {
      /** Whose API key the request came with. Set by Weighbridge. */
      customerId?: string
      /** The customer's Stripe subscription, where known. Set by Weighbridge. */
      subscriptionId?: string
      /** The customer's tier, where he has one. Set by Weighbridge. */
      billingTier?: string
      /** Where the customer stands, and how to bill what is known later. Set by Weighbridge. */
      billing?: RequestBilling
    }
  }
}

/** A request of Express 4 or 5, as far as Weighbridge needs it. */
export interface BillingRequest extends IncomingMessage, Express.Request {
  baseUrl: string
  originalUrl: string
  path: string
  /** Of the client, where Express tells. */
  readonly ip?: string | undefined
  readonly protocol: string
  readonly hostname: string
  params: any
  query: any
  body?: any
  customerId?: string
  subscriptionId?: string
  billingTier?: string
  billing?: RequestBilling
  /** A header. */
  get(name: string): string | undefined
  header(name: string): string | undefined
}

/** A response of Express 4 or 5, as far as Weighbridge needs it. */
export interface BillingResponse extends ServerResponse {
  status(code: number): this
  sendStatus(code: number): this
  json(body: unknown): this
  send(body?: unknown): this
  set(name: string, value: string): this
  type(type: string): this
}

/** Goes on to the next handler, or with an error to the error handlers. */
export type Next = (error?: any) => void

/** A handler for `app.use` of Express 4 or 5. */
export type BillingHandler = (req: BillingRequest, res: BillingResponse, next: Next) => void

/** Bits that the native side knows too. */
const CASE_SENSITIVE = 1
const STRICT = 2

/** By which rules the app compares paths. A router's own settings cannot be seen from here: see the options. */
export function routingRules(req: BillingRequest, caseSensitive?: boolean, strict?: boolean): number {
  const settings = (req as { app?: { settings?: Record<string, unknown> } }).app?.settings
  return (
    ((caseSensitive ?? settings?.['case sensitive routing']) ? CASE_SENSITIVE : 0) |
    ((strict ?? settings?.['strict routing']) ? STRICT : 0)
  )
}

/**
 * The path that Express routes by, mount prefix included. Express's own `req.path` costs half a microsecond, so it is asked
 * only where the URL is unusual: an absolute one, or one with a fragment or white space, which Express parses away.
 */
export function fullPath(req: BillingRequest): string {
  const url = req.url ?? req.path
  const mount = req.baseUrl ?? ''
  const plain = /^(\/[^?#\s]*)(?:\?[^#\s]*)?$/.exec(url)
  const path = plain?.[1] ?? req.path
  const full = path === '/' && mount !== '' ? mount : mount + path
  return full.includes('//') && isExpress4(req) ? full.replace(DOUBLED_SLASH, '$1/') : full
}

/** Express 4 takes two slashes for one where a router is mounted, and where that is cannot be seen from here. */
const DOUBLED_SLASH = /([^/])\/\/(?=[^/])/g

function isExpress4(req: BillingRequest): boolean {
  return typeof (req as { app?: { lazyrouter?: unknown } }).app?.lazyrouter === 'function'
}

/** The credentials of `Authorization: Bearer …`, the scheme in any case (RFC 9110, RFC 6750). */
export function bearerToken(req: IncomingMessage): string | undefined {
  const header = req.headers.authorization
  return header === undefined ? undefined : /^Bearer +([^ ].*)$/i.exec(header)?.[1]
}

/**
 * Calls back once when a response has ended, and tells whether it was finished with a status below 400; at once where it
 * has ended already, as when the client has left while the store was asked.
 *
 * @param awaited is given a promise for the end of what the call does, from the end of the response on
 */
export function onResponseEnd(
  res: ServerResponse,
  ended: (isSuccess: boolean) => Promise<void>,
  awaited: (ending: Promise<void>) => void,
): void {
  // An abort leaves a status of 200 behind and `headersSent`; only `writableFinished` tells.
  const isSuccess = (): boolean => res.writableFinished && res.statusCode < 400
  if (res.writableFinished || res.destroyed) return awaited(ended(isSuccess()))
  let hasEnded = false
  const end = (): void => {
    if (hasEnded) return
    hasEnded = true
    const success = isSuccess()
    awaited(new Promise<void>((resolve) => setImmediate(resolve)).then(() => ended(success)))
  }
  res.on('finish', end)
  res.on('close', end)
}
