// Waits for the word to go, consumes at once as often as the argument says, and prints how often it was allowed.
const { once } = require('node:events')
const { existsSync, watch } = require('node:fs')
const { Billing } = require('weighbridge')

const { times, starter, ...options } = JSON.parse(process.argv[2])
const billing = new Billing({ storeDeadlineMs: 60_000, ...options })

/** Both processes begin when the file is there, so that they meet. */
async function go() {
  const changes = watch(require('node:path').dirname(starter))
  while (!existsSync(starter)) await once(changes, 'change')
  changes.close()
}

async function main() {
  await billing.ready()
  process.stdout.write('"ready"\n')
  await go()
  const consumption = { customerId: 'customer-1', eventType: 'api_request' }
  const answers = await Promise.all(Array.from({ length: times }, () => billing.usage.consume(consumption)))
  process.stdout.write(`${answers.filter(({ allowed }) => allowed).length}\n`)
  await billing.close()
}

void main()
