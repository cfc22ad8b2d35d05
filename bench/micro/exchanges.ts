import type { BillingHandler, BillingRequest, BillingResponse } from '../../index.mjs'
import express from 'express'
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Done, Subject } from './subject.js'

export interface Exchange {
  req: BillingRequest
  res: BillingResponse
}

/** A request and its response with what a middleware sees of Express's, and nothing that costs time of its own. */
export function plainExchange(key: string, path: string): Exchange {
  const settings = { 'case sensitive routing': undefined, 'strict routing': undefined }
  const headers = { host: 'localhost', connection: 'keep-alive', authorization: `Bearer ${key}`, 'user-agent': 'bench' }
  const req = { method: 'POST', url: path, originalUrl: path, baseUrl: '', path, headers, app: { settings } }
  const sent = new Map<string, unknown>()
  const res = {
    headersSent: false,
    statusCode: 200,
    setHeader: (name: string, value: unknown) => void sent.set(name, value),
    on: () => res,
    status: (code: number) => {
      throw new Error(`answered ${code}`)
    },
  }
  return { req: req as unknown as BillingRequest, res: res as unknown as BillingResponse }
}

/** Node's own objects with Express's prototypes, as Express makes them of each request. */
export function expressExchange(key: string, path: string): Exchange {
  const app = express()
  const message = new IncomingMessage(new Socket())
  message.method = 'POST'
  message.url = path
  message.headers = { host: 'localhost', authorization: `Bearer ${key}`, 'user-agent': 'bench' }
  const req: BillingRequest = Object.assign(Object.setPrototypeOf(message, app.request), {
    originalUrl: path,
    baseUrl: '',
  })
  const res: BillingResponse = Object.setPrototypeOf(new ServerResponse(message), app.response)
  return { req, res }
}

/** A middleware that is called with each of the exchanges in turn. */
export function middlewareSubject(
  name: string,
  middleware: BillingHandler,
  exchanges: Exchange[],
  settle?: () => Promise<void>,
): Subject {
  const call = (number: number, done: Done): void => {
    const exchange = exchanges[number % exchanges.length]
    if (exchange === undefined) throw new Error('there are no exchanges')
    // One that was passed before is let through at once, so each is another one.
    middleware(Object.create(exchange.req) as BillingRequest, exchange.res, done)
  }
  return { name, call, ...(settle && { settle }) }
}
