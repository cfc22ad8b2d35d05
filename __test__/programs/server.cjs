// An Express app behind the middleware. Prints its port and serves until it is killed.
const express = require('express')
const { Billing } = require('weighbridge')

const { dir } = JSON.parse(process.argv[2])
const app = express()
app.use(new Billing({ dir, storeDeadlineMs: 60_000 }).middleware())
app.get('/api/execute', (_req, res) => res.json({ ok: true }))
const server = app.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`))
