import type { Options } from './options.js'
import type { FailedRound, PartResult } from './rounds.js'

/** Says what a part came to. */
export function printPart(result: PartResult, options: Options): void {
  const { part, rounds, seconds, numbers, failed, notTested } = result
  const verdict = failed.length > 0 ? 'FAILED' : rounds === 0 ? 'not tested' : 'passed'
  console.log(`\n${part}: ${verdict}, ${rounds} rounds in ${seconds.toFixed(1)} s`)
  const width = Math.max(0, ...Object.keys(numbers).map((name) => name.length))
  for (const [name, number] of Object.entries(numbers)) {
    console.log(`  ${name.padEnd(width)}  ${number.toLocaleString('en').padStart(12)}`)
  }
  const { 'rounds with leases': leases, 'rounds with journals': journals } = numbers
  if (leases !== undefined) console.log(`  checks of leases ${leases > 0 ? 'ON' : 'OFF: there is no table `leases`'}`)
  if (journals !== undefined) console.log(`  checks of journals ${journals > 0 ? 'ON' : 'OFF: there are no journals'}`)
  if (notTested !== undefined) console.log(`  ***** NOT TESTED: ${notTested} *****`)
  for (const round of failed) printFailed(round, result, options)
}

function printFailed({ number, kept, violations }: FailedRound, { part }: PartResult, options: Options): void {
  console.log(`  round ${number} of seed ${options.seed}, kept in ${kept}`)
  for (const { check, message } of violations) console.log(`    ${check}: ${message}`)
  console.log(`    again: npm run torture -- --only ${part} --seed ${options.seed} --first ${number} --rounds 1`)
}
