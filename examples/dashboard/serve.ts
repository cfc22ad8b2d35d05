/** The dashboard as a process of its own: `npx tsx examples/dashboard/serve.ts [--dir <path>] [--port <number>]`. */
import type { AddressInfo } from 'node:net'
import { parseArgs } from 'node:util'
import { Billing } from 'weighbridge'
import { createDashboard } from './server.js'

const { values } = parseArgs({ options: { dir: { type: 'string' }, port: { type: 'string', default: '3000' } } })
const billing = new Billing(values.dir === undefined ? {} : { dir: values.dir })

const server = createDashboard(billing).listen(Number(values.port), '127.0.0.1', (error?: Error) => {
  if (error !== undefined) {
    console.error(`The dashboard cannot listen: ${error.message}`)
    process.exitCode = 1
    return stop()
  }
  const { port } = server.address() as AddressInfo
  if (process.send === undefined) console.log(`Listening on http://127.0.0.1:${port}, data in ${billing.path}`)
  else process.send({ port })
  // Whoever started this process may end it by ending himself; to be connected to him is no reason to go on.
  process.channel?.unref()
})

/** Requests under way are answered and recorded; new ones find nobody. */
function stop(): void {
  server.close(() => void billing.close())
  server.closeIdleConnections()
}

process.once('SIGINT', stop)
process.once('SIGTERM', stop)
process.once('disconnect', stop)
