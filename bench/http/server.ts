// One of the servers that are compared, in a process of its own: an Express 5 app with one route behind one middleware.
import express from 'express'
import type { AddressInfo } from 'node:net'
import { SHARED_VARIANTS } from '../shared/variants.js'
import { VARIANTS } from './variants.js'

const [name = '', postgres = '', directory = ''] = process.argv.slice(2)
const shared = SHARED_VARIANTS[name]
const variant = shared === undefined ? VARIANTS[name] : () => shared({ postgres, directory })
if (variant === undefined) throw new Error(`there is no variant "${name}"`)
const { middleware, keys } = await variant(postgres)

const app = express()
if (middleware !== undefined) app.use(middleware)
app.post('/api/execute', (_req, res) => {
  res.json({ ok: true })
})
const server = app.listen(0, '127.0.0.1', () => {
  process.send?.({ port: (server.address() as AddressInfo).port, keys })
})
process.on('disconnect', () => process.exit(0))
