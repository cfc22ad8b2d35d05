// Consumes from a worker thread, ends that without closing its Billing, and prints what is left for the main thread.
const { isMainThread, parentPort, Worker, workerData } = require('node:worker_threads')
const { Billing } = require('weighbridge')

const { dir, times } = workerData ?? JSON.parse(process.argv[2])
const billing = new Billing({ dir, storeDeadlineMs: 60_000 })

async function consume(times) {
  const consumption = { customerId: 'customer-1', eventType: 'api_request' }
  const answers = await Promise.all(Array.from({ length: times }, () => billing.usage.consume(consumption)))
  return answers.filter(({ allowed }) => allowed).length
}

async function main() {
  const worker = new Worker(__filename, { workerData: { dir, times } })
  const consumed = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  await worker.terminate()
  let left = 0
  while ((await consume(1)) === 1) left += 1
  await billing.close()
  process.stdout.write(`${JSON.stringify({ consumed, left })}\n`)
}

if (isMainThread) void main()
else void consume(times).then((consumed) => parentPort.postMessage(consumed))
