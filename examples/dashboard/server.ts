import express from 'express'
import type { Billing } from 'weighbridge'
import { analyze } from './endpoints/analyze.js'
import { Assistant } from './endpoints/assistant.js'
import { execute } from './endpoints/execute.js'
import { fundingData } from './endpoints/fundingData.js'
import { scanFunding } from './endpoints/scanFunding.js'

/** A small API that bills: five priced endpoints, and one where a caller sees his own usage. */
export function createDashboard(billing: Billing): express.Express {
  const assistant = new Assistant()
  const app = express()
  app.disable('x-powered-by')

  app.get('/usage', billing.usageHandler())
  app.use('/api', billing.middleware(), express.json())

  app.post('/api/execute', (req, res) => void res.json(execute(req.body)))
  app.post('/api/analyze', (req, res) => void res.json(analyze(req.body)))
  app.get('/api/scan-funding', (req, res) => void res.json(scanFunding(req.query)))
  app.post('/api/assistant', (req, res) => void res.json(assistant.answer(req.body)))
  app.get('/api/funding-data', (req, res) => void res.json(fundingData(req.query)))

  app.use(answerFailure)
  return app
}

/** Bad requests tell what is wrong with them; whatever else fails tells nothing. */
function answerFailure(
  error: { status?: number; message?: string },
  _req: express.Request,
  res: express.Response,
  next: express.NextFunction,
): void {
  if (res.headersSent) return next(error)
  const status = error.status ?? 500
  res.status(status).json({ error: status < 500 ? error.message : 'Internal server error' })
}
