import { event, openBilling, totals } from './support/billing'
import { byStatus } from './support/http'
import { type Cut, FaultProxy } from './support/faultProxy'
import { Database } from './support/postgres'
import { CERTAIN, Service } from './support/service'
import { Server } from './support/servers'
import { until } from './support/until'

let server: Server

beforeAll(async () => {
  server = await Server.start()
})

async function behindProxy(): Promise<{ proxy: FaultProxy; database: Database; service: Service }> {
  const proxy = await FaultProxy.to(server.url)
  const database = new Database(proxy.url, server.url)
  return { proxy, database, service: await Service.start(database) }
}

/** What happens to a COMMIT that was sent, of whose fate the client hears nothing. */
const fates: [what: string, cut: Cut, after?: (proxy: FaultProxy, database: Database) => Promise<void>][] = [
  ['never reaches the server', 'before'],
  ['is carried out', 'after'],
  ['reaches the server when that is asked what became of it', 'late', deliverWhenAsked],
  ['never reaches the server, which does not know that the connection is gone', 'late'],
]

/** Closes while nobody can tell what became of the COMMIT, which is longer than the deadline of a request. */
async function closeInDoubt({ billing }: Service): Promise<void> {
  const pending = billing.usage.recordEvent(event({ customerId: 'customer-3', id: 'asked-in-doubt' }))
  const flushed = billing.flush()
  await billing.close({ timeoutMs: 30_000 })
  for (const asked of [pending, flushed]) {
    await expect(asked).rejects.toMatchObject({ code: expect.stringMatching(/^store_(timeout|unavailable)$/) })
  }
}

async function deliverWhenAsked(proxy: FaultProxy, database: Database): Promise<void> {
  await until(() => database.number('SELECT count(*) FROM pg_locks WHERE NOT granted').then((count) => count > 0), true)
  proxy.deliver()
}

describe.each(fates)('a COMMIT that %s', (_, cut, after = async () => {}) => {
  test('of admitted events counts each of them once', async () => {
    const { proxy, database, service } = await behindProxy()
    const happened = proxy.cutTransaction(cut, 'INSERT INTO events')
    expect(byStatus(await service.callOften(CERTAIN / 2))).toEqual({ 200: CERTAIN / 2 })
    await happened
    await after(proxy, database)
    expect(byStatus(await service.callOften(CERTAIN / 3))).toEqual({ 200: CERTAIN / 3 })
    await service.expectExact()
  })

  test('of requests with ids counts each of them once, however often they are sent again', async () => {
    const { proxy, database, service } = await behindProxy()
    const happened = proxy.cutTransaction(cut, 'INSERT INTO events')
    const requests = ['a', 'b', 'c'].map(async (id) => {
      const headers = { 'idempotency-key': id }
      while ((await service.call(service.key, { headers })).status !== 200) continue
    })
    await happened
    await after(proxy, database)
    await Promise.all(requests)
    await service.expectExact()
    expect(await database.rows('SELECT id FROM events WHERE id IS NOT NULL ORDER BY id')).toEqual([
      { id: 'a' },
      { id: 'b' },
      { id: 'c' },
    ])
  })

  test('of a lease leaves none behind', async () => {
    const { proxy, database, service } = await behindProxy()
    const happened = proxy.cutTransaction(cut, 'INSERT INTO leases')
    const asked = service.call(service.newKey)
    await happened
    await after(proxy, database)
    expect([200, 500]).toContain((await asked).status)
    await until(async () => (await service.call(service.newKey)).status, 200)
    await service.expectExact()
  })

  test('of an event that has happened counts it once', async () => {
    const { proxy, database, service } = await behindProxy()
    const happened = proxy.cutTransaction(cut, 'INSERT INTO events')
    const recorded = service.billing.usage.recordEvent(event({ customerId: 'customer-3' }))
    await happened
    await after(proxy, database)
    await recorded
    expect(await totals(service.billing, 'customer-3')).toMatchObject({ events: 1, units: 1, cost: '0.1' })
  })

  test('of a key makes it once', async () => {
    const { proxy, database, service } = await behindProxy()
    const happened = proxy.cutTransaction(cut, 'INSERT INTO api_keys')
    const created = service.billing.keys.create({ customerId: 'customer-3' })
    await happened
    await after(proxy, database)
    const { id, key } = await created
    expect(await service.billing.keys.list('customer-3')).toEqual([expect.objectContaining({ id })])
    expect(await service.billing.keys.verify(key)).toMatchObject({ valid: true })
  })
})

describe.each(fates.filter(([, , after]) => after === undefined))('a COMMIT that %s, in doubt at the end', (_, cut) => {
  test('is left to the next one, who counts each event once', async () => {
    const { proxy, database, service } = await behindProxy()
    const happened = proxy.cutTransaction(cut, 'INSERT INTO events')
    expect(byStatus(await service.callOften(CERTAIN / 2))).toEqual({ 200: CERTAIN / 2 })
    await happened
    proxy.refuse()
    await closeInDoubt(service)
    proxy.pass()
    const next = openBilling({ dir: service.dir, ...database.options })
    await next.ready()
    await next.close()
    await service.expectExact()
  })
})
