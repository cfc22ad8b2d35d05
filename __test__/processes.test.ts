import { Agent, request } from 'node:http'
import { Worker } from 'node:worker_threads'
import { openBilling } from './support/billing'
import { freshDirectory } from './support/directory'
import { endOf, messageOf, startProgram } from './support/programs'

test('two processes on one directory admit exactly the limit between them', async () => {
  const dir = freshDirectory()
  const billing = openBilling({ dir })
  await billing.ready()
  const admitted = await Promise.all([1, 2].map(() => messageOf<number>(startProgram('consumer', dir))))
  expect((admitted[0] ?? 0) + (admitted[1] ?? 0)).toBe(1000)
  expect(await billing.usage.getCustomerUsage('acme')).toMatchObject({ usage: { apiRequests: 1000 } })
}, 60_000)

test('a server that is killed loses no request that it answered, and counts none twice', async () => {
  const dir = freshDirectory()
  const billing = openBilling({ dir })
  await billing.customers.upsert({ id: 'acme', tier: 'enterprise' })
  const { key } = await billing.keys.create({ customerId: 'acme' })
  const server = startProgram('server', dir)
  const port = await messageOf<number>(server)
  const ended = endOf(server)

  const agent = new Agent({ keepAlive: true, maxSockets: 32 })
  const answered: string[] = []
  let sent = 0
  const send = async (): Promise<void> => {
    while (server.exitCode === null && server.signalCode === null) {
      const id = `request-${(sent += 1)}`
      if ((await status(port, key, id, agent)) === 200) answered.push(id)
      if (answered.length === 300) server.kill('SIGKILL')
    }
  }
  await Promise.all(Array.from({ length: 32 }, send))
  await ended
  agent.destroy()

  const recorded = async () => (await billing.usage.getCustomerUsage('acme'))?.usage.apiRequests ?? 0
  const afterKill = await recorded()
  expect(answered.length).toBeGreaterThanOrEqual(300)
  expect(afterKill).toBeGreaterThanOrEqual(answered.length)
  expect(afterKill).toBeLessThanOrEqual(sent)
  // Each one sent again must be known: had it been lost, it would be counted now.
  const again = startProgram('server', dir)
  const nextPort = await messageOf<number>(again)
  const nextAgent = new Agent({ keepAlive: true, maxSockets: 32 })
  const statuses = await Promise.all(answered.map((id) => status(nextPort, key, id, nextAgent)))
  nextAgent.destroy()
  expect(new Set(statuses)).toEqual(new Set([200]))
  expect(await recorded()).toBe(afterKill)
}, 60_000)

test('worker threads each have their own Billing, on one directory', async () => {
  const dir = freshDirectory()
  const program = `
    const { workerData, parentPort } = require('node:worker_threads')
    const { Billing } = require('weighbridge')
    const billing = new Billing({ dir: workerData })
    const event = { customerId: 'acme', eventType: 'api_request', timestamp: Date.now(), cost: 0.1 }
    Promise.all(Array.from({ length: 200 }, () => billing.usage.recordEvent(event)))
      .then(() => billing.close())
      .then(() => parentPort.postMessage('done'))
  `
  await Promise.all(
    [1, 2, 3].map(
      () =>
        new Promise<void>((resolve, reject) => {
          const worker = new Worker(program, { eval: true, workerData: dir })
          worker.once('error', reject)
          worker.once('exit', () => resolve())
        }),
    ),
  )
  const { usage } = openBilling({ dir })
  expect(await usage.getCustomerUsage('acme')).toMatchObject({ usage: { apiRequests: 600, totalCost: 60 } })
}, 60_000)

/** The status of a request, or `undefined` where the connection broke. */
function status(port: number, key: string, id: string, agent: Agent): Promise<number | undefined> {
  return new Promise((resolve) => {
    const headers = { authorization: `Bearer ${key}`, 'idempotency-key': id }
    const outgoing = request(
      { port, host: '127.0.0.1', method: 'POST', path: '/api/execute', headers, agent },
      (answer) => {
        answer.resume()
        answer.once('end', () => resolve(answer.statusCode))
        answer.once('error', () => resolve(undefined))
      },
    )
    outgoing.once('error', () => resolve(undefined))
    outgoing.end()
  })
}
