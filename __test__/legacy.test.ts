import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Billing, ManualClock, type TakeoverReport } from 'weighbridge'
import { openBilling, temporaryDirectory, totals } from './support/billing'

const now = Date.UTC(2026, 5, 15)
const none = { events: 0, rejected: 0, summaries: 0 }

const line = (fields: object = {}): string =>
  `${JSON.stringify({
    customerId: 'customer-123',
    eventType: 'api_request',
    endpoint: '/api/execute',
    timestamp: now - 1000,
    cost: 0.1,
    metadata: { method: 'POST', userAgent: 'curl' },
    ...fields,
  })}\n`

const summary = (customerId: string, apiRequests: number, totalCost: number, fields: object = {}) => ({
  [customerId]: {
    customerId,
    currentPeriodStart: Date.UTC(2026, 5, 1, 9, 30),
    currentPeriodEnd: Date.UTC(2026, 6, 1, 9, 30),
    usage: { apiRequests, agentExecutions: 2, dataAccessQueries: 0, totalCost },
    limits: { apiRequests: 1000, agentExecutions: 50 },
    ...fields,
  },
})

/** A directory in which the seed's code was at work. */
class SeedDirectory {
  readonly dir = temporaryDirectory()
  readonly events = join(this.dir, 'usage-events.json')
  readonly usage = join(this.dir, 'customer-usage.json')
  readonly rejected = join(this.dir, 'usage-events.rejected.jsonl')

  /** Opens the directory, gives back what was taken over and, through `then`, what is there. */
  async open<T>(then: (billing: Billing) => Promise<T>): Promise<[TakeoverReport, T]> {
    const billing = openBilling({ dir: this.dir, clock: new ManualClock(now) })
    const result: [TakeoverReport, T] = [await billing.ready(), await then(billing)]
    await billing.close()
    return result
  }
}

test('a directory without files of the seed has nothing to take over', async () => {
  const [report] = await new SeedDirectory().open(totals)
  expect(report).toMatchObject(none)
})

test('good lines are counted once, however often the directory is opened', async () => {
  const seed = new SeedDirectory()
  // Lines may be the same: the seed gave them no ids, and each was a request.
  const text =
    line().repeat(3) + line({ eventType: 'agent_execution', cost: 1.5, agentType: 'a', subscriptionId: 'sub_1' })
  writeFileSync(seed.events, text)
  const expected = { events: 4, units: 4, cost: '1.8' }
  expect(await seed.open(totals)).toMatchObject([{ ...none, events: 4 }, expected])
  expect(await seed.open(totals)).toMatchObject([none, expected])
  expect(await seed.open(totals)).toMatchObject([none, expected])
  expect(readFileSync(seed.events, 'utf8')).toBe(text)
  expect(existsSync(seed.rejected)).toBe(false)

  const [, usage] = await seed.open(({ usage }) => usage.getCustomerUsage('customer-123'))
  expect(usage?.usage).toEqual({ apiRequests: 3, agentExecutions: 1, dataAccessQueries: 0, totalCost: 1.8 })
})

test('two Billings that open it at once count it once', async () => {
  const seed = new SeedDirectory()
  writeFileSync(seed.events, line().repeat(10_000))
  const billings = Array.from({ length: 3 }, () => openBilling({ dir: seed.dir }))
  const reports = await Promise.all(billings.map((billing) => billing.ready()))
  expect(reports.reduce((sum, { events }) => sum + events, 0)).toBe(10_000)
  expect((await totals(billings[0] as Billing)).events).toBe(10_000)
})

test('a file that grew is continued where it was left', async () => {
  const seed = new SeedDirectory()
  writeFileSync(seed.events, line())
  await seed.open(totals)
  appendFileSync(seed.events, line({ cost: 5 }) + line({ cost: 'bad' }))
  expect(await seed.open(totals)).toMatchObject([
    { ...none, events: 1, rejected: 1, rejectedFile: seed.rejected },
    { events: 2, cost: '5.1' },
  ])
  expect(await seed.open(totals)).toMatchObject([none, { events: 2 }])
})

test('a last line without its end is taken too, and what is appended later is a line of its own', async () => {
  const seed = new SeedDirectory()
  writeFileSync(seed.events, line().trimEnd())
  expect(await seed.open(totals)).toMatchObject([{ events: 1 }, { events: 1 }])
  appendFileSync(seed.events, `\n${line()}`)
  expect(await seed.open(totals)).toMatchObject([{ ...none, events: 1 }, { events: 2 }])
})

test('bad lines are set aside with their reasons and reported, and the good ones around them count', async () => {
  const seed = new SeedDirectory()
  const bad = [
    'not json',
    '{"customerId":"customer-123","eventType":"api_req',
    '[]',
    'null',
    line({ eventType: 'something' }).trim(),
    line({ customerId: '' }).trim(),
    line({ customerId: undefined }).trim(),
    line({ cost: -1 }).trim(),
    line({ timestamp: 'now' }).trim(),
    line({ metadata: 'text' }).trim(),
  ]
  const text = `${line()}${bad.join('\n')}\n\n   \n${line()}`
  writeFileSync(seed.events, text)
  expect(await seed.open(totals)).toMatchObject([
    { ...none, events: 2, rejected: bad.length, rejectedFile: seed.rejected },
    { events: 2, cost: '0.2' },
  ])
  const written = readFileSync(seed.rejected, 'utf8')
  const asides = written
    .trimEnd()
    .split('\n')
    .map((aside) => JSON.parse(aside) as { position: number; reason: string; line: string })
  expect(asides.map(({ line }) => line)).toEqual(bad)
  for (const { position, reason, line } of asides) {
    expect(text.slice(position, position + line.length)).toBe(line)
    expect(reason).not.toBe('')
  }
  for (let times = 0; times < 2; times++) {
    expect(await seed.open(totals)).toMatchObject([none, { events: 2 }])
    expect(readFileSync(seed.rejected, 'utf8')).toBe(written)
  }
  expect(readFileSync(seed.events, 'utf8')).toBe(text)
})

test('events lie in the periods in which they happened', async () => {
  const seed = new SeedDirectory()
  writeFileSync(seed.events, line({ timestamp: Date.UTC(2026, 4, 31, 23, 59, 59, 999) }) + line())
  const [, [may, june]] = await seed.open(async ({ usage }) => [
    await usage.getCustomerUsage('customer-123', { at: Date.UTC(2026, 4, 1) }),
    await usage.getCustomerUsage('customer-123'),
  ])
  expect([may?.usage.apiRequests, june?.usage.apiRequests]).toEqual([1, 1])
})

describe("the seed's sums", () => {
  test('count for customers of whom the log knows nothing, once', async () => {
    const seed = new SeedDirectory()
    writeFileSync(seed.events, line())
    const text = JSON.stringify({ ...summary('customer-123', 90, 9), ...summary('customer-456', 40, 4.5) }, null, 2)
    writeFileSync(seed.usage, text)
    const usageOfBoth = async ({ usage }: Billing) => [
      (await usage.getCustomerUsage('customer-123'))?.usage,
      (await usage.getCustomerUsage('customer-456'))?.usage,
    ]
    const expected = [
      { apiRequests: 1, agentExecutions: 0, dataAccessQueries: 0, totalCost: 0.1 },
      { apiRequests: 40, agentExecutions: 2, dataAccessQueries: 0, totalCost: 4.5 },
    ]
    expect(await seed.open(usageOfBoth)).toMatchObject([{ ...none, events: 1, summaries: 1 }, expected])
    expect(await seed.open(usageOfBoth)).toMatchObject([none, expected])
    expect(await seed.open(usageOfBoth)).toMatchObject([none, expected])
    expect(readFileSync(seed.usage, 'utf8')).toBe(text)
  })

  test('count where there is no log at all', async () => {
    const seed = new SeedDirectory()
    writeFileSync(seed.usage, JSON.stringify(summary('customer-456', 40, 0.30000000000000004)))
    const [report, usage] = await seed.open(({ usage }) => usage.getCustomerUsage('customer-456'))
    expect(report).toMatchObject({ ...none, summaries: 1 })
    expect(usage?.usage).toMatchObject({ apiRequests: 40, totalCost: 0.3 })
  })

  test.each([
    ['torn', '{"customer-456":{"customerId":"cust'],
    ['empty', ''],
    ['a list', '[]'],
    ['bad sums', JSON.stringify(summary('customer-456', -1, 0))],
  ])('in a file that is damaged (%s) are reported, and the log counts all the same', async (_, text) => {
    const seed = new SeedDirectory()
    writeFileSync(seed.events, line())
    writeFileSync(seed.usage, text)
    expect(await seed.open(totals)).toMatchObject([
      { ...none, events: 1, summariesError: expect.stringContaining('customer-usage.json') },
      { events: 1 },
    ])
    expect(readFileSync(seed.usage, 'utf8')).toBe(text)
  })
})

test('beside a database with a name of its own, they are looked for too', async () => {
  const seed = new SeedDirectory()
  writeFileSync(seed.events, line())
  const billing = openBilling({ path: join(seed.dir, 'own.sqlite') })
  expect(await billing.ready()).toMatchObject({ events: 1 })
})

test('they are taken over in the default place without being asked for', async () => {
  const startedIn = process.cwd()
  const directory = temporaryDirectory()
  mkdirSync(join(directory, 'logs', 'usage'), { recursive: true })
  writeFileSync(join(directory, 'logs', 'usage', 'usage-events.json'), line())
  process.chdir(directory)
  try {
    expect(await openBilling({ dir: undefined }).ready()).toMatchObject({ events: 1 })
  } finally {
    process.chdir(startedIn)
  }
})
