// An Express app with the Stripe webhook of a Billing with the options of the argument. Prints its port, serves until killed.
const express = require('express')
const { Billing } = require('weighbridge')

const app = express()
app.post('/webhooks/stripe', new Billing(JSON.parse(process.argv[2])).stripeWebhook())
const server = app.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`))
