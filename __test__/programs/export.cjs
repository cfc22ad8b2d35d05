// Records its share of usage, as often as it is started, and reports it until it is killed. Events carry ids, so that what
// was recorded by a process that was killed counts once.
const { Billing } = require('weighbridge')

const { name, events, customers, units, from, windows, ...options } = JSON.parse(process.argv[2])
const billing = new Billing({ storeDeadlineMs: 60_000, ...options })
const BATCH = 25

function event(number) {
  return {
    customerId: `customer-${number % customers}`,
    eventType: number % 3 === 0 ? 'agent_execution' : 'api_request',
    units,
    cost: 0,
    timestamp: from + (number % windows) * 60_000,
    id: `${name}-${number}`,
  }
}

async function main() {
  await billing.ready()
  process.stdout.write('"ready"\n')
  for (let first = 0; first < events; first += BATCH) {
    const numbers = Array.from({ length: Math.min(BATCH, events - first) }, (_, index) => first + index)
    await Promise.all(numbers.map((number) => billing.usage.recordEvent(event(number))))
  }
  await billing.flush()
  process.stdout.write('"recorded"\n')
  // Reports go on until it is killed.
  setInterval(() => {}, 1_000_000)
}

void main()
