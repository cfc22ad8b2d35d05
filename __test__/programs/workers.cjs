// Consumes from worker threads, each with a Billing of its own, and prints how often they were allowed.
const { isMainThread, parentPort, Worker, workerData } = require('node:worker_threads')
const { Billing } = require('weighbridge')

async function work({ times, workers: _, ...options }) {
  const billing = new Billing({ storeDeadlineMs: 60_000, ...options })
  const consumption = { customerId: 'customer-1', eventType: 'api_request' }
  const answers = await Promise.all(Array.from({ length: times }, () => billing.usage.consume(consumption)))
  await billing.close()
  return answers.filter(({ allowed }) => allowed).length
}

async function main() {
  const argument = JSON.parse(process.argv[2])
  const workers = Array.from({ length: argument.workers }, () => new Worker(__filename, { workerData: argument }))
  const allowed = await Promise.all(
    workers.map(
      (worker) =>
        new Promise((resolve, reject) => {
          worker.once('message', resolve)
          worker.once('error', reject)
        }),
    ),
  )
  const here = await work(argument)
  process.stdout.write(`${allowed.reduce((sum, count) => sum + count, here)}\n`)
}

if (isMainThread) void main()
else work(workerData).then((allowed) => parentPort.postMessage(allowed))
