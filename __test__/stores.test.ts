import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Billing } from 'weighbridge'
import { openBilling } from './support/billing'
import { freshDirectory } from './support/directory'
import { runNode } from './support/programs'

const root = join(__dirname, '..')
const event = { customerId: 'acme', eventType: 'api_request', timestamp: Date.now(), cost: 0.1 } as const

/** A database as another program, or another version, would have left it. */
function database(path: string, sql: string): Buffer {
  const script = 'import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])'
  execFileSync('python3', ['-c', script, path, sql])
  return readFileSync(path)
}

test('a file that is no database is refused and left as it is', async () => {
  const dir = freshDirectory()
  const path = join(dir, 'weighbridge.db')
  writeFileSync(path, 'some notes, long enough to be no SQLite header at all\n'.repeat(100))
  const before = readFileSync(path)
  const billing = openBilling({ dir })
  await expect(billing.ready()).rejects.toMatchObject({ code: 'store_foreign', message: expect.stringContaining(path) })
  await expect(billing.usage.recordEvent(event)).rejects.toMatchObject({ code: 'store_foreign' })
  await expect(billing.usage.getCustomerUsage('acme')).rejects.toMatchObject({ code: 'store_foreign' })
  expect(readFileSync(path)).toEqual(before)
})

test("another program's database is refused and left as it is", async () => {
  const dir = freshDirectory()
  const path = join(dir, 'weighbridge.db')
  const before = database(path, 'CREATE TABLE notes (text); INSERT INTO notes VALUES (1)')
  await expect(openBilling({ dir }).ready()).rejects.toMatchObject({ code: 'store_foreign' })
  expect(readFileSync(path)).toEqual(before)
})

test('a database of a newer version is refused and left as it is', async () => {
  const dir = freshDirectory()
  const billing = openBilling({ dir })
  await billing.usage.recordEvent(event)
  await billing.close()
  const before = database(billing.path, 'PRAGMA user_version = 999')
  await expect(openBilling({ dir }).ready()).rejects.toMatchObject({ code: 'store_newer' })
  expect(readFileSync(billing.path)).toEqual(before)
})

test('a directory that cannot be made is told by its code', async () => {
  const dir = freshDirectory()
  writeFileSync(join(dir, 'file'), '')
  const billing = openBilling({ dir: join(dir, 'file', 'below') })
  await expect(billing.ready()).rejects.toMatchObject({ code: expect.stringMatching(/^store_/) })
})

test('what was recorded is there after closing and opening again, by the same tiers', async () => {
  const dir = freshDirectory()
  const first = openBilling({ dir, tiers: [{ ...tier, id: 'own' }] })
  await first.customers.upsert({ id: 'acme', tier: 'own' })
  await first.usage.recordEvent(event)
  await first.close()
  const second = openBilling({ dir })
  expect(await second.usage.getCustomerUsage('acme')).toMatchObject({
    usage: { apiRequests: 1, totalCost: 0.1 },
    limits: { apiRequests: 7, agentExecutions: 3 },
  })
})

const tier = {
  id: 'own',
  name: 'Own',
  priceId: 'price_own',
  monthlyPrice: 1,
  features: {
    apiRequestsPerMonth: 7,
    agentExecutionsPerMonth: 3,
    dataAccessLevel: 'basic',
    supportLevel: 'community',
  },
} as const

test('closing finishes what was asked for, refuses what comes after, and may be repeated', async () => {
  const dir = freshDirectory()
  const billing = new Billing({ dir })
  const recorded = Promise.all(Array.from({ length: 500 }, () => billing.usage.recordEvent(event)))
  await Promise.all([billing.close(), billing.close({ timeoutMs: 60_000 })])
  await recorded
  await expect(billing.usage.recordEvent(event)).rejects.toMatchObject({ code: 'closed' })
  await expect(billing.ready()).rejects.toMatchObject({ code: 'closed' })
  await billing.close()
  // Closed for real: SQLite has taken its log away.
  expect(readdirSync(dir)).toEqual(['weighbridge.db'])
  expect(await openBilling({ dir }).usage.getCustomerUsage('acme')).toMatchObject({ usage: { apiRequests: 500 } })
})

test.each([
  ['CommonJS', 'exports.control = true', (specifier: string) => `require(${JSON.stringify(specifier)})`],
  ['ESM', 'export const control = true', (specifier: string) => `await import(${JSON.stringify(specifier)})`],
])('importing as %s does nothing', (name, source, importing) => {
  const dir = freshDirectory()
  // Node starts threads and reads variables of its own with the first module: not to be taken for ours.
  const control = join(dir, name === 'ESM' ? 'control.mjs' : 'control.cjs')
  writeFileSync(control, source)
  const program = `
    const { readdirSync } = require('node:fs')
    const threads = () => readdirSync('/proc/self/task').length
    const read = []
    async function main() {
      ${importing(control)}
      const before = threads()
      process.env = new Proxy(process.env, {
        get: (target, name) => {
          const [, , caller] = new Error().stack.split('\\n')
          if (/dist.(?!$)/.test(caller)) read.push(name)
          return target[name]
        },
      })
      ${importing('weighbridge')}
      console.log(JSON.stringify({ started: threads() - before, read }))
    }
    main()`
  expect(JSON.parse(runNode(root, '-e', program))).toEqual({ started: 0, read: [] })
  expect(existsSync(join(root, 'logs'))).toBe(false)
})

test('a process ends by itself, and what it had asked for is recorded', async () => {
  const dir = freshDirectory()
  const program = `
    const { Billing } = require('weighbridge')
    const billing = new Billing({ dir: ${JSON.stringify(dir)} })
    for (let count = 0; count < 100; count += 1) billing.usage.recordEvent(${JSON.stringify(event)})`
  runNode(root, '-e', program)
  expect(await openBilling({ dir }).usage.getCustomerUsage('acme')).toMatchObject({ usage: { apiRequests: 100 } })
})

test('the exports of the seed work on logs/usage below the working directory', () => {
  const dir = freshDirectory()
  const program = `
    const { usageTracker, subscriptionTiers, endpointPricing } = require(${JSON.stringify(root)})
    usageTracker.recordEvent(${JSON.stringify(event)})
      .then(() => usageTracker.getCustomerUsage('acme'))
      .then(({ usage }) => console.log(JSON.stringify({ usage, tiers: subscriptionTiers.length, endpointPricing })))`
  expect(JSON.parse(runNode(dir, '-e', program))).toEqual({
    usage: { apiRequests: 1, agentExecutions: 0, dataAccessQueries: 0, totalCost: 0.1 },
    tiers: 3,
    endpointPricing: {
      '/api/execute': { pricePerRequest: 0.1 },
      '/api/analyze': { pricePerRequest: 0.05 },
      '/api/scan-funding': { pricePerRequest: 0.03 },
      '/api/assistant': { pricePerRequest: 0.02 },
      '/api/funding-data': { pricePerRequest: 0.01, requiredTier: 'professional' },
    },
  })
  expect(existsSync(join(dir, 'logs', 'usage', 'weighbridge.db'))).toBe(true)
})
