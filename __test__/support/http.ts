import { once } from 'node:events'
import {
  Agent,
  type ClientRequest,
  createServer,
  type IncomingHttpHeaders,
  request,
  type RequestListener,
  type Server,
} from 'node:http'
import { type AddressInfo, connect } from 'node:net'

const servers = new Set<Server>()

afterEach(async () => {
  await Promise.all(
    [...servers].map((server) => {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      return closed
    }),
  )
  servers.clear()
})

/** Serves an app on a port of its own until the end of the test. */
export async function serve(app: RequestListener): Promise<number> {
  const server = createServer(app)
  servers.add(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

export interface Call {
  method?: string
  /** Goes into `Authorization: Bearer …`. */
  key?: string
  headers?: Record<string, string>
  /** Sent as JSON. */
  body?: unknown
  agent?: Agent
}

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  text: string
  /** The text as JSON; `undefined` where it is none. */
  body: unknown
}

/** One request; the target is sent as it is. */
export async function call(port: number, target: string, options: Call = {}): Promise<Answer> {
  const { method = 'GET', key, headers = {}, body, agent } = options
  const outgoing = request({
    host: '127.0.0.1',
    port,
    method,
    path: target,
    agent,
    headers: {
      ...(key !== undefined && { authorization: `Bearer ${key}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
  })
  outgoing.end(body === undefined ? undefined : JSON.stringify(body))
  return answerOf(outgoing)
}

async function answerOf(outgoing: ClientRequest): Promise<Answer> {
  const [incoming] = await once(outgoing, 'response')
  let text = ''
  incoming.setEncoding('utf8')
  for await (const chunk of incoming) text += chunk
  return { status: incoming.statusCode, headers: incoming.headers, text, body: parsed(text) }
}

/** Posts a body that is sent as it is. */
export async function callRaw(
  port: number,
  target: string,
  payload: string | Uint8Array,
  headers: Record<string, string>,
): Promise<Answer> {
  const outgoing = request({ host: '127.0.0.1', port, method: 'POST', path: target, headers })
  outgoing.end(payload)
  return answerOf(outgoing)
}

/** Many requests at once, over a few connections that are kept. */
export async function callOften(port: number, target: string, times: number, options: Call = {}): Promise<Answer[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  try {
    return await Promise.all(Array.from({ length: times }, () => call(port, target, { ...options, agent })))
  } finally {
    agent.destroy()
  }
}

/** Sends bytes that no client library would send and gives back the status line and everything after it. */
export async function sendRaw(port: number, lines: string[]): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.setEncoding('utf8')
  socket.write([...lines, 'Connection: close', '', ''].join('\r\n'))
  let text = ''
  for await (const chunk of socket) text += chunk
  return text
}

/** How often each status was answered. */
export function byStatus(answers: Answer[]): Record<number, number> {
  const counts: Record<number, number> = {}
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
