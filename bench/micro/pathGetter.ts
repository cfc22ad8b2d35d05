import express, { type Request } from 'express'
import type { AddressInfo } from 'node:net'
import { durationOf } from '../clockwork.js'

const CALLS = 300_000

/** Nanoseconds of Express's own `req.path`, on a request that came over the wire: of a new URL, and of the same again. */
export async function pathGetter(): Promise<{ first: number; again: number }> {
  const req = await realRequest()
  const urls = ['/api/execute?first=1', '/api/execute?second=2']
  let length = 0
  const read = async (change: boolean): Promise<void> => {
    for (let call = 0; call < CALLS; call += 1) {
      // Express keeps what it parsed for as long as the URL stays the same.
      if (change) req.url = urls[call % 2] ?? ''
      length += req.path.length
    }
  }
  await read(true)
  const first = await durationOf(() => read(true))
  const again = await durationOf(() => read(false))
  if (length === 0) throw new Error('the request has no path')
  return { first: first.loop / CALLS, again: again.loop / CALLS }
}

async function realRequest(): Promise<Request> {
  const app = express()
  const request = new Promise<Request>((resolve) => {
    app.use((req, res) => {
      resolve(req)
      res.end()
    })
  })
  const server = app.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/api/execute`, { method: 'POST' })
  server.close()
  return request
}
