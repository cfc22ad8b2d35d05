import { existsSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type {
  MigrationInput,
  MigrationProgress,
  MigrationReport,
  MigrationTotals,
  NativeMigration,
} from '../binding.js'
import { BillingError, fromNative, invalidArgument } from '../errors.js'
import { native } from '../native.js'
import { Tickets } from '../tickets.js'
import type { Command } from './command.js'
import { count, table } from './output.js'

const VARIABLE = 'WEIGHBRIDGE_STORE'
const INTERVAL_MS = 1_000

const HELP = `Usage: weighbridge migrate-store --from <directory or file> --to <url> [options]

Moves a SQLite store into PostgreSQL: keys, customers, tiers, events, counters, and the event ids that are remembered.
Close all processes that use the store first. Where the command is interrupted, call it again: it goes on where it ended,
and nothing is counted twice. At the end both stores are compared; then the SQLite store opens no more.

  --from <directory or file>  the SQLite store: its directory (such as logs/usage), or the database file itself
  --to <url>                  postgres://user:password@host:5432/database; by default what ${VARIABLE} says, which other
                              users of this machine cannot see
  --schema <name>             the schema in that database: weighbridge by default
  --dir <directory>           the \`dir\` of the new store's processes, for their journals and for files of the seed's code:
                              by default the directory of the SQLite store
  --dry-run                   find out what would be moved, and whether anything stands in the way; change nothing

Exit code: 0 where all is moved and compared (with --dry-run: where it can be), 2 for a wrong call, 1 for all else.
`

/** \`weighbridge migrate-store\` */
export const migrateStore: Command = {
  summary: 'moves a SQLite store into PostgreSQL',
  help: HELP,
  async run(args) {
    const input = read(args)
    process.stdout.write(`From ${input.path}\n`)
    const report = await migrate(input)
    process.stdout.write(text(report))
    return 0
  },
}

function read(args: string[]): MigrationInput {
  const { values, positionals } = parseArgs({
    args,
    // A stray argument may be a URL with a password, so it is not parseArgs that names it.
    allowPositionals: true,
    options: {
      from: { type: 'string' },
      to: { type: 'string', default: process.env[VARIABLE] },
      schema: { type: 'string' },
      dir: { type: 'string' },
      'dry-run': { type: 'boolean', default: false },
    },
  })
  if (positionals.length > 0) throw invalidArgument('there is an argument without an option, such as --from or --to')
  const { from, to, schema, dir } = values
  if (!from) throw invalidArgument('--from is missing: the directory or the file of the SQLite store')
  if (!to) throw invalidArgument(`--to is missing: the URL of the PostgreSQL database (or set ${VARIABLE})`)
  if (!/^postgres(ql)?:\/\//.test(to)) throw invalidArgument('--to must be a URL that begins with postgres://')
  const path = isDirectory(from) ? join(resolve(from), 'weighbridge.db') : resolve(from)
  const directory = dir === undefined ? dirname(path) : resolve(dir)
  return { path, dir: directory, url: to, ...(schema !== undefined && { schema }), dryRun: values['dry-run'] }
}

function isDirectory(path: string): boolean {
  return existsSync(path) && statSync(path).isDirectory()
}

async function migrate(input: MigrationInput): Promise<MigrationReport> {
  const tickets = new Tickets(reporter())
  try {
    const migration = nativeMigration(input, tickets)
    return await tickets.promise<MigrationReport>((ticket) => migration.run(ticket))
  } finally {
    tickets.dispose()
  }
}

function nativeMigration(input: MigrationInput, tickets: Tickets): NativeMigration {
  try {
    return new (native().NativeMigration)(input, tickets.deliver)
  } catch (error) {
    throw error instanceof BillingError ? error : fromNative(error)
  }
}

/** Prints how far it has come: each stage when it begins, and then about once a second. */
function reporter(): (notice: unknown) => void {
  let last: { stage: string; at: number; done: number } | undefined
  return (notice) => {
    const { stage, done, of } = notice as MigrationProgress
    const now = performance.now()
    if (last?.stage === stage && now - last.at < INTERVAL_MS) return
    const speed =
      last?.stage === stage ? `, ${count(Math.round(((done - last.done) / (now - last.at)) * 1000))} a second` : ''
    process.stdout.write(`${stage}: ${count(done)} of ${count(of)}${speed}\n`)
    last = { stage, at: now, done }
  }
}

function text({ outcome, source, target, journals = 0, copied = 0 }: MigrationReport): string {
  switch (outcome) {
    case 'was_moved':
      return 'There is nothing to do: the store was moved before.\n'
    case 'can_be_moved':
      return (
        `\n${source === undefined ? '' : table(sizes(source).map(([name, size]) => [name, count(size)]))}\n` +
        (journals === 0 ? '' : `Journals of ${count(journals)} processes that died would be recorded first.\n`) +
        (copied === 0 ? '' : `${count(copied)} events are copied already.\n`) +
        'Nothing stands in the way. Nothing was changed.\n'
      )
    case 'moved':
      return (
        `\n${source === undefined || target === undefined ? '' : table(comparison(source, target))}\n` +
        'All is moved. Both stores are equal: customers, keys, event ids, and events, units and cost of each customer,\n' +
        "period and meter. Open the new one with `new Billing({ store: 'postgres://…' })`; the SQLite store opens no more.\n"
      )
  }
}

function sizes(totals: MigrationTotals): [string, number][] {
  return [
    ['customers', totals.customers],
    ['API keys', totals.keys],
    ['events', totals.events],
    ['event ids', totals.eventIds],
    ['period counters', totals.counters],
    ['quantities under prices', totals.quantities],
    ['hourly rollups', totals.rollups],
    ['subscriptions', totals.subscriptions],
    ['Stripe events', totals.stripeEvents],
    ['usage reports', totals.reports],
    ['credits', totals.credits],
    ['alerts', totals.alerts],
  ]
}

function comparison(source: MigrationTotals, target: MigrationTotals): string[][] {
  const there = sizes(target)
  return [
    ['', 'SQLite', 'PostgreSQL'],
    ...sizes(source).map(([name, size], index) => [name, count(size), count(there[index]?.[1] ?? 0)]),
    ['units', count(source.units), count(target.units)],
    ['cost', source.cost, target.cost],
  ]
}
