/** Breaks what can break around Weighbridge, on purpose, and looks whether its promises hold: see README.md. */
import { type Options, type PartName, readOptions, USAGE } from './options.js'
import { clock, crash } from './parts/crash.js'
import { damage } from './parts/damage.js'
import { disk } from './parts/disk.js'
import { memory } from './parts/memory.js'
import { sabotage } from './parts/sabotage.js'
import { printPart } from './report.js'
import type { PartResult } from './rounds.js'

const PLAYS: Record<PartName, (options: Options) => Promise<PartResult>> = {
  sabotage,
  crash,
  clock,
  disk,
  damage,
  memory,
}

async function main(): Promise<void> {
  const options = optionsOrExit()
  console.log(`seed ${options.seed}`)
  // Until everything has passed: a process that waits for nothing more ends without a word.
  process.exitCode = 1
  let passed = true
  for (const part of options.only) {
    const result = await PLAYS[part](options)
    printPart(result, options)
    const unexpected = options.expectLeases && part === 'damage' && result.notTested !== undefined
    if (result.failed.length > 0 || unexpected) passed = false
  }
  if (passed) process.exitCode = 0
}

function optionsOrExit(): Options {
  try {
    return readOptions(process.argv.slice(2))
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`)
    process.exit(2)
  }
}

void main()
