import { cast, type Customer, LIMITED_METERS, type LimitedMeter, tierOf } from './customers.js'
import { Database, quoted } from './database.js'
import type { Known } from './checks/all.js'
import { had, isAcknowledged, Ledger } from './ledger.js'
import { Load } from './load.js'
import type { Round } from './rounds.js'
import type { ServerProcess } from './serverProcess.js'
import { Traffic } from './traffic.js'
import { Watch } from './watch.js'

const LANES = 6
/** How long a limit may take to be used up, once everybody asks for its last units. */
const FILLING = 10_000
const RETRIED = 20

/** A store, the servers on it and those who call them: what a round is played with. */
export class Service {
  readonly dir: string
  readonly customers: Customer[]
  readonly ledger = new Ledger()
  readonly servers: ServerProcess[] = []
  /** What the clocks were told. */
  readonly told: number[] = []
  readonly watch: Watch
  load: Load
  #filled: number[] = []
  readonly #round: Round
  readonly #instant: () => number
  readonly #traffic: Traffic

  private constructor(round: Round, instant: () => number) {
    this.#round = round
    this.#instant = instant
    this.dir = round.dir
    this.customers = cast(round.random)
    this.watch = new Watch(this.dir, this.customers)
    round.endings.push(() => this.watch.stop())
    this.load = new Load(this.ledger, {})
    this.#traffic = new Traffic(`${round.part}-${round.number}`, this.customers, round.random, instant)
  }

  /** Servers on a new store, idle yet. `instant` is what clocks are told, and when recorded events happened. */
  static async open(round: Round, servers: number, instant: () => number): Promise<Service> {
    round.fleet.warm(servers)
    const service = new Service(round, instant)
    const first = await service.addServer(service.customers.map(tierOf))
    const enrolled = service.customers.map(({ id }) => ({ id, tier: `tier-${id}` }))
    service.load = new Load(service.ledger, await first.enrol(enrolled))
    await Promise.all(Array.from({ length: servers - 1 }, () => service.addServer()))
    return service
  }

  async addServer(tiers?: ReturnType<typeof tierOf>[]): Promise<ServerProcess> {
    const server = this.#round.fleet.take()
    const now = this.#tell()
    try {
      await server.open({ dir: this.dir, now, ...(tiers && { tiers }) })
    } catch (error) {
      this.#round.fleet.giveBack([server])
      throw error
    }
    this.servers.push(server)
    return server
  }

  start(server: ServerProcess): void {
    this.load.start(server, LANES, () => this.#traffic.next())
  }

  startAll(): void {
    for (const server of this.servers) this.start(server)
  }

  async kill(server: ServerProcess): Promise<void> {
    this.#remove(server)
    await server.kill()
  }

  /** It goes in order, while the others work. */
  async leave(server: ServerProcess): Promise<void> {
    this.#remove(server)
    await this.load.release(server)
    await this.#close(server)
  }

  async jump(server: ServerProcess, now?: number): Promise<void> {
    await server.setClock(this.#tell(now))
  }

  /** Sends again what was not decided, and some of what was admitted: each may count once. */
  async retry(): Promise<void> {
    const identified = this.ledger.entries().filter(({ call }) => call.id !== undefined)
    const acknowledged = identified.filter(isAcknowledged)
    const again = [
      ...identified.filter((entry) => had(entry, 'unanswered', 'failed') && !isAcknowledged(entry)),
      ...Array.from({ length: Math.min(RETRIED, acknowledged.length) }, () => this.#round.random.pick(acknowledged)),
    ]
    const attempts = await Promise.all(
      again.map(({ call }) => this.load.send(this.#round.random.pick(this.servers), call)),
    )
    this.#round.tally.add('retries', attempts.length)
    this.#round.tally.add('retries called duplicates', attempts.filter(({ outcome }) => outcome === 'duplicate').length)
  }

  /** Asks for the units that are left of every limit in the current period. */
  async fill(period: number): Promise<void> {
    const deadline = performance.now() + FILLING
    const limited = this.customers.flatMap((customer) =>
      LIMITED_METERS.filter((meter) => customer.limits[meter] !== Infinity).map((meter) => ({ customer, meter })),
    )
    await Promise.all(limited.map(({ customer, meter }) => this.#fillOne(customer, meter, period, deadline)))
    this.#filled.push(period)
  }

  async #fillOne(customer: Customer, meter: LimitedMeter, period: number, deadline: number): Promise<void> {
    const lane = async (server: ServerProcess): Promise<void> => {
      while (performance.now() < deadline) {
        const { outcome } = await this.load.send(server, this.#traffic.unit(customer, meter))
        if (outcome !== 'admitted') return
      }
    }
    do {
      await Promise.all(this.servers.map(lane))
    } while (this.#counted(customer, meter, period) < customer.limits[meter] && performance.now() < deadline)
  }

  #counted({ id }: Customer, meter: LimitedMeter, period: number): number {
    const database = new Database(this.dir)
    try {
      const [row] = database.rows<{ units: number }>(
        ['units'],
        `SELECT units FROM period_counters
         WHERE customer_id = ${quoted(id)} AND meter = ${quoted(meter)} AND period_start = ${period}`,
      )
      return row?.units ?? 0
    } finally {
      database.close()
    }
  }

  /** In order, all at once. The processes stay, for the next round. */
  async close(): Promise<void> {
    await this.load.stop()
    // The last to close a database tidies it up, which nobody can while somebody looks.
    if (this.#round.random.chance(0.5)) this.watch.stop()
    await Promise.all(this.servers.splice(0).map((server) => this.#close(server)))
    this.watch.stop()
    this.#count()
  }

  get known(): Known {
    const { customers, ledger, told } = this
    return { customers, ledger, told, filled: this.#filled }
  }

  async #close(server: ServerProcess): Promise<void> {
    const { failures } = await server.close()
    for (const [code, count] of Object.entries(failures)) this.#round.tally.add(`logged: ${code}`, count)
    this.#round.fleet.giveBack([server])
  }

  #remove(server: ServerProcess): void {
    this.servers.splice(this.servers.indexOf(server), 1)
  }

  #tell(now = this.#instant()): number {
    this.told.push(now)
    return now
  }

  #count(): void {
    const { tally } = this.#round
    const entries = this.ledger.entries()
    tally.add('calls', entries.length)
    tally.add('admitted', entries.filter(isAcknowledged).length)
    for (const outcome of ['refused', 'failed', 'unanswered'] as const) {
      tally.add(outcome, entries.filter((entry) => !isAcknowledged(entry) && had(entry, outcome)).length)
    }
    tally.add('looks at the store meanwhile', this.watch.looks)
    tally.add('looks that failed', this.watch.blind)
    tally.most('most units leased at a time', this.watch.mostLeased)
    tally.add('rounds with leases', Number(this.watch.leases))
    tally.add('rounds with journals', Number(this.watch.journals))
  }
}
