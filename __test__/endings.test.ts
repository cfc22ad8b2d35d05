import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ErrorRequestHandler, RequestHandler } from 'express'
import { BillingError, type MiddlewareOptions, type RequestBilling } from 'weighbridge'
import { keyOf, limitedTo, openBilling, temporaryDirectory, totals } from './support/billing'
import { frameworks } from './support/frameworks'
import { call, serve } from './support/http'

describe.each(frameworks)('in %s', (_name, express) => {
  test('what was answered before the server closed is billed, where Billing is closed next', async () => {
    const dir = temporaryDirectory()
    const billing = openBilling({ dir, tiers: limitedTo(100) })
    const key = await keyOf(billing, 'customer-1', 'limited')
    const app = express()
      .use(billing.middleware({ billOn: 'success' }))
      .all('/api/execute', (_, res) => void res.json({}))
    const server = createServer(app).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const answers = await Promise.all(Array.from({ length: 12 }, () => call(port, '/api/execute', { key })))
    await new Promise((resolve) => server.close(resolve))
    await billing.close()
    expect(answers.map(({ status }) => status)).toEqual(Array(12).fill(200))
    expect(await totals(openBilling({ dir }))).toMatchObject({ events: 12 })
  })

  /** One request to a handler behind the middleware, and what the store holds afterwards. */
  async function outcome(
    handler: RequestHandler,
    options: MiddlewareOptions = {},
    during: (billing: ReturnType<typeof openBilling>) => Promise<unknown> = async () => {},
  ): Promise<{ status: number; error: unknown; recorded: unknown; logged: unknown[] }> {
    const dir = temporaryDirectory()
    const billing = openBilling({ dir, tiers: limitedTo(100) })
    const key = await keyOf(billing, 'customer-1', 'limited')
    const logged: unknown[] = []
    let error: unknown
    const catching: ErrorRequestHandler = (caught, _req, res, _next) => {
      error = caught
      res.status(503).end()
    }
    const app = express()
      .use(billing.middleware({ logger: { error: (failure) => void logged.push(failure) }, ...options }))
      .all('/api/execute', (_req, _res, next) => void during(billing).then(() => setImmediate(next)))
      .all('/api/execute', handler)
      .use(catching)
    const port = await serve(app)
    const { status } = await call(port, '/api/execute', { key })
    await billing.close()
    return { status, error, recorded: await totals(openBilling({ dir })), logged }
  }

  test('a settlement that fails while the response ends leaves it to the default rule', async () => {
    const metadata = { text: 'x'.repeat(20_000) }
    let failure: unknown
    const { status, recorded } = await outcome(
      (req, res) => {
        res.on('finish', () => void req.billing!.settle({ metadata }).catch((error: unknown) => (failure = error)))
        res.json({})
      },
      { billOn: 'success' },
    )
    expect(status).toBe(200)
    expect(failure).toMatchObject({ code: 'metadata_too_large' })
    expect(recorded).toMatchObject({ events: 1, units: 1 })
  })

  test.each([
    ['metadata of units that were counted before', {}, { metadata: { tokens: 5 } }],
    ['a cost of units that were counted before', {}, { cost: 5 }],
    ['a cost of no units', { billOn: 'success' }, { units: 0, cost: 5 }],
  ] as const)('%s cannot be settled', async (_what, options, settlement) => {
    let failure: unknown
    await outcome(async (req, res) => {
      failure = await req.billing!.settle(settlement).catch((error: unknown) => error)
      res.json({})
    }, options)
    expect(failure).toBeInstanceOf(BillingError)
    expect(failure).toMatchObject({ code: 'invalid_argument' })
  })

  test('what a request took is counted though its customer was suspended meanwhile', async () => {
    let settled: boolean | undefined
    const { recorded } = await outcome(
      async (req, res) => {
        settled = await req.billing!.settle({ units: 10 })
        res.json({})
      },
      {},
      (billing) => billing.customers.upsert({ id: 'customer-1', suspended: true }),
    )
    expect(settled).toBe(true)
    expect(recorded).toMatchObject({ units: 10 })
  })

  test('units that were counted before are not void', async () => {
    let answer: boolean | undefined
    const { recorded } = await outcome((req, res) => {
      answer = req.billing!.void()
      res.json({})
    })
    expect(answer).toBe(false)
    expect(recorded).toMatchObject({ units: 1 })
  })

  const boom = new Error('boom')
  const throwing = (): never => {
    throw boom
  }
  test.each([
    ['throws', throwing, {}],
    ['throws where functions are asked first', throwing, { units: () => 1 }],
    ['rejects', async () => throwing(), {}],
  ] as const)('what a handler of refusals %s reaches the error handlers', async (_what, handler, options) => {
    const { status, error } = await outcome((_req, res) => void res.json({}), {
      ...options,
      keyGenerator: () => 'no such key',
      handler,
    })
    expect({ status, error }).toEqual({ status: 503, error: boom })
  })

  test.each([
    ['nothing', undefined],
    ['a string', 'boom'],
    ['null', null],
  ])('where a function of the options throws %s, the request is answered and it is logged', async (_what, thrown) => {
    const { status, logged } = await outcome((_req, res) => void res.json({}), {
      keyGenerator: () => Promise.reject(thrown),
    })
    expect({ status, logged }).toEqual({ status: 500, logged: [thrown] })
  })

  test('a logger that fails costs no request its answer', async () => {
    const console = jest.spyOn(globalThis.console, 'error').mockImplementation(() => {})
    const { status } = await outcome((_req, res) => void res.json({}), {
      keyGenerator: throwing,
      logger: { error: throwing },
    })
    console.mockRestore()
    expect(status).toBe(500)
  })

  test.each([
    ['null', null],
    ['a list', ['a', 'b']],
  ])('%s is no key', async (_what, key) => {
    const { status } = await outcome((_req, res) => void res.json({}), { keyGenerator: () => key as never })
    expect(status).toBe(401)
  })

  test.each(['request', 'success'] as const)('no units at all are refused, billed on %s', async (billOn) => {
    const { status, logged } = await outcome((_req, res) => void res.json({}), { billOn, units: () => 0 })
    expect(status).toBe(500)
    expect(logged).toMatchObject([{ code: 'invalid_argument' }])
  })

  test('a middleware that is mounted twice bills once', async () => {
    const dir = temporaryDirectory()
    const billing = openBilling({ dir })
    const key = await keyOf(billing, 'customer-1')
    const seen: RequestBilling[] = []
    const router = express.Router().use(billing.middleware())
    router.all('/execute', (req, res) => {
      seen.push(req.billing!)
      res.json({})
    })
    const port = await serve(express().use(billing.middleware()).use('/api', router))
    expect((await call(port, '/api/execute', { key })).status).toBe(200)
    expect(seen).toMatchObject([{ code: 'recorded', used: 1 }])
    expect(await totals(billing)).toMatchObject({ events: 1 })
  })
})
