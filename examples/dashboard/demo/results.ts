import { STATUS_CODES } from 'node:http'
import { setTimeout } from 'node:timers/promises'
import { type Billing, subscriptionTiers } from 'weighbridge'
import type { Answer } from './client.js'
import type { DemoCustomer } from './customers.js'
import { clientLedger, decimal, difference, disagreements, type Ledger, storeLedger, total } from './ledger.js'
import { type Checks, count, money, table } from './terminal.js'
import { RETRIED, SPELT_OTHERWISE } from './traffic.js'

/** Milliseconds. */
const PATIENCE = 10_000

export function showStatuses(answers: Answer[]): void {
  const rows = tally(answers, ({ status }) => [String(status ?? '-'), STATUS_CODES[status ?? 0] ?? 'no answer'])
  table([{ title: 'requests', align: 'right' }, { title: 'status' }, { title: '' }], rows)
}

export function showRefusals(answers: Answer[]): void {
  const refused = answers.filter(({ status }) => status !== 200)
  const rows = tally(refused, ({ call, status, body }) => {
    const answer = body.requiredTier === undefined ? body.error : `${body.error}, ${body.requiredTier} needed`
    return [String(status ?? '-'), answer ?? '', call.purpose]
  })
  table([{ title: 'refused', align: 'right' }, { title: 'status' }, { title: 'answer' }, { title: 'request' }], rows)
}

/** Compares what the client was answered with what the store holds. */
export async function checkTraffic(
  billing: Billing,
  before: Ledger,
  answers: Answer[],
  customers: DemoCustomer[],
  checks: Checks,
): Promise<void> {
  const fromClient = clientLedger(answers)
  const fromStore = await recorded(billing, before, fromClient)
  await checkStarter(billing, answers, customers, checks)

  const { requests, cost } = total(fromClient)
  const differences = disagreements(fromClient, fromStore)
  checks.claim(
    differences.length === 0,
    'client and store agree on every customer and endpoint: ' +
      `${count(requests)} requests, cost ${money(decimal(cost))}`,
    differences.join('; '),
  )

  const spelt = answers.filter(({ call }) => call.purpose === SPELT_OTHERWISE)
  const retried = answers.filter(({ call }) => call.purpose === RETRIED)
  checks.claim(
    differences.length === 0 && allLetThrough(spelt),
    `${count(spelt.length)} of them had an upper-case path or a slash at its end, and cost the same`,
  )
  checks.claim(
    differences.length === 0 && allLetThrough(retried),
    `${count(retried.length)} more were retries with an Idempotency-Key: answered, not charged again`,
  )
}

/** What came into the store: another process's requests are safe in its journal first, and there within about a second. */
async function recorded(billing: Billing, before: Ledger, expected: Ledger): Promise<Ledger> {
  const deadline = Date.now() + PATIENCE
  for (;;) {
    const ledger = difference(await storeLedger(billing), before)
    if (disagreements(expected, ledger).length === 0 || Date.now() > deadline) return ledger
    await setTimeout(100)
  }
}

function allLetThrough(answers: Answer[]): boolean {
  return answers.length > 0 && answers.every(({ status }) => status === 200)
}

/** To the last request: as many as the tier has are let through, and not one more. */
async function checkStarter(
  billing: Billing,
  answers: Answer[],
  customers: DemoCustomer[],
  checks: Checks,
): Promise<void> {
  const starter = customers.find(({ tier }) => tier === 'starter')
  const limit = subscriptionTiers.find(({ id }) => id === 'starter')?.features.apiRequestsPerMonth
  if (starter === undefined || limit === undefined) return
  const own = answers.filter(({ call }) => call.customerId === starter.id)
  const admitted = total(clientLedger(own)).requests
  const refused = own.filter(({ status }) => status === 429).length
  const stored = (await billing.usage.getCustomerUsage(starter.id))?.usage.apiRequests
  checks.claim(
    admitted === limit && stored === limit && refused > 0,
    `starter: ${count(admitted)} of ${count(limit)} admitted, ${count(refused)} refused with 429`,
    `the store holds ${stored}`,
  )
}

/** How many there are of each kind, the most frequent first within a status. */
function tally(answers: Answer[], kindOf: (answer: Answer) => string[]): string[][] {
  const kinds = new Map<string, { kind: string[]; number: number }>()
  for (const answer of answers) {
    const kind = kindOf(answer)
    const entry = kinds.get(kind.join('\n')) ?? { kind, number: 0 }
    entry.number += 1
    kinds.set(kind.join('\n'), entry)
  }
  return [...kinds.values()]
    .sort((left, right) => (left.kind[0] ?? '').localeCompare(right.kind[0] ?? '') || right.number - left.number)
    .map(({ kind, number }) => [count(number), ...kind])
}
