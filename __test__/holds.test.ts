import { once } from 'node:events'
import { type ClientRequest, request as httpRequest } from 'node:http'
import type { ErrorRequestHandler, Express, RequestHandler } from 'express'
import { type Billing, BillingError, ManualClock, type MiddlewareOptions, type RequestBilling } from 'weighbridge'
import { keyOf, limitedTo, openBilling, temporaryDirectory, totals } from './support/billing'
import { lockStore, rows } from './support/database'
import { frameworks } from './support/frameworks'
import { byStatus, call, callOften, serve } from './support/http'
import { happening, until } from './support/until'

const now = Date.UTC(2026, 3, 10, 12)
const once1 = { events: 1, units: 1, cost: '0.1' }
const nothing = { events: 0, units: 0, cost: '0' }

/** An error handler that says nothing to the console. */
const failed: ErrorRequestHandler = (_error, _req, res, next) => {
  if (res.headersSent) next(_error)
  else res.status(500).end()
}

interface Service {
  billing: Billing
  dir: string
  key: string
  port: number
  /** The status of a request that just succeeds, at another price. */
  probe(): Promise<number>
}

/** A request whose answer does not matter. */
function send(port: number, key: string): ClientRequest {
  const headers = { authorization: `Bearer ${key}` }
  return httpRequest({ host: '127.0.0.1', port, path: '/api/execute', headers })
    .on('error', () => {})
    .end()
}

describe.each(frameworks)('in %s', (_name, express) => {
  const appOf = (billing: Billing, handler: RequestHandler, options: MiddlewareOptions = {}): Express =>
    express()
      .use(billing.middleware({ billOn: 'success', ...options }))
      .all('/api/execute', handler)
      .all('/api/analyze', (_, res) => void res.end())
      .all('/free', handler)
      .use(failed)

  /** Serves a handler behind the middleware to one customer, who has so many units. */
  async function serving(handler: RequestHandler, limit = 1, options: MiddlewareOptions = {}): Promise<Service> {
    const dir = temporaryDirectory()
    const billing = openBilling({ dir, clock: new ManualClock(now), tiers: limitedTo(limit) })
    const key = await keyOf(billing, 'customer-1', 'limited')
    const port = await serve(appOf(billing, handler, options))
    return { billing, dir, key, port, probe: async () => (await call(port, '/api/analyze', { key })).status }
  }

  /** What is recorded when all is done. */
  async function recorded({ billing, dir }: Service): Promise<unknown> {
    await billing.close()
    return totals(openBilling({ dir }))
  }

  describe('with billOn: success', () => {
    const successes: [string, RequestHandler][] = [
      ['a 200 with a body', (_, res) => void res.json({ ok: true })],
      ['a 201', (_, res) => void res.status(201).send('made')],
      ['a 204', (_, res) => void res.status(204).end()],
      ['a 304', (_, res) => void res.status(304).end()],
      ['a redirection', (_, res) => res.redirect('/elsewhere')],
      ['an end that comes late', (_, res) => void setImmediate(() => setImmediate(() => res.end('late')))],
      [
        'a stream',
        (_, res) => {
          res.write('one')
          setImmediate(() => res.write('two', () => res.end('three')))
        },
      ],
      [
        'a response that says twice that it ends',
        (_, res) => {
          res.once('finish', () => res.emit('close'))
          res.end()
        },
      ],
    ]

    test.each(successes)('%s is counted once', async (_what, handler) => {
      const service = await serving(handler)
      const { status } = await call(service.port, '/api/execute', { key: service.key })
      expect(status).toBeLessThan(400)
      await until(() => totals(service.billing), once1)
      expect(await service.probe()).toBe(429)
      expect(await recorded(service)).toEqual(once1)
    })

    test('a HEAD request is counted once', async () => {
      const service = await serving((_, res) => void res.json({ ok: true }))
      expect((await call(service.port, '/api/execute', { key: service.key, method: 'HEAD' })).status).toBe(200)
      await until(() => totals(service.billing), once1)
      expect(await recorded(service)).toEqual(once1)
    })

    test('nothing is counted before the response is finished', async () => {
      const { happened: finishing, happen: finish } = happening()
      const service = await serving((_, res) => {
        res.write('begun')
        void finishing.then(() => res.end())
      })
      const [response] = await once(send(service.port, service.key), 'response')
      await once(response, 'data')
      expect(await totals(service.billing)).toEqual(nothing)
      finish()
      await until(() => totals(service.billing), once1)
    })

    const failures: [string, RequestHandler][] = [
      ['a 400', (_, res) => void res.status(400).end()],
      ['a 404 that nobody answers', (_, __, next) => next('route')],
      ['a 503', (_, res) => void res.status(503).json({ error: 'later' })],
      [
        'a handler that throws',
        () => {
          throw new Error('on purpose')
        },
      ],
      ['a handler that fails later', (_, __, next) => void Promise.reject(new Error('on purpose')).catch(next)],
      ['a response that is destroyed before its headers', (_, res) => void res.destroy()],
      [
        'a stream whose connection breaks',
        (_, res) => {
          res.write('begun', () => res.socket?.destroy())
        },
      ],
      [
        'a stream that fails',
        (_, res, next) => {
          res.write('begun', () => next(new Error('on purpose')))
        },
      ],
    ]

    test.each(failures)('%s costs nothing, and its unit is free again', async (_what, handler) => {
      const service = await serving(handler)
      const answer = await call(service.port, '/api/execute', { key: service.key }).catch(() => undefined)
      expect(answer?.status ?? 500).toBeGreaterThanOrEqual(400)
      await until(service.probe, 200)
      await until(() => totals(service.billing), { events: 1, units: 1, cost: '0.05' })
      expect(await recorded(service)).toEqual({ events: 1, units: 1, cost: '0.05' })
    })

    test('a client who leaves before the headers pays nothing', async () => {
      const { happened: entered, happen: enter } = happening()
      const service = await serving(() => enter())
      const client = send(service.port, service.key)
      await entered
      client.destroy()
      await until(service.probe, 200)
      expect(await recorded(service)).toEqual({ events: 1, units: 1, cost: '0.05' })
    })

    test('a client who leaves amid a stream pays nothing, though its status was 200', async () => {
      const service = await serving((_, res) => void res.write('begun'))
      const client = send(service.port, service.key)
      const [response] = await once(client, 'response')
      await once(response, 'data')
      client.destroy()
      await until(service.probe, 200)
      expect(await recorded(service)).toEqual({ events: 1, units: 1, cost: '0.05' })
    })

    test('a client who leaves while the store is asked holds nothing afterwards', async () => {
      const { happened: entered, happen: enter } = happening()
      const { happened: closed, happen: close } = happening()
      const service = await serving(() => enter())
      const app = appOf(service.billing, () => enter())
      const port = await serve((req, res) => {
        res.on('close', close)
        app(req, res)
      })
      const unlock = await lockStore(service.dir)
      const client = send(port, service.key)
      await once(client, 'socket')
      // Once it has been sent, the store is asked for units, which it cannot give now.
      await once(client, 'finish')
      await call(port, '/free')
      client.destroy()
      await closed
      await unlock()
      await entered
      await until(service.probe, 200)
      expect(await recorded(service)).toEqual({ events: 1, units: 1, cost: '0.05' })
    })

    test('what is not priced is neither held nor counted', async () => {
      const service = await serving((req, res) => void res.json(req.billing?.code))
      expect((await call(service.port, '/free', { key: service.key })).body).toBe('unpriced')
      expect(await recorded(service)).toEqual(nothing)
    })

    test('the units of a running request are part of the limit', async () => {
      const { happened: entered, happen: enter } = happening()
      const { happened: failing, happen: fail } = happening()
      const service = await serving((_, res) => {
        enter()
        void failing.then(() => res.status(500).end())
      })
      const running = call(service.port, '/api/execute', { key: service.key })
      await entered
      const refused = await call(service.port, '/api/analyze', { key: service.key })
      expect(refused.status).toBe(429)
      expect(refused.headers['ratelimit']).toMatch(/r=0;/)
      fail()
      expect((await running).status).toBe(500)
      await until(service.probe, 200)
    })

    test('another Billing waits for the unit of a running request, and gets it when that fails', async () => {
      const { happened: entered, happen: enter } = happening()
      const { happened: failing, happen: fail } = happening()
      const service = await serving((_, res) => {
        enter()
        void failing.then(() => res.status(500).end())
      })
      const other = openBilling({ dir: service.dir, clock: new ManualClock(now) })
      await other.ready()
      const port = await serve(appOf(other, (_, res) => void res.end()))
      const running = call(service.port, '/api/execute', { key: service.key })
      await entered
      const waiting = call(port, '/api/analyze', { key: service.key })
      fail()
      expect((await running).status).toBe(500)
      expect((await waiting).status).toBe(200)
      await other.close()
      expect(await recorded(service)).toEqual({ events: 1, units: 1, cost: '0.05' })
    })

    test('of many at once exactly the limit is counted, and the failures are not', async () => {
      let number = 0
      const service = await serving((_, res) => void res.status(number++ % 3 === 0 ? 500 : 200).end(), 100)
      const answers = await callOften(service.port, '/api/execute', 150, { key: service.key })
      const { 200: succeeded = 0, 429: refused = 0, 500: failed = 0 } = byStatus(answers)
      expect(succeeded + refused + failed).toBe(150)
      await until(async () => (await totals(service.billing)).events, succeeded)
      let further = 0
      for (let status = await service.probe(); status === 200; status = await service.probe()) further += 1
      await until(async () => (await totals(service.billing)).events, 100)
      expect(succeeded + further).toBe(100)
    })

    test('an idempotency key counts once, at once or one after another, and not before a success', async () => {
      let status = 500
      const service = await serving((_, res) => void res.status(status).end(), 10)
      const retry = { key: service.key, headers: { 'idempotency-key': 'retry-1' } }
      expect((await call(service.port, '/api/execute', retry)).status).toBe(500)
      status = 200
      expect(byStatus(await callOften(service.port, '/api/execute', 3, retry))).toEqual({ 200: 3 })
      await until(() => totals(service.billing), once1)
      expect((await call(service.port, '/api/execute', retry)).status).toBe(200)
      // Every unit but the one that was counted is free again.
      await until(async () => (await call(service.port, '/api/execute', retry)).status, 200)
      expect(await recorded(service)).toEqual(once1)
    })
  })

  describe('req.billing', () => {
    /** Asks a handler's questions of `req.billing` and sends back the answers, or the code of the error. */
    async function asking(
      ask: (billing: RequestBilling) => Promise<unknown>,
      options: MiddlewareOptions & { limit?: number } = {},
    ): Promise<Service & { answer(path?: string): Promise<unknown> }> {
      const { limit = 10, ...rest } = options
      const handler: RequestHandler = async (req, res) => {
        try {
          res.json((await ask(req.billing as RequestBilling)) ?? null)
        } catch (error) {
          expect(error).toBeInstanceOf(BillingError)
          const { code, message } = error as BillingError
          res.json({ code, message })
        }
      }
      const service = await serving(handler, limit, rest)
      const { port, key } = service
      const headers = { 'user-agent': 'a test' }
      return { ...service, answer: async (path = '/api/execute') => (await call(port, path, { key, headers })).body }
    }

    /** How many units are left, found out by using them. */
    async function left({ probe }: Service): Promise<number> {
      for (let admitted = 0; ; admitted += 1) if ((await probe()) !== 200) return admitted
    }

    test('says what is held, and where the customer stands', async () => {
      const { answer } = await asking(async (billing) => billing)
      const resetAt = Date.UTC(2026, 4, 1)
      expect(await answer()).toEqual({ code: 'held', degraded: false, limit: 10, used: 1, remaining: 9, resetAt })
    })

    test('holds up to the limit, all in all', async () => {
      const service = await asking(async (billing) => {
        const answers = []
        for (const units of [1, 4, 11, 10, 3]) answers.push(await billing.hold(units), billing.remaining)
        return answers
      })
      expect(await service.answer()).toEqual([true, 9, true, 6, false, 6, true, 0, true, 0])
      await until(() => totals(service.billing), { events: 1, units: 10, cost: '1' })
    })

    test('answers every one of several holds at once for itself', async () => {
      const { answer } = await asking(async (billing) =>
        Promise.all([billing.hold(11), billing.hold(11), billing.hold(10), billing.hold(2)]),
      )
      expect(await answer()).toEqual([false, false, true, true])
    })

    test.each([0, -1, 1.5, NaN, Infinity, 2 ** 53, '3', null])('does not hold %s', async (units) => {
      const service = await asking(async (billing) => billing.hold(units as number))
      expect(await service.answer()).toMatchObject({
        code: 'invalid_argument',
        message: expect.stringContaining('`units`'),
      })
      await until(() => totals(service.billing), once1)
    })

    test.each([
      ['fewer units than were held', 3],
      ['as many units as were held', 8],
    ])('settles %s, and the rest is free', async (_, units) => {
      const service = await asking(async (billing) => [await billing.hold(8), await billing.settle({ units })])
      expect(await service.answer()).toEqual([true, true])
      expect(await totals(service.billing)).toEqual({ events: 1, units, cost: `0.${units}` })
      expect(await left(service)).toBe(10 - units)
    })

    test('settles more units than were held, past the limit', async () => {
      const service = await asking(async (billing) => [await billing.hold(2), await billing.settle({ units: 12 })])
      expect(await service.answer()).toEqual([true, true])
      expect(await totals(service.billing)).toEqual({ events: 1, units: 12, cost: '1.2' })
      expect(await service.probe()).toBe(429)
      expect(await recorded(service)).toEqual({ events: 1, units: 12, cost: '1.2' })
    })

    test('settles no units at all, once', async () => {
      const service = await asking(async (billing) => [await billing.settle({ units: 0 }), await billing.settle()])
      expect(await service.answer()).toEqual([true, false])
      expect(await left(service)).toBe(10)
    })

    test('settles as much as is held without being told how much', async () => {
      const service = await asking(async (billing) => [await billing.hold(4), await billing.settle()])
      expect(await service.answer()).toEqual([true, true])
      expect(await totals(service.billing)).toEqual({ events: 1, units: 4, cost: '0.4' })
    })

    test('settles an exact cost, and keeps the metadata beside the method and the user agent', async () => {
      const settlement = { units: 7, cost: '123456789.000000000001', metadata: { tokens: 7 } }
      const service = await asking(async (billing) => billing.settle(settlement))
      expect(await service.answer()).toBe(true)
      expect(await recorded(service)).toEqual({ events: 1, units: 7, cost: '123456789.000000000001' })
      const [row] = await rows(service.dir, 'SELECT endpoint, units, metadata FROM events')
      expect(row).toMatchObject({ endpoint: '/api/execute', units: 7 })
      expect(JSON.parse(String(row?.['metadata']))).toEqual({ tokens: 7, method: 'GET', userAgent: 'a test' })
    })

    test('keeps the method and the user agent where it is told no metadata', async () => {
      const service = await asking(async (billing) => billing.settle({ cost: 0 }))
      await service.answer()
      expect(await recorded(service)).toEqual({ events: 1, units: 1, cost: '0' })
      const [row] = await rows(service.dir, 'SELECT metadata FROM events')
      expect(JSON.parse(String(row?.['metadata']))).toEqual({ method: 'GET', userAgent: 'a test' })
    })

    test.each<[string, (billing: RequestBilling) => Promise<unknown>, unknown, number]>([
      [
        'settled twice',
        async (billing) => [await billing.settle(), await billing.settle({ units: 5 })],
        [true, false],
        1,
      ],
      ['settled twice at once', async (billing) => Promise.all([billing.settle(), billing.settle()]), [true, false], 1],
      ['settled after void', async (billing) => [billing.void(), await billing.settle()], [true, false], 0],
      ['void after being settled', async (billing) => [await billing.settle(), billing.void()], [true, false], 1],
      ['void twice', async (billing) => [billing.void(), billing.void()], [true, false], 0],
      ['held after void', async (billing) => [billing.void(), await billing.hold(2)], [true, false], 0],
    ])('ends once: %s', async (_, ask, answers, events) => {
      const service = await asking(ask)
      expect(await service.answer()).toEqual(answers)
      expect(await left(service)).toBe(10 - events)
      expect(await recorded(service)).toMatchObject({ events: 10 })
    })

    test('ends with the response', async () => {
      const { happened: kept, happen: keep } = happening<RequestBilling>()
      const service = await asking(async (billing) => keep(billing))
      await service.answer()
      const billing = await kept
      await until(() => totals(service.billing), once1)
      expect(await billing.settle({ units: 5 })).toBe(false)
      expect(await billing.hold(5)).toBe(false)
      expect(billing.void()).toBe(false)
      expect(await recorded(service)).toEqual(once1)
    })

    test.each<[string, Record<string, unknown>, string]>([
      ['negative units', { units: -1 }, 'invalid_argument'],
      ['half a unit', { units: 0.5 }, 'invalid_argument'],
      ['units that are text', { units: '3' }, 'invalid_argument'],
      ['a negative cost', { cost: -1 }, 'invalid_argument'],
      ['a cost that is no number', { cost: 'much' }, 'invalid_argument'],
      ['too many decimal places', { cost: '0.0000000000001' }, 'invalid_argument'],
      ['metadata that are a list', { metadata: [] }, 'invalid_argument'],
      ['metadata that are too large', { metadata: { text: 'x'.repeat(17_000) } }, 'metadata_too_large'],
      ['an option that is none', { unit: 3 }, 'invalid_argument'],
      ['units whose price is beyond all money', { units: Number.MAX_SAFE_INTEGER }, 'amount_overflow'],
    ])('refuses %s, and may be told better', async (_, settlement, code) => {
      const pricing = { '/api/execute': { pricePerRequest: '999999999.999999999999' } }
      const service = await asking(
        async (billing) => {
          const refused = await billing.settle(settlement).catch((error: BillingError) => error.code)
          return [refused, await billing.settle({ units: 2, cost: '0.2' })]
        },
        { pricing },
      )
      expect(await service.answer()).toEqual([code, true])
      expect(await recorded(service)).toEqual({ events: 1, units: 2, cost: '0.2' })
    })

    test('what is refused and not told better is billed as it was held', async () => {
      const service = await asking(async (billing) => billing.settle({ metadata: { text: 'x'.repeat(17_000) } }))
      expect(await service.answer()).toMatchObject({ code: 'metadata_too_large' })
      await until(() => totals(service.billing), once1)
    })

    test('what is held when the response fails costs nothing', async () => {
      const service = await serving(async ({ billing }, res) => {
        res.status((await billing?.hold(8)) === true ? 500 : 200).end()
      }, 10)
      expect((await call(service.port, '/api/execute', { key: service.key })).status).toBe(500)
      await until(service.probe, 200)
      await until(async () => {
        const { quota } = await service.billing.explain({ key: service.key, method: 'GET', path: '/api/analyze' })
        return (await call(service.port, '/api/analyze', { key: service.key })).status === 429 && quota?.used
      }, 10)
    })

    test('the delivered part of a stream that the client broke off can be settled', async () => {
      const service = await serving(({ billing }, res) => {
        res.on('close', () => void billing?.settle({ units: 2 }))
        void billing?.hold(8).then(() => res.write('begun'))
      }, 10)
      const client = send(service.port, service.key)
      const [response] = await once(client, 'response')
      await once(response, 'data')
      client.destroy()
      await until(() => totals(service.billing), { events: 1, units: 2, cost: '0.2' })
      expect(await left(service)).toBe(8)
    })

    test.each(['success', 'request'] as const)(
      'a hold that is answered after the end of the response holds nothing (billOn: %s)',
      async (billOn) => {
        const { happened: answered, happen: answer } = happening<boolean>()
        const service = await serving(
          ({ billing }, res) => {
            void billing?.hold(500).then(answer)
            res.end()
          },
          1_000,
          { billOn },
        )
        // The first units are set aside before the store goes away.
        expect(await service.probe()).toBe(200)
        await service.billing.flush()
        const unlock = await lockStore(service.dir)
        const finished = await call(service.port, '/api/execute', { key: service.key })
        expect(finished.status).toBe(200)
        await unlock()
        expect(await answered).toBe(false)
        await until(() => totals(service.billing), { events: 2, units: 2, cost: '0.15' })
        // All others are free.
        const app = appOf(service.billing, async ({ billing }, res) => void res.json(await billing?.hold(998)))
        const { body } = await call(await serve(app), '/api/execute', { key: service.key })
        expect(body).toBe(true)
      },
    )

    test('a hold after the end of the response holds nothing', async () => {
      const { happened: kept, happen: keep } = happening<RequestBilling>()
      const service = await asking(async (billing) => keep(billing), { billOn: 'request' })
      await service.answer()
      expect(await (await kept).hold(10)).toBe(false)
      expect(await left(service)).toBe(9)
    })
  })

  describe('with billOn: request', () => {
    /** The answers of a handler that holds and settles. */
    async function answersOf(ask: (billing: RequestBilling) => Promise<unknown>, path = '/api/execute') {
      const handler: RequestHandler = async (req, res) => {
        const failed = ({ code, message }: BillingError) => ({ code, message })
        res.json(await ask(req.billing as RequestBilling).catch(failed))
      }
      const service = await serving(handler, 10, { billOn: 'request' })
      const headers = { 'idempotency-key': 'retry-1' }
      const { body } = await call(service.port, path, { key: service.key, headers })
      return { service, body, again: async () => (await call(service.port, path, { key: service.key, headers })).body }
    }

    test('more units are counted beside the one that was', async () => {
      const { service, body } = await answersOf(async (billing) => [
        billing.code,
        await billing.hold(4),
        billing.used,
        await billing.settle({ units: 3, cost: '0.000000000001' }),
      ])
      expect(body).toEqual(['recorded', true, 4, true])
      expect(await recorded(service)).toEqual({ events: 2, units: 3, cost: '0.100000000001' })
    })

    test('units that were not held are counted past the limit', async () => {
      const { service, body } = await answersOf(async (billing) => billing.settle({ units: 15 }))
      expect(body).toBe(true)
      expect(await recorded(service)).toEqual({ events: 2, units: 15, cost: '1.5' })
    })

    test('what is held and not settled is counted with the response', async () => {
      const { service, body } = await answersOf(async (billing) => billing.hold(4))
      expect(body).toBe(true)
      await until(() => totals(service.billing), { events: 2, units: 4, cost: '0.4' })
    })

    test('what was counted is not taken back', async () => {
      const { service, body } = await answersOf(async (billing) => billing.settle({ units: 0 }))
      expect(body).toMatchObject({ code: 'invalid_argument', message: expect.stringContaining("billOn: 'success'") })
      expect(await recorded(service)).toEqual(once1)
    })

    test('what was counted at its price has no other cost', async () => {
      const { body } = await answersOf(async (billing) => billing.settle({ cost: 5 }))
      expect(body).toMatchObject({ code: 'invalid_argument', message: expect.stringContaining("billOn: 'success'") })
    })

    test('a duplicate and what has no price bill nothing', async () => {
      const ask = async (billing: RequestBilling) => [billing.code, await billing.settle({ units: 5 }), billing.void()]
      const free = await answersOf(ask, '/free')
      expect(free.body).toEqual(['unpriced', false, false])
      expect(await recorded(free.service)).toEqual(nothing)
      const { service, again } = await answersOf(async (billing) =>
        billing.code === 'recorded' ? billing.code : ask(billing),
      )
      expect(await again()).toEqual(['duplicate', false, false])
      expect(await recorded(service)).toEqual(once1)
    })
  })
})
