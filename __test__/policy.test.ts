import express, { type RequestHandler } from 'express'
import { type Billing, type BillingOptions, BillingError, type MiddlewareOptions } from 'weighbridge'
import { keyOf, limitedTo, openBilling, PATIENT, temporaryDirectory, totals } from './support/billing'
import { lockStore } from './support/database'
import { byStatus, call, callOften, serve } from './support/http'
import { happening, until } from './support/until'

const IMPATIENT = { storeDeadlineMs: 50 }
/** What a new customer's first lease holds, less the unit that was used, and before a refill is asked for. */
const CERTAIN = 30

interface Heard {
  degraded: string[]
  recovered: number
}

/** What a Billing tells from now on. */
function listen(billing: Billing): Heard {
  const heard: Heard = { degraded: [], recovered: 0 }
  billing.on('degraded', ({ code, message }) => {
    expect(message).not.toBe('')
    heard.degraded.push(code)
  })
  billing.on('recovered', () => (heard.recovered += 1))
  return heard
}

const answerBilling: RequestHandler = ({ billing }, res) => {
  res.json({ code: billing?.code, degraded: billing?.degraded })
}

interface Service {
  billing: Billing
  dir: string
  /** Of a customer with units of his own. */
  key: string
  port: number
}

/** Serves one customer, for whom units were set aside before the store goes away. */
async function serving(
  options: BillingOptions = IMPATIENT,
  middleware: MiddlewareOptions = {},
  handler: RequestHandler = answerBilling,
): Promise<Service> {
  const dir = temporaryDirectory()
  const billing = openBilling({ dir, tiers: limitedTo(1_000_000), ...options })
  const key = await keyOf(billing, 'customer-1', 'limited')
  const logger = { error: () => {} }
  const port = await serve(
    express()
      .use(billing.middleware({ logger, ...middleware }))
      .use(handler),
  )
  // A busy machine may not answer the first ones in time; the first that is counted has brought units for more.
  await until(async () => (await call(port, '/api/analyze', { key })).status, 200)
  await until(async () => (await totals(billing, 'customer-1')).events, 1)
  await until(async () => (await call(port, '/unpriced', { key })).status, 200)
  return { billing, dir, key, port }
}

describe('while nobody can write to the store', () => {
  test('requests within what is leased are answered, and recorded once afterwards', async () => {
    const { billing, dir, key, port } = await serving()
    const unlock = await lockStore(dir)
    expect(byStatus(await callOften(port, '/api/execute', CERTAIN, { key }))).toEqual({ 200: CERTAIN })
    await unlock()
    await until(async () => (await totals(billing)).events, CERTAIN + 1)
    await billing.close()
    expect(await totals(openBilling({ dir }))).toEqual({ events: CERTAIN + 1, units: CERTAIN + 1, cost: '3.05' })
  })

  test('holds within what is leased are settled, and recorded once afterwards', async () => {
    const { billing, dir, key, port } = await serving(IMPATIENT, { billOn: 'success' }, async (req, res) => {
      res.json(await req.billing?.settle({ units: 2 }))
    })
    const before = await totals(billing)
    const unlock = await lockStore(dir)
    const answers = await callOften(port, '/api/execute', 5, { key })
    expect(answers.map(({ body }) => body)).toEqual(Array(5).fill(true))
    await unlock()
    await until(async () => (await totals(billing)).units, before.units + 10)
  })

  test('a customer without a lease is answered 500 in time, and let through again by itself', async () => {
    const { billing, dir, port } = await serving()
    const key = await keyOf(billing, 'customer-2', 'limited')
    const heard = listen(billing)
    const unlock = await lockStore(dir)
    const answer = await call(port, '/api/execute', { key })
    expect([answer.status, answer.body]).toEqual([500, { error: 'Billing processing failed' }])
    await until(() => heard.degraded, ['store_timeout'])
    expect((await call(port, '/api/execute', { key })).status).toBe(500)
    // Nobody has to ask for anything.
    await unlock()
    await until(() => new Promise((resolve) => setImmediate(() => resolve(heard.recovered))), 1)
    expect(heard.degraded).toEqual(['store_timeout'])
    expect((await totals(billing, 'customer-2')).events).toBe(0)
    await until(async () => (await call(port, '/api/execute', { key })).status, 200)
    expect((await totals(billing, 'customer-2')).events).toBe(1)
  })

  test('with passOnStoreError he passes, uncounted, and the handler can tell', async () => {
    const settled: unknown[] = []
    const { billing, dir, port } = await serving(IMPATIENT, { passOnStoreError: true }, async (req, res) => {
      if (req.billing?.code === 'unrecorded') settled.push(await req.billing.settle({ units: 5 }), req.billing.void())
      answerBilling(req, res, () => {})
    })
    const key = await keyOf(billing, 'customer-2', 'limited')
    const { events } = await totals(billing)
    const { happened: recovered, happen: recover } = happening()
    billing.on('recovered', recover)
    const unlock = await lockStore(dir)
    const { status, body } = await call(port, '/api/execute', { key })
    expect([status, body]).toEqual([200, { code: 'unrecorded', degraded: true }])
    expect(settled).toEqual([false, false])
    await unlock()
    await recovered
    expect((await totals(billing, 'customer-2')).events).toBe(0)
    expect((await totals(billing)).events).toBe(events)
    await until(async () => (await call(port, '/api/execute', { key })).body, { code: 'recorded', degraded: false })
  })

  test('passOnStoreError lets nobody pass who is refused for himself', async () => {
    const { billing, dir, key, port } = await serving(IMPATIENT, { passOnStoreError: true })
    const { key: revoked, id } = await billing.keys.create({ customerId: 'customer-1' })
    await billing.keys.revoke(id)
    const unlock = await lockStore(dir)
    expect((await call(port, '/api/execute')).status).toBe(401)
    expect((await call(port, '/api/execute', { key: revoked })).status).toBe(401)
    expect((await call(port, '/api/funding-data', { key })).status).toBe(403)
    await unlock()
  })

  test('what outlasts even the patience of the database is told once, and loses nothing', async () => {
    const { billing, dir, key, port } = await serving()
    const heard = listen(billing)
    const unlock = await lockStore(dir)
    expect((await call(port, '/api/execute', { key })).status).toBe(200)
    await expect(billing.flush()).rejects.toMatchObject({ code: 'store_busy' })
    expect(heard.degraded).toEqual(['store_busy'])
    await until(async () => (await call(port, '/api/execute', { key })).body, { code: 'recorded', degraded: true })
    await expect(billing.flush()).rejects.toBeInstanceOf(BillingError)
    await unlock()
    await until(async () => (await totals(billing).catch(() => undefined))?.events, 3)
    expect(heard).toEqual({ degraded: ['store_busy'], recovered: 1 })
    await billing.close()
    expect((await totals(openBilling({ dir }))).events).toBe(3)
  })

  test('a request with an idempotency key is counted once, whatever its first answer was', async () => {
    const { billing, dir, key, port } = await serving()
    const retry = { key, headers: { 'idempotency-key': 'retry-1' } }
    const unlock = await lockStore(dir)
    expect((await call(port, '/api/execute', retry)).status).toBe(500)
    await unlock()
    await until(async () => (await call(port, '/api/execute', retry)).status, 200)
    expect((await totals(billing)).events).toBe(2)
  })

  test('a patient request with an idempotency key goes into the journal, and its retry is a duplicate', async () => {
    const { billing, dir, key, port } = await serving(PATIENT)
    const retry = { key, headers: { 'idempotency-key': 'retry-1' } }
    const unlock = await lockStore(dir)
    expect((await call(port, '/api/execute', retry)).body).toEqual({ code: 'recorded', degraded: true })
    await unlock()
    await until(async () => (await totals(billing).catch(() => undefined))?.events, 2)
    expect((await call(port, '/api/execute', retry)).body).toEqual({ code: 'duplicate', degraded: false })
    expect((await totals(billing)).events).toBe(2)
  })

  test('who listens no more hears nothing', async () => {
    const { billing, dir, port } = await serving()
    const key = await keyOf(billing, 'customer-2', 'limited')
    const heard: string[] = []
    const listener = (): number => heard.push('off')
    expect(billing.on('degraded', listener).on('recovered', listener)).toBe(billing)
    expect(billing.off('degraded', listener).off('recovered', listener)).toBe(billing)
    const { happened: recovered, happen: recover } = happening()
    billing.on('recovered', recover)
    const unlock = await lockStore(dir)
    expect((await call(port, '/api/execute', { key })).status).toBe(500)
    await unlock()
    await recovered
    expect(heard).toEqual([])
  })
})

describe('refused with invalid_argument', () => {
  const refused = (message: string): unknown =>
    expect.objectContaining({ code: 'invalid_argument', message: expect.stringContaining(message) })

  function thrownBy(operation: () => unknown): unknown {
    try {
      operation()
    } catch (error) {
      return error
    }
    return 'nothing was refused'
  }

  test.each([
    ['degrade', () => {}, 'there is no event "degrade"'],
    ['toString', () => {}, 'there is no event "toString"'],
    ['error', () => {}, 'there is no event "error"'],
    [undefined, () => {}, 'there is no event'],
    ['degraded', undefined, '`listener`'],
    ['recovered', 'listener', '`listener`'],
  ])('to listen to %s with %s', (name, listener, message) => {
    const billing = openBilling()
    expect(thrownBy(() => billing.on(name as 'degraded', listener as () => void))).toEqual(refused(message))
    expect(thrownBy(() => billing.off(name as 'degraded', listener as () => void))).toEqual(refused(message))
  })

  test.each([
    [{ billOn: 'finish' }, '`billOn`'],
    [{ billOn: true }, '`billOn`'],
    [{ billOn: null }, '`billOn`'],
    [{ passOnStoreError: 'yes' }, '`passOnStoreError`'],
    [{ passOnStoreErrors: true }, 'did you mean "passOnStoreError"?'],
  ])('the middleware option %p', (options, message) => {
    const billing = openBilling()
    expect(thrownBy(() => billing.middleware(options as MiddlewareOptions))).toEqual(refused(message))
  })

  test.each([
    [{ durability: 'disk' }, '`durability`'],
    [{ durability: '' }, '`durability`'],
    [{ durability: true }, '`durability`'],
    [{ storeDeadlineMs: 0 }, '`storeDeadlineMs`'],
    [{ storeDeadlineMs: -1 }, '`storeDeadlineMs`'],
    [{ storeDeadlineMs: NaN }, '`storeDeadlineMs`'],
    [{ storeDeadlineMs: Infinity }, '`storeDeadlineMs`'],
    [{ storeDeadlineMs: 86_400_001 }, '`storeDeadlineMs`'],
    [{ storeDeadlineMs: '50' }, '`storeDeadlineMs`'],
    [{ storeDeadline: 50 }, 'did you mean "storeDeadlineMs"?'],
  ])('the option %p', (options, message) => {
    expect(thrownBy(() => openBilling(options as BillingOptions))).toEqual(refused(message))
  })
})
