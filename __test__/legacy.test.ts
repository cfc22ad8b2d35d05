import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ManualClock } from 'weighbridge'
import { openBilling } from './support/billing'
import { freshDirectory } from './support/directory'

const NOW = Date.UTC(2026, 5, 15)
const clock = new ManualClock(NOW)

const line = (customerId: string, cost: number): string =>
  JSON.stringify({
    customerId,
    eventType: 'api_request',
    endpoint: '/api/execute',
    timestamp: NOW - 1000,
    cost,
    metadata: { method: 'POST', userAgent: 'curl' },
  }) + '\n'

test('good lines count once however often the directory is opened, bad ones are set aside', async () => {
  const dir = freshDirectory()
  const events = join(dir, 'usage-events.json')
  const original =
    line('acme', 0.1) +
    'no JSON at all\n' +
    line('acme', 0.2) +
    '\n' +
    '{"customerId":{},"eventType":"api_request","timestamp":1,"cost":0}\n' +
    line('other', 0.05) +
    '{"customerId":"acme","eventType":"api_req'
  writeFileSync(events, original)
  for (let opening = 0; opening < 3; opening += 1) {
    const billing = openBilling({ dir, clock })
    const report = await billing.ready()
    expect(report).toMatchObject(opening === 0 ? { events: 3, rejected: 3 } : { events: 0, rejected: 0 })
    expect(await billing.usage.getCustomerUsage('acme')).toMatchObject({ usage: { apiRequests: 2, totalCost: 0.3 } })
    expect(await billing.usage.getCustomerUsage('other')).toMatchObject({ usage: { apiRequests: 1, totalCost: 0.05 } })
    await billing.close()
  }
  expect(readFileSync(events, 'utf8')).toBe(original)
  const rejected = readFileSync(join(dir, 'usage-events.rejected.jsonl'), 'utf8').trim().split('\n')
  expect(rejected.map((text) => JSON.parse(text).line)).toEqual([
    'no JSON at all',
    '{"customerId":{},"eventType":"api_request","timestamp":1,"cost":0}',
    '{"customerId":"acme","eventType":"api_req',
  ])
  expect(JSON.parse(rejected[1] ?? '').reason).toMatch(/string/)
})

test('a file that still grows is continued, and two openings at once count it once', async () => {
  const dir = freshDirectory()
  const events = join(dir, 'usage-events.json')
  writeFileSync(events, line('acme', 1).repeat(5000))
  const [first, second] = [openBilling({ dir, clock }), openBilling({ dir, clock })]
  const reports = await Promise.all([first.ready(), second.ready()])
  expect(reports.reduce((sum, report) => sum + report.events, 0)).toBe(5000)
  appendFileSync(events, line('acme', 1))
  const third = openBilling({ dir, clock })
  expect(await third.ready()).toMatchObject({ events: 1 })
  expect(await third.usage.getCustomerUsage('acme')).toMatchObject({ usage: { apiRequests: 5001, totalCost: 5001 } })
})

test('sums count only for a customer of whom the log knows nothing', async () => {
  const dir = freshDirectory()
  const sums = (apiRequests: number) => ({
    currentPeriodStart: Date.UTC(2026, 5, 1, 9, 30),
    currentPeriodEnd: Date.UTC(2026, 6, 1, 9, 30),
    usage: { apiRequests, agentExecutions: 2, dataAccessQueries: 0, totalCost: 4.5 },
    limits: { apiRequests: 1000, agentExecutions: 50 },
  })
  writeFileSync(join(dir, 'usage-events.json'), line('acme', 0.1))
  writeFileSync(join(dir, 'customer-usage.json'), JSON.stringify({ acme: sums(7), quiet: sums(30) }))
  for (let opening = 0; opening < 2; opening += 1) {
    const billing = openBilling({ dir, clock })
    expect(await billing.ready()).toMatchObject({ summaries: opening === 0 ? 1 : 0 })
    expect(await billing.usage.getCustomerUsage('acme')).toMatchObject({ usage: { apiRequests: 1, totalCost: 0.1 } })
    expect(await billing.usage.getCustomerUsage('quiet')).toMatchObject({
      usage: { apiRequests: 30, agentExecutions: 2, totalCost: 4.5 },
    })
    await billing.close()
  }
})

test('sums that cannot be read are reported and stop nothing', async () => {
  const dir = freshDirectory()
  const broken = '{"acme":{"usage":{}}}trailing'
  writeFileSync(join(dir, 'customer-usage.json'), broken)
  const billing = openBilling({ dir, clock })
  expect((await billing.ready()).summariesError).toContain('customer-usage.json')
  await billing.usage.recordEvent({ customerId: 'acme', eventType: 'api_request', timestamp: NOW, cost: 0 })
  expect(readFileSync(join(dir, 'customer-usage.json'), 'utf8')).toBe(broken)
  expect(existsSync(join(dir, 'usage-events.rejected.jsonl'))).toBe(false)
})
