import { Agent, createServer, type RequestListener, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** An answer, with its body parsed where it is JSON. */
export interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: any
}

export interface Client {
  port: number
  send(method: string, path: string, headers?: Record<string, string>): Promise<Answer>
  /** With an API key as bearer token. */
  call(key: string, path: string, method?: string): Promise<Answer>
}

const servers: Server[] = []
const agents: Agent[] = []

/** Serves an app over real HTTP until the test ends. */
export async function serve(app: RequestListener): Promise<Client> {
  const server = createServer(app)
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const agent = new Agent({ keepAlive: true, maxSockets: 200 })
  agents.push(agent)
  const send: Client['send'] = (method, path, headers = {}) =>
    new Promise((resolve, reject) => {
      const outgoing = request({ host: '127.0.0.1', port, method, path, headers, agent }, (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('end', () => {
          const text = Buffer.concat(chunks).toString()
          const isJson = /json/.test(incoming.headers['content-type'] ?? '')
          const body = isJson && text !== '' ? JSON.parse(text) : text
          resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body })
        })
      })
      outgoing.on('error', reject)
      outgoing.end()
    })
  return { port, send, call: (key, path, method = 'GET') => send(method, path, { authorization: `Bearer ${key}` }) }
}

afterEach(async () => {
  for (const agent of agents.splice(0)) agent.destroy()
  await Promise.all(
    servers.splice(0).map((server) => {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(resolve))
    }),
  )
})
