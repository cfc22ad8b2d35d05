import { writeFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { join } from 'node:path'
import { keyOf, limitedTo, openBilling, temporaryDirectory, totals } from './support/billing'
import { byStatus, call, callOften } from './support/http'
import { run, start } from './support/processes'

/** A directory with one customer, who may make so many API requests. */
async function directoryWith(limit: number): Promise<{ dir: string; key: string }> {
  const dir = temporaryDirectory()
  const billing = openBilling({ dir, tiers: limitedTo(limit) })
  const key = await keyOf(billing, 'customer-1', 'limited')
  await billing.close()
  return { dir, key }
}

test('two processes that consume at once admit exactly the limit', async () => {
  const { dir } = await directoryWith(1000)
  const starter = join(temporaryDirectory(), 'go')
  const programs = [1, 2].map(() => start('consume.cjs', { dir, times: 1000, starter }))
  for (const { next } of programs) expect(await next()).toBe('ready')
  writeFileSync(starter, '')
  const allowed = await Promise.all(programs.map(({ next }) => next()))
  expect(Number(allowed[0]) + Number(allowed[1])).toBe(1000)
  for (const { ended } of programs) expect(await ended).toEqual({ code: 0, signal: null, errors: '' })
  expect(await totals(openBilling({ dir }))).toMatchObject({ events: 1000, units: 1000 })
})

test('two servers on one directory admit exactly the limit', async () => {
  const { dir, key } = await directoryWith(700)
  const servers = [1, 2].map(() => start('server.cjs', { dir }))
  const ports = await Promise.all(servers.map(({ next }) => next()))
  const answers = await Promise.all(ports.map((port) => callOften(Number(port), '/api/execute', 700, { key })))
  expect(byStatus(answers.flat())).toEqual({ 200: 700, 429: 700 })
  expect(await totals(openBilling({ dir }))).toEqual({ events: 700, units: 700, cost: '70' })
})

test('what a server answered 200 is recorded, though it was killed the moment after, and nothing twice', async () => {
  const { dir, key } = await directoryWith(1_000_000)
  const server = start('server.cjs', { dir })
  const port = Number(await server.next())
  const agent = new Agent({ keepAlive: true, maxSockets: 32 })
  let sent = 0
  let acknowledged = 0
  const hammer = async (): Promise<void> => {
    for (;;) {
      sent += 1
      const answer = await call(port, '/api/execute', { key, agent }).catch(() => undefined)
      if (answer === undefined) return
      expect(answer.status).toBe(200)
      acknowledged += 1
      if (acknowledged === 500) server.process.kill('SIGKILL')
    }
  }
  await Promise.all(Array.from({ length: 32 }, hammer))
  agent.destroy()
  expect(await server.ended).toMatchObject({ signal: 'SIGKILL' })
  expect(acknowledged).toBeGreaterThanOrEqual(500)
  const { events, units } = await totals(openBilling({ dir }))
  expect(events).toBeGreaterThanOrEqual(acknowledged)
  expect(events).toBeLessThanOrEqual(sent)
  expect(units).toBe(events)
})

describe('of two servers, one of which is killed', () => {
  /** What there is suffices for 300 requests. */
  test.each<
    [what: string, refused: number, money: 'cap' | 'credit' | null, per: 'month' | 'day' | { slidingSeconds: number }]
  >([
    ['a spend cap', 402, 'cap', 'month'],
    ['credit', 402, 'credit', 'month'],
    ['a day', 429, null, 'day'],
    ['the last hour', 429, null, { slidingSeconds: 3_600 }],
  ])('the other one finds exactly what is left of %s', async (_, refused, money, per) => {
    const dir = temporaryDirectory()
    const units = money === null ? 300 : null
    const billing = openBilling({
      dir,
      catalog: {
        id: 'public',
        version: '1',
        currency: 'USD',
        meters: ['api_request'],
        tiers: [{ id: 'limited', limits: [{ meter: 'api_request', per, units }] }],
        prices: [{ id: 'request', meter: 'api_request', price: { model: 'per_unit', unitAmount: '0.1' } }],
      },
    })
    const key = await keyOf(billing, 'customer-1', 'limited')
    await billing.customers.upsert({
      id: 'customer-1',
      spendCap: money === 'cap' ? '30.00' : null,
      prepaid: money === 'credit',
    })
    if (money === 'credit') await billing.credits.grant('customer-1', { id: 'order-1', amount: '30.00' })
    await billing.close()

    const [dying, surviving] = [start('server.cjs', { dir }), start('server.cjs', { dir })]
    const ports = [Number(await dying.next()), Number(await surviving.next())] as const
    expect(byStatus(await callOften(ports[1], '/api/execute', 20, { key }))).toEqual({ 200: 20 })
    let acknowledged = 0
    const hammer = async (): Promise<void> => {
      for (;;) {
        const answer = await call(ports[0], '/api/execute', { key }).catch(() => undefined)
        if (answer === undefined) return
        expect(answer.status).toBe(200)
        acknowledged += 1
        if (acknowledged === 100) dying.process.kill('SIGKILL')
      }
    }
    await Promise.all(Array.from({ length: 8 }, hammer))
    expect(await dying.ended).toMatchObject({ signal: 'SIGKILL' })

    const passed = byStatus(await callOften(ports[1], '/api/execute', 300, { key }))
    expect(Object.keys(passed)).toEqual(['200', String(refused)])
    expect(acknowledged + 20 + (passed[200] ?? 0)).toBeLessThanOrEqual(300)
    surviving.process.kill('SIGTERM')
    await surviving.ended
    expect(await totals(openBilling({ dir }))).toEqual({ events: 300, units: 300, cost: '30' })
  })
})

test('worker threads with a Billing each admit exactly the limit', async () => {
  const { dir } = await directoryWith(500)
  expect(await run('workers.cjs', { dir, times: 300, workers: 3 })).toBe(500)
  expect((await totals(openBilling({ dir }))).events).toBe(500)
})

test('a key revoked in one process is soon refused in another', async () => {
  const { dir, key } = await directoryWith(10)
  const port = Number(await start('server.cjs', { dir }).next())
  expect((await call(port, '/api/execute', { key })).status).toBe(200)
  const billing = openBilling({ dir })
  const [known] = await billing.keys.list('customer-1')
  await billing.keys.revoke(known?.id ?? '')
  const status = async () => (await call(port, '/api/execute', { key })).status
  let next = await status()
  while (next === 200) next = await status()
  expect(next).toBe(401)
  expect(await status()).toBe(401)
})

const onLinux = process.platform === 'linux' ? test : test.skip

onLinux('a Billing that is closed has no threads any more, though somebody still holds it', async () => {
  const program = start('threads.cjs', { dir: temporaryDirectory() })
  expect(await program.next()).toEqual(
    expect.arrayContaining(['weighbridge-jou', 'weighbridge-rec', 'weighbridge-tic']),
  )
  expect(await program.next()).toBe('closed')
  expect(await program.ended).toEqual({ code: 0, signal: null, errors: '' })
})
