import { execFile } from 'node:child_process'
import { join } from 'node:path'

/** Plays some rounds of `npm run torture` and gives back its report; `torture/README.md` says what is in it. */
async function torture(...options: string[]): Promise<string> {
  const program = join(__dirname, '../torture/torture.ts')
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      ['--import', 'tsx', program, ...options],
      { timeout: 55_000 },
      (error, report, errors) => {
        if (error === null) resolve(report)
        else reject(new Error(`${report}\n${errors}`))
      },
    )
  })
}

test('a store that was tampered with is noticed', async () => {
  expect(await torture('--only', 'sabotage')).toContain('sabotage: passed, 1 rounds')
})

test('servers that are killed under load lose nothing, count nothing twice and strand nothing', async () => {
  expect(await torture('--only', 'crash', '--rounds', '3')).toContain('crash: passed, 3 rounds')
})

test('clocks that jump over the ends of months mix up no periods', async () => {
  expect(await torture('--only', 'clock', '--rounds', '1')).toContain('clock: passed, 1 rounds')
})

test('a full disk refuses, records nothing by halves, and is forgotten once there is room', async () => {
  expect(told(await torture('--only', 'disk', '--rounds', '1'))).toMatch(/disk: passed, 1 rounds|NOT TESTED/)
})

test('damaged journals are taken over as far as they can be read', async () => {
  expect(told(await torture('--only', 'damage', '--rounds', '1'))).toContain('damage: passed, 1 rounds')
})

/** What could not be tested here is not passed over in silence. */
function told(report: string): string {
  const [notTested] = /NOT TESTED: .*/.exec(report) ?? []
  if (notTested !== undefined) console.warn(notTested)
  return report
}
