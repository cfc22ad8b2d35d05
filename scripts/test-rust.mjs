// Runs the Rust tests, with cargo-nextest where it is installed. They build without the Node binding.
import { spawnSync } from 'node:child_process'

const run = (args) => spawnSync('cargo', args, { stdio: 'inherit' }).status ?? 1
const hasNextest = spawnSync('cargo', ['nextest', '--version'], { stdio: 'ignore' }).status === 0
process.exit(run([...(hasNextest ? ['nextest', 'run'] : ['test']), '--no-default-features']))
