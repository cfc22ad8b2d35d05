import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import {
  type AccessLogPlan,
  type AccessLogQuestion,
  type AccessLogSimulation,
  simulateAccessLog,
} from '../accessLog.js'
import type { Catalog } from '../checkedCatalog.js'
import { invalidArgument } from '../errors.js'
import type { Command } from './command.js'
import { count, table } from './output.js'

const HELP = `Usage: weighbridge simulate <access log> --catalog <file> --tier <id> [options]

Tells what the requests of an access log would cost by a catalog: in all, and by customer. The log may be compressed by gzip.
Each request is one unit of the meter api_request. A customer is the user that the server has authenticated, or without one
the address. Requests that were answered 401, 402, 403 or 429 are not billed. Lines that tell of no request are counted, the
first few are shown, and all are passed over.

  --catalog <file>          the catalog, as JSON
  --tier <id>               the tier of all customers whom --assign does not name; without it they are in no sum
  --assign <file>           tiers by customer, as JSON: { "customer-1": "pro" }
  --baseline <file>         another catalog to compare with, as JSON; --baseline-tier is its tier, by default the same
  --baseline-tier <id>
  --format <format>         common, combined or json; by default each line by its looks
  --customer <by>           user (the default), address, or the name of a field of JSON lines
  --bill-on <requests>      request (the default) or success: only requests that were answered with a status below 400
  --time-zone <name>        of the months that are billed: UTC by default
  --from <instant>          the first instant that counts, and
  --to <instant>            the first after it: such as 2026-01-31T00:00:00Z
  --limit <number>          how many customers are listed: 20 by default
  --json                    the answer as JSON

Exit code: 0 where the log was read to its end, 2 for a wrong call, 1 for all else: also where a catalog has mistakes, and where
no line of the log tells of a request.
`

/** `weighbridge simulate` */
export const simulate: Command = {
  summary: 'tells what an access log would cost by a catalog',
  help: HELP,
  async run(args) {
    const { question, asJson } = read(args)
    const answer = await simulateAccessLog(question)
    process.stdout.write(asJson ? `${JSON.stringify(answer, null, 2)}\n` : text(answer))
    return answer.lines === 0 || answer.badLines === answer.lines ? 1 : 0
  },
}

function read(args: string[]): { question: AccessLogQuestion; asJson: boolean } {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      catalog: { type: 'string' },
      tier: { type: 'string' },
      assign: { type: 'string' },
      baseline: { type: 'string' },
      'baseline-tier': { type: 'string' },
      format: { type: 'string' },
      customer: { type: 'string' },
      'bill-on': { type: 'string' },
      'time-zone': { type: 'string' },
      from: { type: 'string' },
      to: { type: 'string' },
      limit: { type: 'string', default: '20' },
      json: { type: 'boolean', default: false },
    },
  })
  const [file, ...others] = positionals
  if (file === undefined || others.length > 0) throw invalidArgument('name one access log')
  if (values.catalog === undefined) throw invalidArgument('--catalog is missing: the file of a catalog, as JSON')
  const plan = (catalog: string, tier: string | undefined): AccessLogPlan => ({
    catalog: jsonOf('--catalog', catalog) as Catalog,
    ...(tier !== undefined && { tierId: tier }),
    ...(values.assign !== undefined && { customers: jsonOf('--assign', values.assign) as Record<string, string> }),
  })
  const baseline = values.baseline && {
    catalog: jsonOf('--baseline', values.baseline) as Catalog,
    ...((values['baseline-tier'] ?? values.tier) !== undefined && { tierId: values['baseline-tier'] ?? values.tier }),
  }
  const question = {
    file,
    ...plan(values.catalog, values.tier),
    ...(baseline && { baseline }),
    format: values.format,
    customer: values.customer,
    billOn: values['bill-on'],
    timeZone: values['time-zone'],
    from: values.from,
    to: values.to,
    limit: Number(values.limit),
  }
  return { question: question as AccessLogQuestion, asJson: values.json }
}

function jsonOf(option: string, file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as unknown
  } catch (error) {
    throw invalidArgument(`${option}: ${file} cannot be read: ${(error as Error).message}`)
  }
}

function text(answer: AccessLogSimulation): string {
  const { lines, unbilledLines, badLines, firstBadLines, customers, customerCount, currency } = answer
  const known = answer.oldTotal !== null
  const sums = [
    ['lines', count(lines)],
    ['  that tell of no request', count(badLines)],
    ['  that are not billed', count(unbilledLines)],
    ['requests', count(answer.events)],
    ['  without a price', count(answer.unpricedEvents)],
    ['customers', count(customerCount)],
    ...(known ? [[`by the baseline, ${currency}`, answer.oldTotal ?? '']] : []),
    [`by the catalog, ${currency}`, answer.newTotal],
    ...(known ? [['difference', answer.difference ?? '']] : []),
    ...(known ? [[`  ${count(answer.winners.customers)} would pay less`, answer.winners.amount]] : []),
    ...(known ? [[`  ${count(answer.losers.customers)} would pay more`, answer.losers.amount]] : []),
  ]
  const rows = customers.map(({ customerId, tierId, events, oldTotal, newTotal, difference }) => [
    customerId,
    tierId,
    count(events),
    ...(known ? [oldTotal ?? ''] : []),
    newTotal,
    ...(known ? [difference ?? ''] : []),
  ])
  const head = [
    'customer',
    'tier',
    'requests',
    ...(known ? ['baseline'] : []),
    'catalog',
    ...(known ? ['difference'] : []),
  ]
  return [
    table(sums),
    ...(rows.length === 0 ? [] : [`\n${table([head, ...rows])}`]),
    ...(customerCount > rows.length ? [`and ${count(customerCount - rows.length)} more\n`] : []),
    ...(answer.unassignedCount === 0
      ? []
      : [
          `\n${count(answer.unassignedCount)} customers have no tier, and are in no sum: name one with --tier or --assign\n`,
        ]),
    ...(firstBadLines.length === 0
      ? []
      : [`\n${firstBadLines.map(({ line, reason, text }) => `line ${line} ${reason}: ${text}\n`).join('')}`]),
  ].join('')
}
