/** Shows what Weighbridge does, by doing it: `npm run demo -- [--serve | --stripe] [--dir <path>]`. */
import { existsSync, mkdtempSync, readdirSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Billing } from 'weighbridge'
import { type Answer, type Call, Client } from './demo/client.js'
import { createCustomers, type DemoCustomer, showCustomers } from './demo/customers.js'
import { proveKill } from './demo/killProof.js'
import { storeLedger } from './demo/ledger.js'
import { showTakeover, writeLegacyFiles } from './demo/legacy.js'
import { checkTraffic, showRefusals, showStatuses } from './demo/results.js'
import { ServerProcess } from './demo/serverProcess.js'
import { bold, Checks, dim, heading, print, Progress } from './demo/terminal.js'
import { showStripe } from './demo/stripe.js'
import { burst, everydayTraffic } from './demo/traffic.js'
import { showCustomerUsage } from './report.js'

const USAGE = `npm run demo -- [--serve | --stripe] [--dir <path>]

  --serve        leave the server up, and say how to call it
  --stripe       Stripe's part instead, against offline servers
  --dir <path>   where the data are to lie: a new or empty directory; by default one for temporary files`

const BURST = 3000

async function main(): Promise<void> {
  const { serve, stripe, dir } = options()
  const checks = new Checks()
  print(bold("Weighbridge: billing for an API, inside the API's own process"))
  print(dim(`Data in ${dir}`))
  if (stripe) {
    await showStripe(dir, checks)
    return checks.conclude()
  }

  heading('1. Taking over what the old code left in logs/usage')
  await writeLegacyFiles(dir)
  await showTakeover(dir, checks)

  heading('2. Customers and keys')
  const billing = new Billing({ dir })
  const customers = await createCustomers(billing)
  await showCustomers(billing, customers)

  heading('3. Traffic, over HTTP to a server in another process')
  const server = await ServerProcess.start(dir)
  const before = await storeLedger(billing)
  const answers = [
    ...(await send(server, 'everyday traffic', 32, everydayTraffic(customers))),
    ...(await send(server, 'burst of the starter', 128, burst(customers, BURST))),
  ]
  print(dim(`  client, server and store share ${availableParallelism()} processors`))
  print()
  showStatuses(answers)
  print()
  showRefusals(answers)
  print()
  await checkTraffic(billing, before, answers, customers, checks)

  heading('4. kill -9 of a second server on the same data')
  const enterprise = customers.find(({ tier }) => tier === 'enterprise')
  if (enterprise !== undefined) await proveKill(dir, enterprise, server, checks)

  heading('5. Usage and cost this month, in the store')
  await showCustomerUsage(billing)
  await billing.close()

  checks.conclude()
  showWhereToLook(dir, serve)
  if (serve) await serveOn(server, customers)
  else await server.stop()
}

function options(): { serve: boolean; stripe: boolean; dir: string } {
  try {
    const { values } = parseArgs({
      options: {
        serve: { type: 'boolean', default: false },
        stripe: { type: 'boolean', default: false },
        dir: { type: 'string' },
        help: { type: 'boolean' },
      },
    })
    if (values.help === true) {
      print(USAGE)
      process.exit(0)
    }
    return { serve: values.serve === true, stripe: values.stripe === true, dir: freshDirectory(values.dir) }
  } catch (error) {
    const [message] = (error as Error).message.split(/\. /)
    console.error(`${message}\n\n${USAGE}`)
    process.exit(2)
  }
}

/** The demo writes into it, so it must hold nothing that is anybody's. */
function freshDirectory(path: string | undefined): string {
  if (path === undefined) return join(mkdtempSync(join(tmpdir(), 'weighbridge-demo-')), 'logs', 'usage')
  const dir = resolve(path)
  if (existsSync(dir) && readdirSync(dir).length > 0) throw new Error(`${dir} is not empty: choose a new directory`)
  return dir
}

async function send(server: ServerProcess, label: string, concurrency: number, calls: Call[]): Promise<Answer[]> {
  const client = new Client(server.port, concurrency)
  const progress = new Progress(label, calls.length)
  const answers = await client.sendAll(calls, progress.advance)
  progress.finish()
  client.close()
  return answers
}

function showWhereToLook(dir: string, serve: boolean): void {
  heading('Look further')
  print(`  npm run report -- ${dir}`)
  if (!serve) print('  npm run demo -- --serve   leaves the server up, for requests of your own')
}

/** Until Ctrl-C or SIGTERM. */
async function serveOn(server: ServerProcess, customers: DemoCustomer[]): Promise<void> {
  const origin = `http://127.0.0.1:${server.port}`
  const professional = customers.find(({ tier }) => tier === 'professional')
  heading(`The server is up at ${origin}; Ctrl-C ends it`)
  print(`  KEY='Authorization: Bearer ${professional?.key}'`)
  print(`  curl -H "$KEY" ${origin}/usage`)
  print(`  curl -H "$KEY" '${origin}/api/funding-data?field=energy'`)
  print(`  curl -i -H "$KEY" --json '{"expression": "2 * (3 + 4)"}' ${origin}/api/execute`)
  await new Promise<void>((resolve) => {
    process.once('SIGINT', resolve)
    process.once('SIGTERM', resolve)
  })
  await server.stop()
  print('\nThe server has closed its billing and ended.')
}

main().catch((error: unknown) => {
  console.error(error)
  process.exit(1)
})
