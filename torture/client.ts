import { request } from 'node:http'
import type { Attempt, Outcome } from './ledger.js'
import type { ServerProcess } from './serverProcess.js'
import type { Call } from './traffic.js'

const PATHS = { request: '/api/execute', consume: '/consume', record: '/record' }

/** Sends a call over a connection that is kept. Never rejects. */
export async function send(server: ServerProcess, call: Call, keys: Record<string, string>): Promise<Attempt> {
  const sentAt = performance.now()
  return new Promise((resolve) => {
    const done = (outcome: Outcome, answer: string): void =>
      resolve({ outcome, answer, sentAt, answeredAt: performance.now() })
    const body = bodyOf(call)
    const outgoing = request(
      {
        host: '127.0.0.1',
        port: server.port,
        agent: server.agent,
        method: 'POST',
        path: PATHS[call.kind],
        headers: {
          'user-agent': call.marker,
          ...(call.kind === 'request' && { authorization: `Bearer ${keys[call.customer.id]}` }),
          ...(call.kind === 'request' && call.id !== undefined && { 'idempotency-key': call.id }),
          ...(body !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
        },
      },
      (incoming) => {
        const status = incoming.statusCode ?? 0
        let text = ''
        incoming.setEncoding('utf8').on('data', (part: string) => (text += part))
        // With the status the server has said it, even if it dies before the rest.
        incoming.on('error', () => done(outcomeOf(status, ''), `${status}, cut off`))
        incoming.on('end', () => done(outcomeOf(status, text), `${status} ${text}`))
      },
    )
    outgoing.on('error', (error) => done('unanswered', String(error)))
    outgoing.end(body)
  })
}

function bodyOf({ kind, customer, meter, units, marker, id, timestamp }: Call): string | undefined {
  if (kind === 'request') return undefined
  const cost = kind === 'consume' ? '0.25' : '0.000000000001'
  const metadata = { userAgent: marker }
  return JSON.stringify({ customerId: customer.id, eventType: meter, units, id, timestamp, cost, metadata })
}

function outcomeOf(status: number, text: string): Outcome {
  if (status === 200) return text.includes('"duplicate"') ? 'duplicate' : 'admitted'
  if (status === 429) return 'refused'
  return status >= 500 ? 'failed' : 'unexpected'
}
