import { writeFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { join } from 'node:path'
import type { Billing, BillingOptions } from 'weighbridge'
import { keyOf, limitedTo, openBilling, temporaryDirectory, totals } from './support/billing'
import { byStatus, call, callOften } from './support/http'
import { FaultProxy } from './support/faultProxy'
import { sharedDatabase, sharedUrl } from './support/postgres'
import { run, start } from './support/processes'
import { watchUnits } from './support/service'
import { until } from './support/until'

const PROCESSES = 4
const numbers = Array.from({ length: PROCESSES }, (_, number) => number)

/** So many servers on one database, in directories of their own unless one is given. */
async function servers(options: BillingOptions, dir?: string) {
  const programs = numbers.map(() => start('server.cjs', { dir: dir ?? temporaryDirectory(), ...options }))
  const ports = await Promise.all(programs.map(async ({ next }) => Number(await next())))
  return { programs, ports }
}

describe('four processes on one database', () => {
  test('admit exactly the limit', async () => {
    const limit = 2_000
    const database = sharedDatabase()
    const billing = openBilling({ ...database.options, tiers: limitedTo(limit) })
    const key = await keyOf(billing, 'customer-1', 'limited')
    const { ports } = await servers(database.options)
    const watch = watchUnits(database)
    const answers = await Promise.all(ports.map((port) => callOften(port, '/api/execute', limit / 2, { key })))
    expect(byStatus(answers.flat())).toEqual({ 200: limit, 429: limit })
    await until(async () => (await totals(billing)).units, limit)
    const seen = await watch.end()
    expect(seen.length).toBeGreaterThan(10)
    expect(Math.max(...seen)).toBe(limit)
  })

  test('lose nothing of one that is killed, and find what it had set aside', async () => {
    const limit = 3_000
    const database = sharedDatabase()
    const dir = temporaryDirectory()
    const billing = openBilling({ dir, ...database.options, tiers: limitedTo(limit) })
    const key = await keyOf(billing, 'customer-1', 'limited')
    const { programs, ports } = await servers(database.options, dir)
    const agent = new Agent({ keepAlive: true, maxSockets: 64 })
    let [sent, admitted] = [0, 0]
    const hammer = async (number: number): Promise<void> => {
      for (;;) {
        sent += 1
        const answer = await call(ports[number] ?? 0, '/api/execute', { key, agent }).catch(() => undefined)
        if (answer?.status === 200) admitted += 1
        // It was killed while it answered: nobody knows whether that was counted.
        else if (answer === undefined || answer.status === 429) return
        if (admitted === limit / 3) programs[0]?.process.kill('SIGKILL')
      }
    }
    await Promise.all(numbers.flatMap((number) => Array.from({ length: 8 }, () => hammer(number))))
    expect(await programs[0]?.ended).toMatchObject({ signal: 'SIGKILL' })
    // The rest of the limit is there for the survivors, when they have taken over.
    const unheard = 8
    await until(async () => {
      const answer = await call(ports[1] ?? 0, '/api/execute', { key, agent })
      admitted += answer.status === 200 ? 1 : 0
      return admitted >= limit - unheard && answer.status === 429
    }, true)
    agent.destroy()
    await until(async () => (await totals(billing)).units, limit)
    expect(admitted).toBeLessThanOrEqual(limit)
    expect(sent).toBeGreaterThan(limit)
    expect(await database.number('SELECT count(*) FROM events')).toBe(limit)
  })

  test('wait for the COMMIT of one that is killed meanwhile, and count nothing twice', async () => {
    const database = sharedDatabase()
    const dir = temporaryDirectory()
    const billing = openBilling({ dir, ...database.options, tiers: limitedTo(1_000_000) })
    const key = await keyOf(billing, 'customer-1', 'limited')
    const slow = new URL(database.url)
    slow.searchParams.set('application_name', 'slow')
    const child = start('server.cjs', { dir, ...database.options, store: slow.href })
    const port = Number(await child.next())
    expect((await call(port, '/api/execute', { key })).status).toBe(200)
    await until(() => database.number('SELECT count(*) FROM events'), 1)
    await database.rows(`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF current_setting('application_name') = 'slow' THEN PERFORM pg_sleep(2.5); END IF; RETURN NULL; END $$`)
    await database.rows(`CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON period_counters
      DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()`)
    for (let times = 0; times < 10; times += 1) expect((await call(port, '/api/execute', { key })).status).toBe(200)
    const committing = (): Promise<number> =>
      database.number(`SELECT count(*) FROM pg_stat_activity
        WHERE wait_event = 'PgSleep' AND application_name = 'slow' AND query LIKE '%COMMIT%'`)
    await until(async () => (await committing()) > 0, true)
    child.process.kill('SIGKILL')
    await child.ended
    // The survivor takes the journal over, and forgets it when all of it is recorded.
    await until(() => database.rows('SELECT * FROM journals WHERE position > 0'), [])
    expect(await database.number('SELECT count(*) FROM events')).toBe(11)
  })

  test('may all open a schema that is not there yet, and ten of them too', async () => {
    const database = sharedDatabase()
    const starter = join(temporaryDirectory(), 'go')
    const programs = Array.from({ length: 10 }, () =>
      start('consume.cjs', { dir: temporaryDirectory(), ...database.options, times: 10, starter }),
    )
    for (const { next } of programs) expect(await next()).toBe('ready')
    writeFileSync(starter, '')
    const allowed = await Promise.all(programs.map(({ next }) => next()))
    expect(allowed).toEqual(Array(10).fill(10))
    for (const { ended } of programs) expect(await ended).toEqual({ code: 0, signal: null, errors: '' })
    expect(await database.number('SELECT count(*) FROM events')).toBe(100)
    expect(await database.rows('SELECT * FROM leases')).toEqual([])
  })
})

describe.each([
  ['announced', false],
  ['found out by asking, where a pooler swallows announcements', true],
])('what is changed in one process is %s', (how, swallows) => {
  /** What README promises, and some patience with a busy machine. */
  const PROMISED = 1_000
  const GUARD = 1_000

  async function service() {
    const proxy = await FaultProxy.to(sharedUrl())
    const database = sharedDatabase()
    if (swallows) proxy.swallowNotifications()
    const billing = openBilling({ ...database.options, tiers: limitedTo(1_000_000) })
    await billing.ready()
    const { ports } = await servers({ ...database.options, store: proxy.url })
    return { billing, ports }
  }

  /** After how many milliseconds every process answers with a status, from when the change was acknowledged. */
  async function measure(ports: number[], key: string, status: number, path = '/api/execute'): Promise<number> {
    const since = performance.now()
    await Promise.all(ports.map((port) => until(async () => (await call(port, path, { key })).status, status)))
    return Math.round(performance.now() - since)
  }

  const changes: [what: string, change: (billing: Billing, keyId: string) => Promise<unknown>, status: number][] = [
    ['a revoked key', (billing, id) => billing.keys.revoke(id), 401],
    ['a lower tier', (billing) => billing.customers.upsert({ id: 'customer-1', tier: 'limited' }), 403],
    ['a suspension', (billing) => billing.customers.upsert({ id: 'customer-1', suspended: true }), 403],
  ]

  test('and heeded by all within a second', async () => {
    const { billing, ports } = await service()
    const measured: Record<string, number[]> = {}
    for (let round = 0; round < 5; round += 1) {
      for (const [what, change, status] of changes) {
        await billing.customers.upsert({ id: 'customer-1', tier: 'professional', suspended: false })
        const { id, key } = await billing.keys.create({ customerId: 'customer-1' })
        // A path that needs the higher tier.
        const path = '/api/funding-data'
        await measure(ports, key, 200, path)
        await change(billing, id)
        ;(measured[what] ??= []).push(await measure(ports, key, status, path))
      }
    }
    process.stderr.write(`${how}: milliseconds until all ${PROCESSES} processes heed ${JSON.stringify(measured)}\n`)
    expect(Math.max(...Object.values(measured).flat())).toBeLessThan(PROMISED + GUARD)
  })
})

test('worker threads with a Billing each admit exactly the limit', async () => {
  const database = sharedDatabase()
  const dir = temporaryDirectory()
  const billing = openBilling({ dir, ...database.options, tiers: limitedTo(500) })
  await billing.customers.upsert({ id: 'customer-1', tier: 'limited' })
  await billing.close()
  expect(await run('workers.cjs', { dir, ...database.options, times: 300, workers: 3 })).toBe(500)
  expect(await database.number('SELECT count(*) FROM events')).toBe(500)
})
