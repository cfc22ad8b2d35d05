// Runs the Rust tests, with cargo-nextest where it is installed. They build without the Node binding, and need a
// PostgreSQL server. Arguments go to the test runner.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { startPostgres, VARIABLE } from './postgres.mjs'

const hasNextest = spawnSync('cargo', ['nextest', '--version'], { stdio: 'ignore' }).status === 0
const runner = [...(hasNextest ? ['nextest', 'run'] : ['test']), '--no-default-features', ...process.argv.slice(2)]
const postgres = await startPostgres()
try {
  const environment = { ...process.env, [VARIABLE]: postgres.url }
  const [status] = await once(spawn('cargo', runner, { stdio: 'inherit', env: environment }), 'exit')
  process.exitCode = status ?? 1
} finally {
  await postgres.stop()
}
