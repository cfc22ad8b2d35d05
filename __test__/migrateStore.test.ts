import { randomUUID } from 'node:crypto'
import { appendFileSync, existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Billing, UsageEvent } from 'weighbridge'
import { contents, event, keyOf, limitedTo, openBilling, temporaryDirectory, totals } from './support/billing'
import { command, type Ended } from './support/command'
import { sharedDatabase, sharedUrl } from './support/postgres'
import { start } from './support/processes'
import { until } from './support/until'

async function migrate(dir: string, schema: string, ...others: string[]): Promise<Ended> {
  const ended = await command(['migrate-store', '--from', dir, '--to', sharedUrl(), '--schema', schema, ...others])
    .ended
  expectNoPassword(ended)
  return ended
}

function expectNoPassword({ output, errors }: Ended): void {
  const password = new URL(sharedUrl()).password
  if (password !== '') expect(output + errors).not.toContain(`:${password}@`)
}

function openMoved(dir: string, schema: string): Billing {
  return openBilling({ dir, store: sharedUrl(), postgres: { schema } })
}

const NUMBERED = Array.from({ length: 50 }, (_, index) =>
  event({ id: randomUUID(), customerId: `customer-${index % 3}`, units: index + 1, timestamp: Date.now() - index }),
)

/** A store with keys, customers, tiers, and events with and without ids. */
async function filled(dir: string): Promise<{ keys: string[]; before: unknown }> {
  const billing = openBilling({ dir, tiers: limitedTo(10_000), timeZone: 'Asia/Kolkata' })
  const keys = await Promise.all([
    keyOf(billing, 'customer-0', 'limited'),
    keyOf(billing, 'customer-1', 'professional'),
    keyOf(billing, 'customer-2'),
  ])
  await billing.customers.upsert({ id: 'customer-1', subscriptionId: 'sub_1', stripeCustomerId: 'cus_1' })
  const [known] = await billing.keys.list('customer-2')
  await billing.keys.revoke(known?.id ?? '')
  const month = 31 * 24 * 3_600_000
  const others = Array.from({ length: 200 }, (_, index) =>
    event({
      customerId: `customer-${index % 7}`,
      endpoint: '/api/execute',
      timestamp: Date.now() - (index % 3) * month,
    }),
  )
  await billing.usage.recordEvents([...NUMBERED, ...others])
  const before = await contents(billing)
  await billing.close()
  return { keys, before }
}

describe('weighbridge migrate-store', () => {
  test('moves all: the same keys, usage, tiers and event ids', async () => {
    const [dir, schema] = [temporaryDirectory(), sharedDatabase().schema]
    const { keys, before } = await filled(dir)
    const { code, output, errors } = await migrate(dir, schema)
    expect([code, errors]).toEqual([0, ''])
    expect(output).toMatch(/^customers +7 +7$/m)
    expect(output).toMatch(/^API keys +3 +3$/m)
    expect(output).toMatch(/^events +250 +250$/m)
    expect(output).toMatch(/^event ids +50 +50$/m)
    expect(output).toMatch(/^units +1,475 +1,475$/m)
    expect(output).toMatch(/^cost +25 +25$/m)

    const moved = openMoved(dir, schema)
    expect(await contents(moved)).toEqual(before)
    const states = await Promise.all(keys.map((key) => moved.keys.verify(key)))
    expect(states.map(({ valid }) => valid)).toEqual([true, true, false])
    const again = await moved.usage.recordEvents(NUMBERED)
    expect(new Set(again.map(({ status }) => status))).toEqual(new Set(['duplicate']))
    const [first] = NUMBERED as [UsageEvent]
    const [changed] = await moved.usage.recordEvents([{ ...first, units: 99 }])
    expect(changed).toMatchObject({ status: 'rejected', code: 'idempotency_conflict' })
    expect(await contents(moved)).toEqual(before)
    expect(await moved.usage.consume({ customerId: 'customer-0', eventType: 'api_request' })).toMatchObject({
      allowed: true,
    })
  })

  test('a second call says that there is nothing to do, and the old store opens no more', async () => {
    const [dir, schema] = [temporaryDirectory(), sharedDatabase().schema]
    await filled(dir)
    expect(await migrate(dir, schema)).toMatchObject({ code: 0 })
    expect(await migrate(join(dir, 'weighbridge.db'), schema)).toMatchObject({
      code: 0,
      output: expect.stringContaining('nothing to do'),
    })
    await expect(openBilling({ dir }).ready()).rejects.toMatchObject({
      code: 'store_moved',
      message: expect.stringContaining(schema),
    })
  })

  test('goes on where it was killed, as often as that is, and counts nothing twice', async () => {
    const [dir, schema] = [temporaryDirectory(), sharedDatabase().schema]
    await filled(dir)
    const billing = openBilling({ dir })
    const many = Array.from({ length: 60_000 }, (_, index) =>
      event({ customerId: `customer-${index % 100}`, ...(index % 2 === 0 && { id: `many-${index}` }) }),
    )
    for (let from = 0; from < many.length; from += 10_000) {
      await billing.usage.recordEvents(many.slice(from, from + 10_000))
    }
    const before = await contents(billing)
    await billing.close()

    const copied = async (): Promise<number> => {
      const [table] = await sharedDatabase().rows(`SELECT to_regclass('${schema}.events') AS name`)
      if (table?.['name'] === null) return 0
      const [row] = await sharedDatabase().rows(`SELECT count(*)::int AS events FROM ${schema}.events`)
      return Number(row?.['events'])
    }
    const killed: number[] = []
    for (const share of [0, 0.3, 0.6]) {
      const args = ['migrate-store', '--from', dir, '--to', sharedUrl(), '--schema', schema]
      const { child, ended } = command(args)
      await until(async () => (await copied()) > share * many.length, true)
      child.kill('SIGKILL')
      expect(await ended).toMatchObject({ signal: 'SIGKILL' })
      killed.push(await copied())
    }
    expect(killed[0]).toBeLessThan(many.length)
    await expect(openMoved(dir, schema).customers.list()).rejects.toMatchObject({ code: 'store_moving' })
    const { code, output, errors } = await migrate(dir, schema)
    expect([code, errors]).toEqual([0, ''])
    expect(output).toMatch(/^events +60,250 +60,250$/m)

    const moved = openMoved(dir, schema)
    expect(await contents(moved)).toEqual(before)
    const again = await moved.usage.recordEvents(many.filter(({ id }) => id !== undefined).slice(0, 5_000))
    expect(again.every(({ status }) => status === 'duplicate')).toBe(true)
  }, 120_000)

  test('refuses a store that a process uses, and changes nothing', async () => {
    const [dir, schema] = [temporaryDirectory(), sharedDatabase().schema]
    const { before } = await filled(dir)
    const server = start('server.cjs', { dir })
    await server.next()
    expect(await migrate(dir, schema)).toMatchObject({ code: 1, errors: expect.stringContaining('store_in_use') })
    server.process.kill('SIGKILL')
    await server.ended
    expect(await contents(openBilling({ dir }))).toEqual(before)
  })

  test('takes what a process that was killed has left in its journal', async () => {
    const [dir, schema] = [temporaryDirectory(), sharedDatabase().schema]
    const { keys } = await filled(dir)
    const server = start('server.cjs', { dir })
    const port = await server.next()
    const headers = { authorization: `Bearer ${keys[0]}` }
    for (let times = 0; times < 20; times++) {
      expect((await fetch(`http://127.0.0.1:${port}/api/execute`, { headers })).status).toBe(200)
    }
    server.process.kill('SIGKILL')
    await server.ended
    expect(readdirSync(join(dir, 'weighbridge.db.journals'))).not.toEqual([])
    expect(await migrate(dir, schema)).toMatchObject({ code: 0 })
    expect((await totals(openMoved(dir, schema))).events).toBe(270)
  })

  test('refuses a schema that holds another store', async () => {
    const [dir, other, schema] = [temporaryDirectory(), temporaryDirectory(), sharedDatabase().schema]
    await filled(dir)
    await filled(other)
    expect(await migrate(dir, schema)).toMatchObject({ code: 0 })
    expect(await migrate(other, schema)).toMatchObject({ code: 1, errors: expect.stringContaining('store_not_empty') })
    await openBilling({ dir: other }).ready()
  })

  test("what was taken over of the seed's files is not taken over again, and what comes is", async () => {
    const [dir, schema] = [temporaryDirectory(), sharedDatabase().schema]
    const line = `${JSON.stringify({ ...event(), cost: 0.1 })}\n`
    appendFileSync(join(dir, 'usage-events.json'), line.repeat(3))
    const billing = openBilling({ dir })
    expect(await billing.ready()).toMatchObject({ events: 3 })
    await billing.close()
    expect(await migrate(dir, schema)).toMatchObject({ code: 0 })
    appendFileSync(join(dir, 'usage-events.json'), line)
    const moved = openMoved(dir, schema)
    expect(await moved.ready()).toMatchObject({ events: 1 })
    expect(await totals(moved)).toEqual({ events: 4, units: 4, cost: '0.4' })
  })

  test('--dry-run says what would be moved, and changes nothing', async () => {
    const [dir, schema] = [temporaryDirectory(), sharedDatabase().schema]
    const { before } = await filled(dir)
    const files = readdirSync(dir)
    const { code, output } = await migrate(dir, schema, '--dry-run')
    expect(code).toBe(0)
    expect(output).toMatch(/^events +250$/m)
    expect(output).toContain('Nothing was changed')
    expect(readdirSync(dir).filter((file) => !/-(wal|shm)$/.test(file))).toEqual(files)
    expect(await sharedDatabase().rows(`SELECT 1 FROM pg_namespace WHERE nspname = '${schema}'`)).toEqual([])
    expect(await contents(openBilling({ dir }))).toEqual(before)
  })

  test('takes the URL from the environment, and never tells its password', async () => {
    const [dir, schema] = [temporaryDirectory(), sharedDatabase().schema]
    await filled(dir)
    const args = ['migrate-store', '--from', dir, '--schema', schema]
    const unreachable = 'postgres://user:se%63ret@127.0.0.1:1/nowhere'
    const failed = await command(args, { WEIGHBRIDGE_STORE: unreachable }).ended
    expect(failed).toMatchObject({ code: 1, errors: expect.stringMatching(/store_(unavailable|timeout)/) })
    for (const wrong of [
      ['--to', `x${unreachable}`],
      [unreachable],
      [`--too=${unreachable}`],
      ['--to', `${unreachable}:`],
    ]) {
      const { code, output, errors } = await command([...args, ...wrong]).ended
      expect(code).not.toBe(0)
      expect(output + errors).not.toMatch(/se(%63|c)ret/)
    }
    expect(await command(args, { WEIGHBRIDGE_STORE: sharedUrl() }).ended).toMatchObject({ code: 0 })
  })
})

describe('weighbridge', () => {
  test('says how it is used', async () => {
    const help = await command(['--help']).ended
    expect(help).toMatchObject({ code: 0, errors: '', output: expect.stringContaining('migrate-store') })
    expect(await command(['migrate-store', '--help']).ended).toMatchObject({
      code: 0,
      errors: '',
      output: expect.stringContaining('--dry-run'),
    })
  })

  test.each([
    [[], ''],
    [['migrate'], 'there is no command "migrate"'],
    [['migrate-store'], '--from is missing'],
    [['migrate-store', '--from', 'x'], '--to is missing'],
    [['migrate-store', '--from', 'x', '--to', 'mysql://x'], '--to must be a URL'],
    [['migrate-store', '--from', 'x', '--to', 'postgres://x', '--speed', '9'], '--speed'],
    [['migrate-store', 'x'], 'an argument without an option'],
    [['migrate-store', '--from', '/nowhere', '--to', 'postgres://127.0.0.1/x'], 'there is no store at /nowhere'],
  ])('refuses %j', async (args, says) => {
    const { code, errors } = await command(args).ended
    expect(code).toBe(2)
    expect(errors).toContain(says)
    expect(existsSync('/nowhere')).toBe(false)
  })
})
