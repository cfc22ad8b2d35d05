// A process of its own that serves a billed API and tells its port.
import express from 'express'
import type { AddressInfo } from 'node:net'
import { Billing } from 'weighbridge'

const [dir] = process.argv.slice(2)
const billing = new Billing({ dir })
const app = express()
app.use('/api', billing.middleware())
app.post('/api/execute', (_req, res) => {
  res.json({})
})
const server = app.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
