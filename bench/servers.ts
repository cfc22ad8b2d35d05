// The servers that are compared: one Express 5 app with one route, behind one middleware each. Started as a process of its
// own by `http.ts`: prints its port when it listens.
import express, { type RequestHandler } from 'express'
import { rateLimit } from 'express-rate-limit'
import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Billing, subscriptionTiers } from 'weighbridge'

const CUSTOMERS = 1_000
const LIMIT = 1_000_000_000

const variants: Record<string, () => Promise<{ middleware: RequestHandler; keys: string[] }>> = {
  bare: async () => ({ middleware: (_req, _res, next) => next(), keys: ['unused'] }),
  'bare again': async () => ({ middleware: (_req, _res, next) => next(), keys: ['unused'] }),
  weighbridge: async () => {
    const dir = mkdtempSync(join(tmpdir(), 'weighbridge-bench-'))
    process.on('exit', () => rmSync(dir, { recursive: true, force: true }))
    const [tier] = subscriptionTiers
    if (tier === undefined) throw new Error('there is no tier')
    const unlimited = { ...tier, id: 'bench', features: { ...tier.features, apiRequestsPerMonth: LIMIT } }
    const billing = new Billing({ dir, tiers: [unlimited] })
    const customers = Array.from({ length: CUSTOMERS }, (_, index) => `customer-${index}`)
    const created = await Promise.all(customers.map((customerId) => billing.keys.create({ customerId })))
    await Promise.all(customers.map((id) => billing.customers.upsert({ id, tier: 'bench' })))
    return { middleware: billing.middleware(), keys: created.map(({ key }) => key) }
  },
  'express-rate-limit (memory)': async () => ({
    middleware: rateLimit({
      windowMs: 60_000,
      limit: LIMIT,
      standardHeaders: 'draft-8',
      legacyHeaders: false,
      keyGenerator: (req) => req.headers.authorization ?? '',
    }),
    keys: Array.from({ length: CUSTOMERS }, (_, index) => `key-${index}`),
  }),
}

async function main(): Promise<void> {
  const variant = variants[process.argv[2] ?? '']
  if (variant === undefined) throw new Error(`unknown variant; there are: ${Object.keys(variants).join(', ')}`)
  const { middleware, keys } = await variant()
  const app = express()
  app.use('/api', middleware)
  app.post('/api/execute', (_req, res) => {
    res.json({ ok: true })
  })
  const server = app.listen(0, '127.0.0.1', () => {
    process.send?.({ port: (server.address() as AddressInfo).port, keys })
  })
  process.on('disconnect', () => process.exit(0))
}

void main()
