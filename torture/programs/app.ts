import express, { type Express, type Request, type Response } from 'express'
import { type Billing, BillingError } from 'weighbridge'

/** An app that bills its requests, and consumes and records besides, as it is asked to. */
export function createApp(billing: Billing, logger: { error(error: unknown): void }): Express {
  const app = express()
  app.use('/api', billing.middleware({ logger }))
  app.post('/api/execute', (req, res) => {
    res.json({ code: req.billing?.code })
  })
  const asked = answering(logger)
  app.post(
    '/consume',
    express.json(),
    asked(async (body, res) => {
      const { allowed, code } = await billing.usage.consume(body)
      res.status(allowed ? 200 : 429).json({ code })
    }),
  )
  app.post(
    '/record',
    express.json(),
    asked(async (body, res) => {
      await billing.usage.recordEvent(body)
      res.json({})
    }),
  )
  return app
}

type Handler = (req: Request, res: Response) => void

/** Failures are answered 500, as the middleware does. */
function answering(logger: {
  error(error: unknown): void
}): (answer: (body: any, res: Response) => Promise<void>) => Handler {
  return (answer) => (req, res) => {
    answer(req.body, res).catch((error: unknown) => {
      logger.error(error)
      const code = error instanceof BillingError ? error.code : String(error)
      res.status(code === 'idempotency_conflict' ? 422 : 500).json({ code })
    })
  }
}
