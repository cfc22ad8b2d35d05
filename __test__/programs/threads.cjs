// Prints which threads of Weighbridge's there are while a Billing is open, and then, that being closed and still at hand,
// when there are none.
const { readdirSync, readFileSync } = require('node:fs')
const { Billing } = require('weighbridge')

const { dir } = JSON.parse(process.argv[2])

/** The system cuts their names off. */
function threads() {
  const names = readdirSync('/proc/self/task').map((thread) => {
    try {
      return readFileSync(`/proc/self/task/${thread}/comm`, 'utf8').trim()
    } catch {
      return ''
    }
  })
  return [...new Set(names.filter((name) => name.startsWith('weighbridge')))].sort()
}

async function main() {
  const billing = new Billing({ dir })
  await billing.usage.recordEvent({
    customerId: 'customer-1',
    eventType: 'api_request',
    timestamp: Date.now(),
    cost: 0,
  })
  console.log(JSON.stringify(threads()))
  await billing.close()
  while (threads().length > 0) await new Promise((resolve) => setImmediate(resolve))
  await billing.close()
  console.log(JSON.stringify(await billing.flush().catch(({ code }) => code)))
}

void main()
