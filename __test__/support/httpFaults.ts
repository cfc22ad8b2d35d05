import { Agent, type IncomingHttpHeaders, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { serve } from './http'

/** What happens to a request on its way: before it arrives, or after it took effect. */
export type Fault =
  | 'limited'
  | 'error before'
  | 'error after'
  | 'time-out before'
  | 'time-out after'
  | 'cut before'
  | 'cut after'
  | 'twice'

const FAULTS: Fault[] = [
  'limited',
  'error before',
  'error after',
  'time-out before',
  'time-out after',
  'cut before',
  'cut after',
  'twice',
]

/** Stands in front of an HTTP server, and fails as networks and servers do, for a part of the requests. */
export class HttpFaults {
  port = 0
  requests = 0
  readonly happened = new Map<Fault, number>()
  /** Every request fails in this way. */
  always: Fault | undefined
  /** Is told of every request. */
  onRequest: () => void = () => {}
  /** A connection for each request: one that is kept could be closed by the server just when it is used again. */
  readonly #agent = new Agent({ keepAlive: false })
  #state: number

  private constructor(
    readonly target: number,
    readonly share: number,
    seed: number,
  ) {
    this.#state = seed
  }

  /** @param share How many of the requests fail, from 0 to 1; the same ones for the same seed. */
  static async before(target: number, share: number, seed = 1): Promise<HttpFaults> {
    const faults = new HttpFaults(target, share, seed)
    faults.port = await serve((incoming, outgoing) => {
      // Where the server is gone, so is what stands in front of it.
      faults.#pass(incoming, outgoing).catch(() => incoming.socket.destroy())
    })
    return faults
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${this.port}`
  }

  async #pass(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    incoming.on('error', () => {})
    outgoing.on('error', () => {})
    try {
      for await (const chunk of incoming) chunks.push(chunk)
    } catch {
      // The client was killed while it sent this.
      return
    }
    this.requests += 1
    this.onRequest()
    const body = Buffer.concat(chunks)
    const fault =
      this.always ?? (this.#random() < this.share ? FAULTS[Math.floor(this.#random() * FAULTS.length)] : undefined)
    if (fault !== undefined) this.happened.set(fault, (this.happened.get(fault) ?? 0) + 1)
    if (fault === 'limited') {
      const headers = { 'stripe-rate-limited-reason': 'global-rate', 'content-type': 'application/json' }
      outgoing.writeHead(429, headers).end('{"error":{"type":"rate_limit_error","message":"Too many requests"}}')
      return
    }
    if (fault === undefined || fault.endsWith('after') || fault === 'twice') {
      const first = await this.#forward(incoming, body)
      const answer = fault === 'twice' ? await this.#forward(incoming, body) : first
      if (fault === undefined || fault === 'twice') {
        outgoing.writeHead(answer.status, answer.headers).end(answer.body)
        return
      }
    }
    if (fault.startsWith('error')) outgoing.writeHead(500).end('{"error":{"message":"Something went wrong"}}')
    if (fault.startsWith('cut')) incoming.socket.destroy()
    // Of a time-out the client hears nothing at all.
  }

  async #forward(
    { method, url, headers }: IncomingMessage,
    body: Buffer,
  ): Promise<{ status: number; headers: IncomingHttpHeaders; body: Buffer }> {
    return new Promise((resolve, reject) => {
      const onward = request(
        { host: '127.0.0.1', port: this.target, method, path: url, headers, agent: this.#agent },
        (answer) => {
          const chunks: Buffer[] = []
          answer.on('data', (chunk) => chunks.push(chunk))
          answer.on('end', () =>
            resolve({ status: answer.statusCode ?? 500, headers: answer.headers, body: Buffer.concat(chunks) }),
          )
        },
      )
      onward.on('error', reject)
      onward.end(body)
    })
  }

  /** Xorshift32: from 0 to 1. */
  #random(): number {
    this.#state ^= this.#state << 13
    this.#state ^= this.#state >>> 17
    this.#state ^= this.#state << 5
    return (this.#state >>> 0) / 2 ** 32
  }
}
