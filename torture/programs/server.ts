// A server process: an Express app over a Billing, opened and closed as the parent says.
import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Billing, BillingError } from 'weighbridge'
import type { Answers, Command } from '../commands.js'
import { createApp } from './app.js'
import { JumpingClock } from './clock.js'

interface Open {
  billing: Billing
  clock: JumpingClock
  server: Server
  failures: Record<string, number>
}

let current: Open | undefined

async function obey(command: Command): Promise<Answers[Command['name']]> {
  switch (command.name) {
    case 'open':
      return open(command)
    case 'enrol':
      return enrol(command.customers)
    case 'clock':
      opened().clock.jump(command.now)
      return {}
    case 'close':
      return close()
  }
}

async function open({ dir, now, tiers }: Command & { name: 'open' }): Promise<Answers['open']> {
  const clock = new JumpingClock(now)
  // Whoever stands still or is busy must not make requests fail here: what is not recorded in time is another matter.
  const billing = new Billing({ dir, clock, storeDeadlineMs: 10_000, ...(tiers && { tiers }) })
  const takeover = await billing.ready().catch(async (error: unknown) => {
    await billing.close().catch(() => {})
    throw error
  })
  const failures: Record<string, number> = {}
  const logger = {
    error(error: unknown) {
      const code = error instanceof BillingError ? error.code : String(error)
      failures[code] = (failures[code] ?? 0) + 1
    },
  }
  const server = createApp(billing, logger).listen(0, '127.0.0.1')
  await once(server, 'listening')
  current = { billing, clock, server, failures }
  return { port: (server.address() as AddressInfo).port, takeover }
}

async function enrol(customers: { id: string; tier: string }[]): Promise<Answers['enrol']> {
  const { billing } = opened()
  const keys: Record<string, string> = {}
  for (const { id, tier } of customers) {
    await billing.customers.upsert({ id, tier })
    keys[id] = (await billing.keys.create({ customerId: id })).key
  }
  return { keys }
}

async function close(): Promise<Answers['close']> {
  const { billing, server, failures } = opened()
  current = undefined
  const closed = once(server, 'close')
  server.close()
  server.closeIdleConnections()
  await closed
  await billing.close()
  return { failures }
}

function opened(): Open {
  if (current === undefined) throw new Error('nothing is open')
  return current
}

let last: Promise<void> = Promise.resolve()
process.on('message', (command: Command) => {
  last = last.then(async () => {
    try {
      process.send?.({ result: await obey(command) })
    } catch (error) {
      process.send?.({ error: error instanceof BillingError ? `${error.code}: ${error.message}` : String(error) })
    }
  })
})
process.on('unhandledRejection', (reason) => {
  console.error('unhandled rejection in a server', reason)
  process.exit(70)
})
process.on('disconnect', () => process.exit(0))
