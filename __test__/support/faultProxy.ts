import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { isCompletion, isQuery, type Message, Messages } from './messages'
import { happening } from './until'

const proxies = new Set<FaultProxy>()

afterEach(async () => {
  await Promise.all([...proxies].map((proxy) => proxy.end()))
  proxies.clear()
})

/**
 * Where a transaction is cut:
 * - `before`: all of it was forwarded, except its COMMIT;
 * - `after`: its COMMIT too, and the server has carried it out; the client does not learn of it;
 * - `late`: its COMMIT is kept until `deliver()`, long after the client has given up.
 */
export type Cut = 'before' | 'after' | 'late'

interface Plan {
  cut: Cut
  /** Something that only the transaction in question says. */
  saying: string
  done: () => void
}

interface Connection {
  client: Socket
  server: Socket
  /** The texts of the transaction that is being sent. */
  said: string
  /** What will happen to this transaction: its COMMIT was sent. */
  plan?: Plan
  /** How many answers the server still owes. */
  owed: number
  /** Its COMMIT, which was not forwarded. */
  late?: Message
  /** What is held back while the network hangs. */
  held: (() => void)[]
}

/** Stands between a client and a PostgreSQL server, and fails as networks and poolers do. */
export class FaultProxy {
  readonly #server: Server
  readonly #connections = new Set<Connection>()
  readonly #target: URL
  #mode: 'pass' | 'hang' | 'refuse' = 'pass'
  #plan: Plan | undefined
  #swallowsNotifications = false
  readonly #givenUp = new Set<() => void>()

  private constructor(target: string) {
    this.#target = new URL(target)
    this.#server = createServer((client) => this.#accept(client))
  }

  static async to(target: string): Promise<FaultProxy> {
    const proxy = new FaultProxy(target)
    proxies.add(proxy)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** The server's URL, through this proxy. */
  get url(): string {
    const url = new URL(this.#target)
    url.port = String(this.port)
    url.searchParams.set('sslmode', 'disable')
    return url.href
  }

  /** Whoever has connected, the unheard included. */
  get connections(): number {
    return this.#connections.size
  }

  /** Everything is forwarded, what was held back too. */
  pass(): void {
    this.#mode = 'pass'
    for (const { held } of this.#connections) for (const forward of held.splice(0)) forward()
  }

  /** Connections are accepted and stay, and nothing is forwarded. */
  hang(): void {
    this.#mode = 'hang'
  }

  /** Resolves when a client closes a connection that hangs. */
  givenUp(): Promise<void> {
    const { happened, happen } = happening()
    this.#givenUp.add(happen)
    return happened
  }

  /** Cuts all connections, and new ones at once. */
  refuse(): void {
    this.#mode = 'refuse'
    this.cut()
  }

  /** Cuts all connections; new ones pass. */
  cut(): void {
    for (const connection of this.#connections) sever(connection)
  }

  /** As a pooler in transaction mode does. */
  swallowNotifications(): void {
    this.#swallowsNotifications = true
  }

  /** Cuts the next transaction that says something; resolves when that has happened. */
  cutTransaction(cut: Cut, saying: string): Promise<void> {
    const { happened, happen } = happening()
    this.#plan = { cut, saying, done: happen }
    return happened
  }

  /** Forwards the COMMIT that was kept, if the server has not closed that connection. */
  deliver(): void {
    for (const { server, late } of this.#connections) if (late !== undefined) server.end(late.bytes)
  }

  async end(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.cut()
    await closed
  }

  #accept(client: Socket): void {
    const server = connect(Number(this.#target.port), this.#target.hostname)
    const connection: Connection = { client, server, said: '', owed: 1, held: [] }
    this.#connections.add(connection)
    const [fromClient, fromServer] = [new Messages('client'), new Messages('server')]
    const forward = (step: () => void): void => {
      if (this.#mode === 'hang') connection.held.push(step)
      else step()
    }
    client.on('data', (chunk) => {
      forward(() => fromClient.take(chunk).forEach((message) => this.#toServer(connection, message)))
    })
    server.on('data', (chunk) => {
      forward(() => fromServer.take(chunk).forEach((message) => this.#toClient(connection, message)))
    })
    for (const socket of [client, server]) socket.setNoDelay().on('error', () => {})
    client.on('close', () => {
      if (this.#mode === 'hang') for (const happen of this.#givenUp) happen()
      forward(() => {
        if (connection.late === undefined) server.end()
      })
    })
    server.on('close', () => {
      forward(() => client.end())
      this.#connections.delete(connection)
    })
    if (this.#mode === 'refuse') sever(connection)
  }

  #toServer(connection: Connection, message: Message): void {
    const { server } = connection
    if (server.destroyed) return
    if (message.type === 'P' || message.type === 'Q') connection.said += message.body.toString('latin1')
    if (isQuery(message, 'COMMIT')) {
      if (this.#plan !== undefined && connection.said.includes(this.#plan.saying)) {
        connection.plan = this.#plan
        this.#plan = undefined
      }
      connection.said = ''
      if (connection.plan !== undefined && connection.plan.cut !== 'after') {
        connection.late = message
        this.#cutBeforeCommit(connection)
        return
      }
    }
    if (message.type === 'S' || message.type === 'Q') connection.owed += 1
    server.write(message.bytes)
  }

  #toClient(connection: Connection, message: Message): void {
    const { client, plan } = connection
    if (message.type === 'Z') connection.owed -= 1
    if (connection.late !== undefined) {
      this.#cutBeforeCommit(connection)
      return
    }
    if (plan !== undefined && isCompletion(message, 'COMMIT')) {
      sever(connection)
      plan.done()
    }
    if (client.destroyed || (message.type === 'A' && this.#swallowsNotifications)) return
    client.write(message.bytes)
  }

  /** When the server has carried out all but the COMMIT. */
  #cutBeforeCommit(connection: Connection): void {
    const { plan } = connection
    if (plan === undefined || connection.owed > 0) return
    if (plan.cut === 'before') sever(connection)
    else connection.client.destroy()
    connection.plan = undefined
    plan.done()
  }
}

function sever({ client, server }: Connection): void {
  client.destroy()
  server.destroy()
}
