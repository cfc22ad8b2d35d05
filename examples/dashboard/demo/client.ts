import { Agent, request } from 'node:http'

/** A request, and what it is sent for. */
export interface Call {
  /** For people: what is tried with it. */
  purpose: string
  /** Whose key it carries, where the key is anybody's. */
  customerId?: string
  key?: string
  /** The endpoint as the price list writes it. */
  endpoint: string
  method: 'GET' | 'POST'
  /** How the client writes it. */
  path: string
  body?: object
  idempotencyKey?: string
}

/** What came back. */
export interface Answer {
  call: Call
  /** `undefined`: the connection broke before an answer came. */
  status: number | undefined
  body: { error?: string; requiredTier?: string }
}

/** An HTTP client with keep-alive connections, as many as it may have requests under way. */
export class Client {
  readonly #port: number
  readonly #concurrency: number
  readonly #agent: Agent

  constructor(port: number, concurrency: number) {
    this.#port = port
    this.#concurrency = concurrency
    this.#agent = new Agent({ keepAlive: true, maxSockets: concurrency })
  }

  /** Sends calls until there are no more; `onAnswer` may stop it by returning false. */
  async sendAll(calls: Iterable<Call>, onAnswer: (answer: Answer) => boolean | void): Promise<Answer[]> {
    const waiting = calls[Symbol.iterator]()
    const answers: Answer[] = []
    let goesOn = true
    const lane = async (): Promise<void> => {
      while (goesOn) {
        const next = waiting.next()
        if (next.done === true) return
        const answer = await this.send(next.value)
        answers.push(answer)
        if (onAnswer(answer) === false) goesOn = false
      }
    }
    await Promise.all(Array.from({ length: this.#concurrency }, lane))
    return answers
  }

  async send(call: Call): Promise<Answer> {
    const { key, method, path, body, idempotencyKey } = call
    const headers = {
      ...(key !== undefined && { authorization: `Bearer ${key}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(idempotencyKey !== undefined && { 'idempotency-key': idempotencyKey }),
    }
    return new Promise((resolve) => {
      const broken = (): void => resolve({ call, status: undefined, body: {} })
      const options = { agent: this.#agent, host: '127.0.0.1', port: this.#port, method, path, headers }
      const outgoing = request(options, (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (part: string) => (text += part))
        response.on('error', broken)
        response.on('end', () => resolve({ call, status: response.statusCode, body: JSON.parse(text) }))
      })
      outgoing.on('error', broken)
      outgoing.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}
