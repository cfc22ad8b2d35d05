// An Express app behind the middleware of a Billing with the options of the argument. Prints its port, serves until killed.
const express = require('express')
const { Billing } = require('weighbridge')

const options = JSON.parse(process.argv[2])
const app = express()
app.use(new Billing({ storeDeadlineMs: 60_000, ...options }).middleware())
app.use((_req, res) => res.json({ ok: true }))
const server = app.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`))
