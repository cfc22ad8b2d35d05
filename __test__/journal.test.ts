import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { basename, dirname, join } from 'node:path'
import express from 'express'
import type { BillingEvents } from 'weighbridge'
import { event, keyOf, limitedTo, openBilling, temporaryDirectory, totals } from './support/billing'
import { lockStore, rows } from './support/database'
import { byStatus, call, callOften, serve } from './support/http'
import { run, start } from './support/processes'
import { happening, until } from './support/until'

const LIMIT = 1_000
/** Certainly within the first lease. */
const JOURNALED = 20
const noJournals = { journals: 0, events: 0, rejected: 0 }

const journalsOf = (dir: string): string => join(dir, 'weighbridge.db.journals')
const leases = (dir: string) => rows(dir, 'SELECT * FROM leases WHERE units > 0')
const recorded = async (dir: string): Promise<number> =>
  Number((await rows(dir, 'SELECT count(*) AS count FROM events'))[0]?.['count'])

/** The only segment of the only journal. */
function segmentOf(dir: string): string {
  const [holder = '', ...others] = readdirSync(journalsOf(dir)).filter((name) => /^[0-9a-f-]{36}$/.test(name))
  expect(others).toEqual([])
  return join(journalsOf(dir), holder, '1.jsonl')
}

/**
 * A directory that a server left behind, killed the moment after its answers: one event of it is in the store, and so many
 * are only in its journal. They are in the lines of the segment after the first.
 */
async function killedServer(options: Record<string, unknown> = {}): Promise<{ dir: string; key: string }> {
  const dir = temporaryDirectory()
  const billing = openBilling({ dir, tiers: limitedTo(LIMIT) })
  const key = await keyOf(billing, 'customer-1', 'limited')
  await billing.close()
  const server = start('server.cjs', { dir, ...options })
  const port = Number(await server.next())
  expect((await call(port, '/api/execute', { key })).status).toBe(200)
  await until(() => recorded(dir), 1)
  const unlock = await lockStore(dir)
  expect(byStatus(await callOften(port, '/api/execute', JOURNALED, { key }))).toEqual({ 200: JOURNALED })
  server.process.kill('SIGKILL')
  await server.ended
  await unlock()
  expect(await recorded(dir)).toBe(1)
  return { dir, key }
}

describe('a process that was killed the moment after its answers', () => {
  test.each(['journal', 'commit'])('loses nothing, and nothing counts twice (durability: %s)', async (durability) => {
    const { dir } = await killedServer({ durability })
    const billing = openBilling({ dir, durability: durability as 'journal' })
    const report = await billing.ready()
    expect(report.journals).toEqual({ journals: 1, events: JOURNALED, rejected: 0 })
    expect(await totals(billing)).toMatchObject({ events: JOURNALED + 1, cost: '2.1' })
    // What it had leased and not used is free again.
    const { quota } = await billing.explain({ customerId: 'customer-1', method: 'GET', path: '/api/execute' })
    expect(quota).toMatchObject({ used: JOURNALED + 1, leasedHere: 0, leasedElsewhere: 0 })
    await billing.close()
    const again = openBilling({ dir })
    expect((await again.ready()).journals).toEqual(noJournals)
    expect((await totals(again)).events).toBe(JOURNALED + 1)
    await again.close()
    expect(existsSync(journalsOf(dir))).toBe(false)
    expect(await leases(dir)).toEqual([])
  })

  test('leaves exactly the rest of the limit', async () => {
    const { dir, key } = await killedServer()
    const billing = openBilling({ dir })
    const app = express().use(billing.middleware(), (_, res) => void res.end())
    const left = LIMIT - JOURNALED - 1
    const answers = await callOften(await serve(app), '/api/execute', left + 10, { key })
    expect(byStatus(answers)).toEqual({ 200: left, 429: 10 })
  })

  test('has reached thresholds that the one tells who takes its journal over', async () => {
    const { dir } = await killedServer()
    const billing = openBilling({ dir, thresholds: [1, 2, 3] })
    const told: number[] = []
    billing.on('threshold', ({ percent }) => told.push(percent))
    await billing.ready()
    expect(told).toEqual([1, 2])
  })

  test('has a torn last line and a damaged one, which are set aside', async () => {
    const { dir } = await killedServer()
    const segment = segmentOf(dir)
    const lines = readFileSync(segment, 'utf8').trimEnd().split('\n')
    expect(lines.length).toBe(JOURNALED + 1)
    const damaged = (lines[5] ?? '').replace('"units":1', '"units":7')
    const torn = (lines[6] ?? '').slice(0, -10)
    writeFileSync(segment, [...lines.slice(0, 5), damaged, ...lines.slice(6), torn].join('\n'))

    const billing = openBilling({ dir })
    const { journals } = await billing.ready()
    const rejectedFile = join(journalsOf(dir), 'rejected.jsonl')
    expect(journals).toEqual({ journals: 1, events: JOURNALED - 1, rejected: 2, rejectedFile })
    expect((await totals(billing)).events).toBe(JOURNALED)
    const rejected = readFileSync(rejectedFile, 'utf8').trimEnd().split('\n')
    expect(rejected.map((line) => JSON.parse(line))).toEqual([
      {
        holder: basename(dirname(segment)),
        segment: '1.jsonl',
        line: 6,
        reason: expect.stringContaining('checksum'),
        text: damaged,
      },
      {
        holder: basename(dirname(segment)),
        segment: '1.jsonl',
        line: JOURNALED + 2,
        reason: expect.any(String),
        text: torn,
      },
    ])
    // The lines stay there for people to read.
    await billing.close()
    const again = openBilling({ dir })
    expect((await again.ready()).journals).toEqual(noJournals)
    expect(readFileSync(rejectedFile, 'utf8').trimEnd().split('\n')).toEqual(rejected)
  })

  test.each<[string, string | Buffer, number]>([
    ['garbage', Buffer.from([0xff, 0x00, 0x80, 0x0a, 0x0a, 0x7b]), 2],
    ['another program’s lines', '{"level":"info"}\n[]\nnull\n', 3],
    ['empty lines', '\n\n\n', 0],
  ])('may have %s in its journal', async (_, bytes, rejected) => {
    const { dir } = await killedServer()
    appendFileSync(segmentOf(dir), bytes)
    const billing = openBilling({ dir })
    expect((await billing.ready()).journals).toMatchObject({ events: JOURNALED, rejected })
    expect((await totals(billing)).events).toBe(JOURNALED + 1)
  })

  test('is inherited by a survivor without being asked', async () => {
    const dir = temporaryDirectory()
    const billing = openBilling({ dir, tiers: limitedTo(LIMIT) })
    const key = await keyOf(billing, 'customer-1', 'limited')
    const server = start('server.cjs', { dir })
    const port = Number(await server.next())
    const agent = new Agent({ keepAlive: true, maxSockets: 8 })
    expect((await call(port, '/api/execute', { key, agent })).status).toBe(200)
    const unlock = await lockStore(dir)
    const calls = Array.from({ length: JOURNALED }, () => call(port, '/api/execute', { key, agent }))
    expect(byStatus(await Promise.all(calls))).toEqual({ 200: JOURNALED })
    server.process.kill('SIGKILL')
    await server.ended
    agent.destroy()
    await unlock()
    await until(async () => (await totals(billing)).events, JOURNALED + 1)
    await until(async () => {
      const { quota } = await billing.explain({ customerId: 'customer-1', method: 'GET', path: '/api/execute' })
      return quota?.leasedElsewhere
    }, 0)
    await billing.close()
    expect(existsSync(journalsOf(dir))).toBe(false)
    expect((await totals(openBilling({ dir }))).events).toBe(JOURNALED + 1)
  })

  test('is inherited by a survivor who tells of lines that cannot be read', async () => {
    const { dir } = await killedServer()
    const lines = readFileSync(segmentOf(dir), 'utf8').trimEnd().split('\n')
    const holder = 'killed-server'
    const apart = join(temporaryDirectory(), holder)
    mkdirSync(apart)
    writeFileSync(join(apart, 'lock'), '')
    writeFileSync(join(apart, '1.jsonl'), `${lines.slice(1, 4).join('\n')}\ntorn`)

    const billing = openBilling({ dir })
    const { happened: rejected, happen: reject } = happening<BillingEvents['rejected'][0]>()
    billing.on('rejected', reject)
    await billing.ready()
    renameSync(apart, join(journalsOf(dir), holder))
    expect(await rejected).toEqual({ lines: 1, file: join(journalsOf(dir), 'rejected.jsonl') })
    await until(async () => (await totals(billing)).events, JOURNALED + 1 + 3)
  })
})

test('a process that exits the moment after its answers loses nothing', async () => {
  const dir = temporaryDirectory()
  const program = start('record.cjs', { dir, events: 50, waits: true, closes: false })
  await program.next()
  expect(await program.ended).toEqual({ code: 0, signal: null, errors: '' })
  expect((await totals(openBilling({ dir }))).events).toBe(50)
})

describe('close()', () => {
  test('leaves no journal behind and no lease, whoever closes last', async () => {
    const dir = temporaryDirectory()
    const first = openBilling({ dir, tiers: limitedTo(LIMIT) })
    await first.customers.upsert({ id: 'customer-1', tier: 'limited' })
    const second = openBilling({ dir })
    const consumption = { customerId: 'customer-1', eventType: 'api_request' } as const
    for (const billing of [first, second]) expect((await billing.usage.consume(consumption)).allowed).toBe(true)
    await first.close()
    expect(existsSync(journalsOf(dir))).toBe(true)
    expect((await second.usage.consume(consumption)).allowed).toBe(true)
    await second.close()
    expect(existsSync(journalsOf(dir))).toBe(false)
    expect(await leases(dir)).toEqual([])
    expect(await rows(dir, 'SELECT * FROM journals')).toEqual([])
    expect(await recorded(dir)).toBe(3)
  })

  test('leaves none of a Billing that was never used', async () => {
    const dir = temporaryDirectory()
    await openBilling({ dir }).close()
    expect(existsSync(journalsOf(dir))).toBe(false)
  })

  test('by many Billings that come and go leaves none either', async () => {
    const dir = temporaryDirectory()
    await openBilling({ dir }).close()
    const comeAndGo = async (): Promise<void> => {
      for (let round = 0; round < 10; round += 1) {
        const billing = openBilling({ dir })
        await billing.usage.consume({ customerId: 'customer-1', eventType: 'data_access' })
        await billing.close()
      }
    }
    await Promise.all([comeAndGo(), comeAndGo(), comeAndGo()])
    expect(existsSync(journalsOf(dir))).toBe(false)
    expect(await recorded(dir)).toBe(30)
  })

  test('in worker threads leaves none', async () => {
    const dir = temporaryDirectory()
    await openBilling({ dir, tiers: limitedTo(500) }).close()
    expect(await run('workers.cjs', { dir, times: 20, workers: 3 })).toBe(80)
    expect(existsSync(journalsOf(dir))).toBe(false)
    expect(await leases(dir)).toEqual([])
  })

  test('is not called in a worker thread that is terminated, whose units come back', async () => {
    const dir = temporaryDirectory()
    const billing = openBilling({ dir, tiers: limitedTo(100) })
    await billing.customers.upsert({ id: 'customer-1', tier: 'limited' })
    await billing.close()
    expect(await run('terminated.cjs', { dir, times: 10 })).toEqual({ consumed: 10, left: 90 })
    const again = openBilling({ dir })
    expect((await totals(again)).events).toBe(100)
    await again.close()
    expect(existsSync(journalsOf(dir))).toBe(false)
  })
})

test('flush() resolves when what was answered is in the store', async () => {
  const dir = temporaryDirectory()
  const billing = openBilling({ dir })
  const key = await keyOf(billing, 'customer-1')
  const port = await serve(express().use(billing.middleware(), (_, res) => void res.end()))
  for (const total of [10, 20, 30]) {
    expect(byStatus(await callOften(port, '/api/execute', 10, { key }))).toEqual({ 200: 10 })
    await billing.flush()
    expect(await recorded(dir)).toBe(total)
  }
})

test('one reads what one has just written', async () => {
  const billing = openBilling({ tiers: limitedTo(LIMIT) })
  const { usage, customers } = billing
  await customers.upsert({ id: 'customer-1', tier: 'limited' })
  for (let used = 1; used <= 30; used += 1) {
    const consumed = await usage.consume({ customerId: 'customer-1', eventType: 'api_request', cost: '0.1' })
    expect(consumed).toMatchObject({ allowed: true, used, remaining: LIMIT - used })
    const customer = await usage.getCustomerUsage('customer-1')
    expect(customer?.usage.apiRequests).toBe(used)
    expect((await totals(billing, 'customer-1')).units).toBe(used)
  }
  await usage.recordEvent(event())
  expect(await usage.consume({ customerId: 'customer-1', eventType: 'api_request' })).toMatchObject({ used: 32 })
})
