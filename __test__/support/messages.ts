/** A message of PostgreSQL's protocol, https://www.postgresql.org/docs/current/protocol-message-formats.html. */
export interface Message {
  /** Its first byte; the first message of a client has none. */
  type: string
  /** All of it, as it is sent. */
  bytes: Buffer
  /** What follows its length. */
  body: Buffer
}

/** Splits one direction of an unencrypted connection into messages. */
export class Messages {
  #rest = Buffer.alloc(0)
  #isTyped: boolean

  constructor(from: 'client' | 'server') {
    this.#isTyped = from === 'server'
  }

  /** Those that are complete now. */
  take(chunk: Buffer): Message[] {
    this.#rest = Buffer.concat([this.#rest, chunk])
    const messages: Message[] = []
    for (;;) {
      const head = this.#isTyped ? 1 : 0
      if (this.#rest.length < head + 4) return messages
      const end = head + this.#rest.readInt32BE(head)
      if (this.#rest.length < end) return messages
      const bytes = this.#rest.subarray(0, end)
      this.#rest = this.#rest.subarray(end)
      messages.push({ type: bytes.toString('latin1', 0, head), bytes, body: bytes.subarray(head + 4) })
      this.#isTyped = true
    }
  }
}

/** A statement without parameters; the end of a transaction is one. */
export const isQuery = ({ type, body }: Message, text: string): boolean =>
  type === 'Q' && body.toString('latin1', 0, body.length - 1) === text

/** What the server says when it has carried out a statement. */
export const isCompletion = ({ type, body }: Message, text: string): boolean =>
  type === 'C' && body.toString('latin1', 0, body.length - 1) === text
