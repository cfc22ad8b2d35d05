import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import * as weighbridge from 'weighbridge'
import { devDependencies } from '../package.json'

const repository = resolve(__dirname, '..')
const programs = join(__dirname, 'programs')
const typescript = require.resolve('typescript/bin/tsc')

/** Where the packed package is installed. */
let project: string

function run(command: string, args: string[], directory = project): string {
  return execFileSync(command, args, { cwd: directory, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), 'weighbridge-project-'))
  // What the tests run on is what is packed: nothing is built anew.
  run('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', project], repository)
  const [tarball = ''] = readdirSync(project).filter((file) => file.endsWith('.tgz'))
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'dashboard', private: true }))
  const others = (['express', '@types/express', '@types/node'] as const).map(
    (name) => `${name}@${devDependencies[name]}`,
  )
  run('npm', ['install', '--ignore-scripts=false', '--no-audit', '--no-fund', `./${tarball}`, ...others])
}, 180_000)

afterAll(() => rmSync(project, { recursive: true, force: true }))

const names = Object.keys(weighbridge).filter((name) => name !== '__esModule')

test('has every export for CommonJS', () => {
  const script = `console.log(JSON.stringify(Object.keys(require('weighbridge'))))`
  expect(JSON.parse(run('node', ['-e', script])).sort()).toEqual([...names].sort())
})

test('has every export by its name for ESM', () => {
  const script = `import * as weighbridge from 'weighbridge'; console.log(JSON.stringify(Object.keys(weighbridge)))`
  expect(JSON.parse(run('node', ['--input-type=module', '-e', script])).sort()).toEqual([...names].sort())
})

test('is the same for CommonJS and ESM', () => {
  const script = `
    import { createRequire } from 'node:module'
    import { Billing, BillingError } from 'weighbridge'
    const required = createRequire(import.meta.url)('weighbridge')
    console.log(required.Billing === Billing && required.BillingError === BillingError)`
  writeFileSync(join(project, 'same.mjs'), script)
  expect(run('node', ['same.mjs'])).toBe('true\n')
})

test('brings the command', () => {
  expect(run('npx', ['--no', '--', 'weighbridge', '--help'])).toContain('migrate-store')
})

test('counts in a project of its own', () => {
  const script = `
    const { Billing } = require('weighbridge')
    const billing = new Billing()
    billing.usage
      .recordEvent({ customerId: 'c', eventType: 'api_request', timestamp: Date.now(), cost: 0.1 })
      .then(() => billing.usage.getCustomerUsage('c'))
      .then(({ usage }) => console.log(usage.apiRequests, billing.path))`
  expect(run('node', ['-e', script])).toBe(`1 ${join(project, 'logs', 'usage', 'weighbridge.db')}\n`)
})

test.each(['dashboard.mts', 'dashboard.cts'])(
  'type-checks and runs a dashboard in strict TypeScript (%s)',
  (dashboard) => {
    cpSync(join(programs, dashboard), join(project, dashboard))
    const strict = ['--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--skipLibCheck', 'false']
    const target = ['--module', 'node16', '--moduleResolution', 'node16', '--target', 'es2022', '--esModuleInterop']
    run('node', [typescript, ...target, ...strict, '--types', 'node', dashboard])
    const answer = run('node', [dashboard.replace('ts', 'js')])
    expect(JSON.parse(answer)).toEqual({
      status: 200,
      body: { customerId: 'customer-1', tier: 'starter', remaining: expect.any(Number) },
      cost: expect.any(Number),
      code: 'unknown_tier',
      tracker: 'function',
    })
  },
  60_000,
)

test('type-checks where Express and its types are not there', () => {
  const bare = mkdtempSync(join(project, 'bare-'))
  const modules = join(bare, 'node_modules')
  for (const name of ['weighbridge', '@types/node', 'undici-types']) {
    cpSync(join(project, 'node_modules', name), join(modules, name), { recursive: true })
  }
  const source = `
    import { Billing, type CustomerUsage } from 'weighbridge'
    export const usage: Promise<CustomerUsage | null> = new Billing().usage.getCustomerUsage('customer-1')\n`
  writeFileSync(join(bare, 'tracker.mts'), source)
  // Outside of the project, whose node_modules would be found.
  const elsewhere = mkdtempSync(join(tmpdir(), 'weighbridge-bare-'))
  try {
    cpSync(bare, elsewhere, { recursive: true })
    const options = ['--module', 'node16', '--target', 'es2022', '--strict', '--skipLibCheck', 'false', '--noEmit']
    run('node', [typescript, ...options, '--types', 'node', 'tracker.mts'], elsewhere)
  } finally {
    rmSync(elsewhere, { recursive: true, force: true })
  }
}, 60_000)

test('an addon that does not load is one error that says where, what was tried and what to do', () => {
  const broken = mkdtempSync(join(tmpdir(), 'weighbridge-broken-'))
  try {
    const copy = join(broken, 'node_modules', 'weighbridge')
    cpSync(join(project, 'node_modules', 'weighbridge'), copy, { recursive: true })
    const dist = join(copy, 'dist')
    const addon = join(dist, readdirSync(dist).find((file) => file.endsWith('.node')) ?? '')
    const script = `
      const { Billing, BillingError } = require('weighbridge')
      try {
        new Billing()
      } catch (error) {
        const { code, message } = error
        console.log(JSON.stringify({ code, message, ours: error instanceof BillingError }))
      }`
    const failure = (): { code: string; message: string; ours: boolean } =>
      JSON.parse(run('node', ['-e', script], broken))

    writeFileSync(addon, 'no shared library')
    const damaged = failure()
    expect(damaged).toMatchObject({ code: 'native_load_failed', ours: true })
    expect(damaged.message).toContain(addon.slice(dist.length + 1))
    expect(damaged.message).toMatch(/Reason: .+/)

    unlinkSync(addon)
    const missing = failure()
    expect(missing).toMatchObject({ code: 'native_load_failed', ours: true })
    for (const { message } of [damaged, missing]) {
      for (const part of [
        process.platform,
        process.arch,
        process.version,
        dist,
        'Tried:',
        'What to do:',
        'npm rebuild',
      ]) {
        expect(message).toContain(part)
      }
      if (process.platform === 'linux') expect(message).toMatch(/glibc [\d.]+|musl/)
    }
    expect(missing.message).toContain('there is none')
    expect(readdirSync(broken)).toEqual(['node_modules'])
  } finally {
    rmSync(broken, { recursive: true, force: true })
  }
})
