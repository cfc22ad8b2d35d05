import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A request that came in, with its parameters decoded and sorted. */
export interface Asked {
  method: string
  path: string
  parameters: [name: string, value: string][]
  headers: Record<string, string | string[] | undefined>
}

/** Answers a request: a status and a body for it. */
export type Script = (asked: Asked) => { status?: number; headers?: Record<string, string>; body: unknown }

/** Where Stripe would be: writes down what it is asked, and answers by a script. */
export interface Recorder {
  url: string
  port: number
  asked: Asked[]
}

const servers: Server[] = []

export async function recordStripe(script: Script): Promise<Recorder> {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const url = new URL(request.url ?? '/', 'http://stripe.test')
      const form = new URLSearchParams(Buffer.concat(chunks).toString())
      const parameters = [...url.searchParams, ...form].sort()
      const one = { method: request.method ?? '', path: url.pathname, parameters, headers: request.headers }
      asked.push(one)
      const { status = 200, headers = {}, body } = script(one)
      response.writeHead(status, { 'content-type': 'application/json', 'request-id': 'req_1', ...headers })
      response.end(JSON.stringify(body))
    })
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, port, asked }
}

afterEach(async () => {
  await Promise.all(
    servers.splice(0).map((server) => {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(resolve))
    }),
  )
})
