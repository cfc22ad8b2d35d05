import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { freshDirectory } from './support/directory'
import { runNode } from './support/programs'

const root = join(__dirname, '..')

/** Packs the package as it is built and installs it into an empty project. */
function installPacked(): string {
  const project = freshDirectory()
  const npm = (cwd: string, ...command: string[]) =>
    execFileSync('npm', command, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  const [{ filename }] = JSON.parse(npm(root, 'pack', '--ignore-scripts', '--json', '--pack-destination', project))
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'dashboard', private: true }))
  npm(project, 'install', '--no-audit', '--no-fund', join(project, filename))
  return project
}

test('the packed package installs, loads from CommonJS and ESM, bills, and type-checks', () => {
  const project = installPacked()
  const exported = `Object.keys(loaded).filter((name) => name !== 'default' && name !== 'module.exports').sort().join()`
  const commonjs = runNode(project, '-e', `const loaded = require('weighbridge'); console.log(${exported})`)
  const esm = runNode(
    project,
    '--input-type=module',
    '-e',
    `import * as loaded from 'weighbridge'; console.log(${exported})`,
  )
  expect(esm).toBe(commonjs)
  for (const name of ['Billing', 'billingMiddleware', 'createBillingMiddleware', 'usageTracker', 'stripeService']) {
    expect(commonjs).toContain(name)
  }

  const program = `
    import { Billing, BillingError } from 'weighbridge'
    import { createRequire } from 'node:module'
    const billing = new Billing()
    await billing.usage.recordEvent({ customerId: 'acme', eventType: 'api_request', timestamp: Date.now(), cost: 0.1 })
    const same = createRequire(import.meta.url)('weighbridge').BillingError === BillingError
    console.log(same, (await billing.usage.getCustomerUsage('acme')).usage.totalCost)
    await billing.close()`
  expect(runNode(project, '--input-type=module', '-e', program)).toBe('true 0.1\n')

  typeCheck(project)
}, 300_000)

/** The dashboard's own code, with its import lines changed, and the new API, under strict settings. */
const dashboard = `
import express, { type NextFunction, type Request, type Response } from 'express'
import {
  Billing, BillingError, ManualClock, StripeError, billingMiddleware, createBillingMiddleware, endpointPricing,
  stripeService, subscriptionTiers, usageTracker, UsageTracker, StripeService,
  type BillingRequest, type CustomerUsage, type EndpointPricing, type SubscriptionTier, type UsageEvent,
} from 'weighbridge'

const app = express()
const billing = new Billing({ clock: new ManualClock(), timeZone: 'Europe/Berlin' })
app.use(billingMiddleware)
app.use('/api', billing.middleware({ skip: (req) => req.method === 'OPTIONS' }), createBillingMiddleware())
app.get('/usage', billing.usageHandler())
app.post('/api/execute', async (req: Request, res: Response, _next: NextFunction) => {
  const customer: string | undefined = req.customerId
  const tier: string | undefined = req.billingTier
  const remaining: number | null | undefined = req.billing?.remaining
  const usage: CustomerUsage | null = customer === undefined ? null : await usageTracker.getCustomerUsage(customer)
  res.json({ customer, tier, remaining, subscription: req.subscriptionId, used: usage?.usage.apiRequests })
})
app.get('/typed', (req: BillingRequest, res) => { res.json({ body: req.body, customer: req.customerId }) })

const event: UsageEvent = { customerId: 'a', eventType: 'api_request', timestamp: 0, cost: 0.1, metadata: { a: 1 } }
const tiers: SubscriptionTier[] = subscriptionTiers
const prices: EndpointPricing = endpointPricing
const first: number | undefined = prices['/api/execute']?.pricePerRequest
export const code = (error: unknown) => error instanceof BillingError ? error.code : error instanceof StripeError ? error.type : first
export const trackers: [UsageTracker, StripeService] = [new UsageTracker(), stripeService]
export { event, tiers }
// @ts-expect-error: an event needs a customer.
export const wrong: UsageEvent = { eventType: 'api_request', timestamp: 0, cost: 0 }
`

function typeCheck(project: string): void {
  for (const name of ['@types', 'express', 'undici-types', 'csstype']) {
    const source = join(root, 'node_modules', name)
    try {
      cpSync(source, join(project, 'node_modules', name), { recursive: true })
    } catch {
      // Not every one of them is there: they are what the types of Express and Node may want.
    }
  }
  writeFileSync(join(project, 'dashboard.ts'), dashboard)
  writeFileSync(join(project, 'dashboard.mts'), dashboard)
  writeFileSync(join(project, 'dashboard.cts'), dashboard)
  const compilerOptions = {
    strict: true,
    noEmit: true,
    module: 'node16',
    target: 'es2022',
    esModuleInterop: true,
    skipLibCheck: false,
    types: ['node', 'express'],
  }
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['dashboard.*'] }))
  const compiler = join(dirname(require.resolve('typescript/package.json')), 'bin', 'tsc')
  let errors = ''
  try {
    runNode(project, compiler, '-p', project)
  } catch (error) {
    errors = String((error as { stdout: unknown }).stdout)
  }
  expect(errors).toBe('')
}

test('an addon that cannot be loaded is one message that says what was tried and what to do', () => {
  const directory = freshDirectory()
  const copy = join(directory, 'node_modules', 'weighbridge')
  mkdirSync(copy, { recursive: true })
  for (const part of ['package.json', 'dist']) cpSync(join(root, part), join(copy, part), { recursive: true })
  const addons = readdirSync(join(copy, 'dist')).filter((file) => file.endsWith('.node'))
  expect(addons).not.toEqual([])
  const program = `
    const { Billing } = require('weighbridge')
    try { new Billing() } catch ({ code, message }) { console.log(JSON.stringify({ code, message })) }`
  const failure = () => JSON.parse(runNode(directory, '-e', program)) as { code: string; message: string }

  for (const addon of addons) writeFileSync(join(copy, 'dist', addon), 'no addon')
  const damaged = failure()
  expect(damaged.code).toBe('native_load_failed')
  for (const part of [process.platform, process.arch, 'libc', addons[0] ?? '', 'Reason:', 'npm rebuild weighbridge']) {
    expect(damaged.message).toContain(part)
  }
  for (const addon of addons) rmSync(join(copy, 'dist', addon))
  expect(failure().message).toContain('there is none')
})
