import { Billing } from 'weighbridge'
import { type Answer, type Call, Client } from './client.js'
import type { DemoCustomer } from './customers.js'
import { ServerProcess } from './serverProcess.js'
import { type Checks, count, print, Progress, table } from './terminal.js'
import { retryableCalls } from './traffic.js'

const CONCURRENCY = 32

/**
 * Starts a second server on the same directory, kills it while it answers, and asks the store. That the store has at
 * least as many requests as were answered is not enough: each answered one is sent again with its Idempotency-Key, and
 * would be counted now, had it not been before.
 */
export async function proveKill(
  dir: string,
  customer: DemoCustomer,
  survivor: ServerProcess,
  checks: Checks,
): Promise<void> {
  const before = await recorded(dir, customer)
  const answers = await sendUntilKilled(dir, customer)
  const answered = answers.filter(({ status }) => status === 200).map(({ call }) => call)
  const unanswered = answers.filter(({ status }) => status === undefined).map(({ call }) => call)
  const otherwise = answers.length - answered.length - unanswered.length

  const atReopening = (await recorded(dir, customer)) - before
  await sendAgain(survivor, answered)
  const afterAnswered = (await recorded(dir, customer)) - before
  await sendAgain(survivor, unanswered)
  const afterAll = (await recorded(dir, customer)) - before

  print()
  table(
    [{ title: 'after' }, { title: 'recorded', align: 'right' }, { title: '' }],
    [
      ['SIGKILL', count(atReopening), `${count(answered.length)} answered, ${count(unanswered.length)} under way`],
      ['sending the answered again', count(afterAnswered), 'each would count now, had it not been recorded'],
      ['sending the others again', count(afterAll), 'those under way that had not been recorded'],
    ],
  )
  checks.claim(
    atReopening >= answered.length && afterAnswered === atReopening && otherwise === 0,
    `kill -9: all ${count(answered.length)} answered requests were recorded`,
    `${count(afterAnswered - atReopening)} were not; ${otherwise} had another answer than 200`,
  )
  checks.claim(
    afterAll === answered.length + unanswered.length,
    `sent again with the same Idempotency-Key, each of the ${count(answered.length + unanswered.length)} counts once`,
    `${count(afterAll)} were counted`,
  )
}

/** How many requests the store has of the customer, seen by somebody who has just opened it. */
async function recorded(dir: string, { id }: DemoCustomer): Promise<number> {
  const billing = new Billing({ dir })
  const usage = await billing.usage.getCustomerUsage(id)
  await billing.close()
  return usage?.usage.apiRequests ?? 0
}

async function sendUntilKilled(dir: string, customer: DemoCustomer): Promise<Answer[]> {
  const killAfter = 500 + Math.floor(Math.random() * 500)
  const server = await ServerProcess.start(dir)
  const client = new Client(server.port, CONCURRENCY)
  const progress = new Progress('until kill -9', killAfter)
  let killed: Promise<void> | undefined
  let answered = 0
  const answers = await client.sendAll(retryableCalls(customer), () => {
    answered += 1
    if (answered <= killAfter) progress.advance()
    if (answered === killAfter) killed = server.kill()
    return killed === undefined
  })
  await killed
  client.close()
  progress.finish()
  return answers
}

async function sendAgain(server: ServerProcess, calls: Call[]): Promise<void> {
  const client = new Client(server.port, CONCURRENCY)
  await client.sendAll(calls, () => {})
  client.close()
}
