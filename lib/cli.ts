#!/usr/bin/env node
import { migrateStore } from './commands/migrateStore.js'
import type { Command } from './commands/command.js'
import { withoutPasswords } from './commands/output.js'
import { reconcile } from './commands/reconcile.js'
import { simulate } from './commands/simulate.js'

const COMMANDS: Record<string, Command> = { 'migrate-store': migrateStore, reconcile, simulate }

const HELP = `Usage: weighbridge <command> [options]

Commands:
${Object.entries(COMMANDS)
  .map(([name, { summary }]) => `  ${name.padEnd(16)}${summary}`)
  .join('\n')}

weighbridge <command> --help tells about a command.
`

/** Answers with the exit code. */
async function main([name, ...args]: string[]): Promise<number> {
  if (name === undefined || name === '--help' || name === '-h') {
    process.stdout.write(HELP)
    return name === undefined ? 2 : 0
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (command === undefined) {
    process.stderr.write(`weighbridge: there is no command ${JSON.stringify(withoutPasswords(name))}\n\n${HELP}`)
    return 2
  }
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(command.help)
    return 0
  }
  try {
    return await command.run(args)
  } catch (error) {
    const { code, message } = error as { code?: unknown; message?: unknown }
    const reason = typeof code === 'string' ? `${code}: ${String(message)}` : String(message ?? error)
    process.stderr.write(`weighbridge ${name}: ${withoutPasswords(reason)}\n`)
    // What was asked for wrongly is told apart from what has failed.
    return code === 'invalid_argument' || String(code).startsWith('ERR_PARSE_ARGS') ? 2 : 1
  }
}

void main(process.argv.slice(2)).then((code) => (process.exitCode = code))
