import { openBilling } from './support/billing'
import { byStatus } from './support/http'
import { FaultProxy } from './support/faultProxy'
import { Database } from './support/postgres'
import { CERTAIN, LIMIT, Service, watchUnits } from './support/service'
import { Server } from './support/servers'
import { happening, until } from './support/until'

/** The server that fails. */
let server: Server

beforeAll(async () => {
  server = await Server.start()
})

afterEach(() => server.start())

/** A schema on it, behind a proxy. */
async function behindProxy(): Promise<{ proxy: FaultProxy; database: Database }> {
  const proxy = await FaultProxy.to(server.url)
  return { proxy, database: new Database(proxy.url, server.url) }
}

interface Outage {
  begin(): unknown
  end(): unknown
}

/** Nobody waits, nothing is lost, nothing counts twice. */
async function expectSurvived(database: Database, { begin, end }: Outage): Promise<void> {
  const service = await Service.start(database)
  const watch = watchUnits(database)
  // What is on its way into the store when the outage begins.
  const underway = service.callOften(CERTAIN / 3)
  await begin()
  expect(byStatus(await underway)).toEqual({ 200: CERTAIN / 3 })
  // What is leased can be spent, and nothing beyond it.
  expect(byStatus(await service.callOften(CERTAIN / 3))).toEqual({ 200: CERTAIN / 3 })
  expect((await service.call(service.newKey)).status).toBe(500)
  await service.exhaust()
  service.expectInTime()
  expect(service.heard).toEqual({ degraded: [expect.stringMatching(/^store_/)], recovered: 0 })

  const { happened: recovered, happen: recover } = happening()
  service.billing.on('recovered', recover)
  await end()
  // Nobody has to ask for anything.
  await recovered
  await until(async () => (await service.call(service.newKey)).status, 200)
  await until(async () => (await service.call()).status, 200)
  service.expectInTime()
  await service.expectExact()
  const seen = await watch.end()
  expect(seen.length).toBeGreaterThan(10)
  expect(Math.max(...seen)).toBeLessThanOrEqual(2 * LIMIT)
}

test.each(['fast', 'immediate'] as const)('a server that is stopped (%s) and started', async (how) => {
  const { database } = await behindProxy()
  await expectSurvived(database, { begin: () => server.stop(how), end: () => server.start() })
})

test('a network that refuses', async () => {
  const { proxy, database } = await behindProxy()
  await expectSurvived(database, { begin: () => proxy.refuse(), end: () => proxy.pass() })
})

describe('a network that hangs', () => {
  test('for a moment', async () => {
    const { proxy, database } = await behindProxy()
    await expectSurvived(database, { begin: () => proxy.hang(), end: () => proxy.pass() })
  })

  test('until its connections are given up, and then delivers all that was sent', async () => {
    const { proxy, database } = await behindProxy()
    const end = async (): Promise<void> => {
      await proxy.givenUp()
      proxy.pass()
    }
    await expectSurvived(database, { begin: () => proxy.hang(), end })
  })

  test('and forgets its connections', async () => {
    const { proxy, database } = await behindProxy()
    const end = async (): Promise<void> => {
      await proxy.givenUp()
      proxy.cut()
      proxy.pass()
    }
    await expectSurvived(database, { begin: () => proxy.hang(), end })
  })
})

test('a Billing that is closed while the server is away leaves its journal to the next one', async () => {
  const { database } = await behindProxy()
  const service = await Service.start(database)
  await server.stop('immediate')
  expect(byStatus(await service.callOften(CERTAIN / 2))).toEqual({ 200: CERTAIN / 2 })
  await service.billing.close()
  await server.start()
  const next = openBilling({ dir: service.dir, ...database.options })
  expect((await next.ready()).journals).toEqual({ journals: 1, events: CERTAIN / 2, rejected: 0 })
  await next.close()
  await service.expectExact()
})

describe('connections that are cut', () => {
  const terminate = (database: Database): Promise<unknown> =>
    database.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'weighbridge'")

  test.each(['by the network', 'by the server'])('%s while they lie idle are noticed by nobody', async (who) => {
    const { proxy, database } = await behindProxy()
    const service = await Service.start(database)
    for (let round = 0; round < 5; round += 1) {
      await (who === 'by the server' ? terminate(database) : proxy.cut())
      const { key } = await service.billing.keys.create({ customerId: `customer-of-round-${round}` })
      await until(async () => (await service.call(key)).status, 200)
    }
    expect(service.heard).toEqual({ degraded: [], recovered: 0 })
    await service.expectExact()
  })

  test('in mid-transaction, again and again, lose nothing and count nothing twice', async () => {
    const { proxy, database } = await behindProxy()
    const service = await Service.start(database, { storeDeadlineMs: 1_000 })
    const watch = watchUnits(database)
    let isOver = false
    let number = 0
    const hammer = async (): Promise<void> => {
      while (!isOver) {
        number += 1
        // A retry with the same id is the same event, and so it counts once.
        const headers: Record<string, string> = number % 3 === 0 ? { 'idempotency-key': `request-${number}` } : {}
        const key = number % 7 === 0 ? service.newKey : service.key
        while ((await service.call(key, { headers })).status !== 200) continue
      }
    }
    const hammering = Array.from({ length: 8 }, hammer)
    for (let cuts = 0; cuts < 40; cuts += 1) {
      const before = service.admitted
      await until(() => new Promise((resolve) => setImmediate(() => resolve(service.admitted > before))), true)
      if (cuts % 2 === 0) proxy.cut()
      else await terminate(database)
    }
    isOver = true
    await Promise.all(hammering)
    await service.expectExact()
    expect(Math.max(...(await watch.end()))).toBeLessThanOrEqual(2 * LIMIT)
  })
})

describe('a failover to a standby', () => {
  /** Two servers; what the first has committed the second has too. */
  async function replicated(): Promise<{ primary: Server; standby: Server }> {
    const primary = await Server.start()
    const standby = await primary.startStandby()
    const database = new Database(primary.url)
    await database.rows("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
    await database.rows('SELECT pg_reload_conf()')
    await until(() => database.rows('SELECT sync_state FROM pg_stat_replication'), [{ sync_state: 'sync' }])
    return { primary, standby }
  }

  /** The URL with both servers, the first one being at that port. */
  const either = ({ url, port }: Server, standby: Server, first = port): string =>
    `${url.replace(`:${port}/`, `:${first},127.0.0.1:${standby.port}/`)}?target_session_attrs=read-write&sslmode=disable`

  async function promote(standby: Server, database: Database): Promise<void> {
    database.direct = standby.url
    expect(await database.rows('SELECT pg_promote()')).toEqual([{ pg_promote: true }])
  }

  test('of a server that crashes', async () => {
    const { primary, standby } = await replicated()
    const database = new Database(either(primary, standby), primary.url)
    const begin = (): Promise<void> => primary.stop('immediate')
    await expectSurvived(database, { begin, end: () => promote(standby, database) })
  })

  test('of a server that hangs, and hangs on', async () => {
    const { primary, standby } = await replicated()
    const proxy = await FaultProxy.to(primary.url)
    const database = new Database(either(primary, standby, proxy.port), primary.url)
    const end = async (): Promise<void> => {
      await proxy.givenUp()
      await primary.stop('immediate')
      await promote(standby, database)
    }
    await expectSurvived(database, { begin: () => proxy.hang(), end })
  })
})
