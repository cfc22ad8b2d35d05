// The command: installs the peers, runs each part in a process of its own, and prints what they measured.
import { fork } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryDirectory } from './directories.js'
import { describeMachine } from './machine.js'
import { type Options, type PartName, type PartOptions, readOptions, USAGE } from './options.js'
import { installPeers } from './peers.js'
import { printTable, type Table } from './table.js'

function runPart(part: PartName | 'store', options: PartOptions): Promise<Table[]> {
  const child = fork(join(import.meta.dirname, 'part.ts'), [part, JSON.stringify(options)], {
    execArgv: ['--expose-gc', '--import', 'tsx'],
  })
  return new Promise((resolve, reject) => {
    child.once('message', (tables: Table[]) => resolve(tables))
    child.once('exit', (code) => reject(new Error(`the part "${part}" ended with ${code}`)))
  })
}

function options(): Options {
  try {
    return readOptions(process.argv.slice(2))
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`)
    return process.exit(2)
  }
}

const chosen = options()
installPeers()
const machine = describeMachine()
console.log(`# Weighbridge's benchmarks\n\n${machine}${chosen.quick ? '\n\nQuick: small stores, few rounds.' : ''}`)
const partOptions = { quick: chosen.quick, store: chosen.keep ?? temporaryDirectory() }
const withoutLargeStore: PartName[] = ['http', 'shared', 'simulate']
if (chosen.only.some((part) => !withoutLargeStore.includes(part))) await runPart('store', partOptions)
const tables: Table[] = []
for (const part of chosen.only) {
  for (const table of await runPart(part, partOptions)) {
    printTable(table)
    tables.push(table)
  }
}
console.log(`\nAt the end: ${describeMachine()}`)
if (chosen.json !== undefined) {
  writeFileSync(chosen.json, `${JSON.stringify({ machine, quick: chosen.quick, tables }, null, 2)}\n`)
}
