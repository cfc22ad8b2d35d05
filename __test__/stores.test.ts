import { closeSync, existsSync, openSync, readdirSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import express from 'express'
import { type Billing, BillingError } from 'weighbridge'
import { contents, event, keyOf, openBilling, temporaryDirectory, totals } from './support/billing'
import { call, serve } from './support/http'
import { run } from './support/processes'

/** Where SQLite's header keeps the two numbers that say whose file it is and of which schema. */
const USER_VERSION = 60
const APPLICATION_ID = 68

/** A database that Weighbridge wrote and closed. */
async function closedDatabase(): Promise<string> {
  const billing = openBilling()
  await billing.usage.recordEvents(Array.from({ length: 200 }, () => event()))
  await billing.close()
  return billing.path
}

function overwrite(path: string, position: number, bytes: number[]): void {
  const file = openSync(path, 'r+')
  writeSync(file, Uint8Array.from(bytes), 0, bytes.length, position)
  closeSync(file)
}

/** Everything that can be asked of it answers with that code. */
async function expectRefused(billing: Billing, code: string, says: string): Promise<void> {
  const operations = [
    () => billing.ready(),
    () => billing.usage.recordEvent(event()),
    () => billing.usage.recordEvents([event()]),
    () => billing.usage.consume({ customerId: 'customer-1', eventType: 'api_request' }),
    () => billing.usage.getCustomerUsage('customer-1'),
    () => billing.usage.checkLimits('customer-1', 'api_request'),
    () => billing.usage.query({ from: 0, to: 1 }),
    () => billing.keys.create({ customerId: 'customer-1' }),
    () => billing.keys.verify('some-key'),
    () => billing.keys.list('customer-1'),
    () => billing.keys.rotate('key_1'),
    () => billing.keys.revoke('key_1'),
    () => billing.customers.upsert({ id: 'customer-1' }),
    () => billing.customers.get('customer-1'),
    () => billing.customers.list(),
    () => billing.flush(),
  ]
  for (const operation of operations) {
    const error: unknown = await operation().catch((error) => error)
    expect(error).toBeInstanceOf(BillingError)
    expect(error).toMatchObject({ code, message: expect.stringContaining(says) })
  }
}

describe('a store that cannot be opened', () => {
  test('by a newer Weighbridge is left alone', async () => {
    const path = await closedDatabase()
    overwrite(path, USER_VERSION, [0, 0, 0, 99])
    const before = readFileSync(path)
    const billing = openBilling({ path })
    await expectRefused(billing, 'store_newer', path)
    await billing.close()
    expect(readFileSync(path).equals(before)).toBe(true)
  })

  test("of another program's database is left alone", async () => {
    const path = await closedDatabase()
    overwrite(path, APPLICATION_ID, [1, 2, 3, 4])
    const before = readFileSync(path)
    const billing = openBilling({ path })
    await expectRefused(billing, 'store_foreign', path)
    await billing.close()
    expect(readFileSync(path).equals(before)).toBe(true)
  })

  test('of a file that is no database is left alone', async () => {
    const path = join(temporaryDirectory(), 'letter.txt')
    writeFileSync(path, 'Dear customer,\n'.repeat(1000))
    const before = readFileSync(path)
    const billing = openBilling({ path })
    await expectRefused(billing, 'store_foreign', path)
    await billing.close()
    expect(readFileSync(path).equals(before)).toBe(true)
    expect(readdirSync(dirname(path))).toEqual(['letter.txt'])
  })

  test('because its pages are damaged says so', async () => {
    const path = await closedDatabase()
    overwrite(
      path,
      100,
      Array.from({ length: 3000 }, () => 0xa5),
    )
    const billing = openBilling({ path })
    await expectRefused(billing, 'store_corrupt', path)
  })

  test('below a file that is no directory says so', async () => {
    const file = join(temporaryDirectory(), 'file')
    writeFileSync(file, 'mine')
    const dir = join(file, 'usage')
    await expectRefused(openBilling({ dir }), 'store_unavailable', dir)
    expect(readFileSync(file, 'utf8')).toBe('mine')
  })

  test('because the database is a directory says so', async () => {
    const dir = temporaryDirectory()
    const path = join(dir, 'weighbridge.db')
    await openBilling({ dir: join(path, 'nested') }).ready()
    await expectRefused(openBilling({ dir }), 'store_read_only', path)
  })

  test('answers requests with 500, and reports it', async () => {
    const path = join(temporaryDirectory(), 'letter.txt')
    writeFileSync(path, 'Dear customer,\n'.repeat(1000))
    const logged: unknown[] = []
    const logger = { error: (error: unknown) => logged.push(error) }
    const app = express().use(openBilling({ path }).middleware({ logger }))
    const port = await serve(app)
    for (let times = 0; times < 3; times++) {
      const answer = await call(port, '/api/execute', { key: 'some-key' })
      expect([answer.status, answer.body]).toEqual([500, { error: 'Billing processing failed' }])
    }
    expect(logged).toEqual([expect.objectContaining({ code: 'store_foreign' })])
  })

  test('can be closed all the same', async () => {
    const path = join(temporaryDirectory(), 'letter.txt')
    writeFileSync(path, 'Dear customer,\n'.repeat(1000))
    const billing = openBilling({ path })
    await billing.close()
    await billing.close()
  })
})

describe('opening', () => {
  test('makes the directory, and a database in it', async () => {
    const dir = join(temporaryDirectory(), 'deep', 'below')
    const billing = openBilling({ dir })
    expect(await billing.ready()).toMatchObject({ events: 0, rejected: 0, summaries: 0 })
    expect(billing.path).toBe(join(dir, 'weighbridge.db'))
    expect(existsSync(billing.path)).toBe(true)
  })

  test('path says where the database itself is', async () => {
    const path = join(temporaryDirectory(), 'elsewhere', 'usage.sqlite')
    const billing = openBilling({ path })
    await billing.ready()
    expect(billing.path).toBe(path)
    expect(existsSync(path)).toBe(true)
  })

  test('the same directory twice in one process is safe, and both see everything', async () => {
    const dir = temporaryDirectory()
    const [first, second] = [openBilling({ dir }), openBilling({ dir })]
    await Promise.all(
      [first, second].flatMap(({ usage }) => Array.from({ length: 500 }, () => usage.recordEvent(event()))),
    )
    expect(await totals(first)).toEqual({ events: 1000, units: 1000, cost: '100' })
    expect(await contents(second)).toEqual(await contents(first))
    await first.close()
    await second.usage.recordEvent(event())
    expect((await totals(second)).events).toBe(1001)
  })

  test('two Billings on one directory admit exactly one limit', async () => {
    const dir = temporaryDirectory()
    const billings = [openBilling({ dir }), openBilling({ dir })]
    const answers = await Promise.all(
      billings.flatMap(({ usage }) =>
        Array.from({ length: 1000 }, () => usage.consume({ customerId: 'customer-1', eventType: 'api_request' })),
      ),
    )
    expect(answers.filter(({ allowed }) => allowed)).toHaveLength(1000)
  })

  test('again finds everything as it was', async () => {
    const dir = temporaryDirectory()
    const first = openBilling({ dir })
    const key = await keyOf(first, 'customer-1', 'professional')
    await first.usage.recordEvent(event({ endpoint: '/api/execute' }))
    const before = await contents(first)
    await first.close()
    const second = openBilling({ dir })
    expect(await contents(second)).toEqual(before)
    expect(await second.keys.verify(key)).toMatchObject({ valid: true })
  })
})

describe('closing', () => {
  test('finishes what was asked for before, and refuses everything after', async () => {
    const dir = temporaryDirectory()
    const billing = openBilling({ dir })
    const asked = Array.from({ length: 1000 }, () => billing.usage.recordEvent(event()))
    const report = billing.usage.query({ from: 0, to: 1 })
    await billing.close()
    await expect(Promise.all(asked)).resolves.toHaveLength(1000)
    await expect(report).resolves.toEqual([])
    await expectRefused(billing, 'closed', 'closed')
    expect((await totals(openBilling({ dir }))).events).toBe(1000)
  })

  test('is harmless again, at once or later', async () => {
    const billing = openBilling()
    await Promise.all([billing.close(), billing.close({ timeoutMs: 60_000 }), billing.close()])
    await billing.close()
  })

  test('leaves one file', async () => {
    const dir = temporaryDirectory()
    const billing = openBilling({ dir })
    await billing.usage.recordEvent(event())
    await billing.close()
    expect(readdirSync(dir)).toEqual(['weighbridge.db'])
  })

  test('of a Billing that was never used is quick and quiet', async () => {
    await openBilling().close({ timeoutMs: 60_000 })
  })
})

test('flush resolves when everything asked for before is durable', async () => {
  const dir = temporaryDirectory()
  const [billing, other] = [openBilling({ dir }), openBilling({ dir })]
  const asked = Array.from({ length: 100 }, () => billing.usage.recordEvent(event()))
  await billing.flush()
  expect((await totals(other)).events).toBe(100)
  await Promise.all(asked)
})

describe('the process', () => {
  test.each(['require', 'import'])('notices nothing of a mere %s', async (how) => {
    const directory = temporaryDirectory()
    const report = await run('import.cjs', { how }, { directory, environment: { STRIPE_SECRET_KEY: 'sk_test_1' } })
    expect(report).toEqual({
      exports: [
        'Alerts',
        'ApiKeys',
        'Billing',
        'BillingError',
        'BillingStripe',
        'CatalogError',
        'CustomerCredits',
        'Customers',
        'Invoices',
        'ManualClock',
        'StripeError',
        'StripeOutbox',
        'StripeService',
        'UsageTracker',
        'billingMiddleware',
        'checkCatalog',
        'constructEvent',
        'createBillingMiddleware',
        'creditBalance',
        'endpointPricing',
        'generateTestHeader',
        'periodContaining',
        'previewInvoice',
        'prorate',
        'quote',
        'resolvePrice',
        'round',
        'simulateAccessLog',
        'stripeService',
        'subscriptionTiers',
        'usageTracker',
      ],
      environment: [],
      newThreads: 0,
      addon: false,
      files: [],
    })
  })

  test.each([
    ['after close()', true, true],
    ['without close(), when nothing is pending', true, false],
    ['without waiting for anything, and what was asked for is recorded', false, false],
  ])('ends by itself %s', async (_, waits, closes) => {
    const dir = temporaryDirectory()
    expect(await run('record.cjs', { dir, events: 100, waits, closes })).toBe('asked')
    expect((await totals(openBilling({ dir }))).events).toBe(100)
  })

  test('ends by itself where nothing was asked for at all', async () => {
    const dir = temporaryDirectory()
    expect(await run('record.cjs', { dir, events: 0 })).toBe('asked')
  })
})
