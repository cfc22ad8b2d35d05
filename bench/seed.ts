// What Weighbridge replaces, written anew for comparison: the middleware that a dashboard had before. Not its text, but what
// it does for each request: look the key up in a table; read and parse the JSON file of all customers to check the limit;
// make the directory; append the event to a log; read and parse the file of all customers again, count, and write the whole
// of it. Nothing is locked, so a request may read a file that another one is just writing, and fails.
import type { RequestHandler } from 'express'
import { mkdirSync, promises as files, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LIMIT } from './customers.js'

interface Usage {
  customerId: string
  currentPeriodStart: number
  currentPeriodEnd: number
  usage: { apiRequests: number; agentExecutions: number; dataAccessQueries: number; totalCost: number }
  limits: { apiRequests: number; agentExecutions: number }
}

const PRICES: Record<string, number> = { '/api/execute': 0.1 }

export function seedMiddleware(directory: string, customers: Map<string, string>): RequestHandler {
  const eventsFile = join(directory, 'usage-events.json')
  const usageFile = join(directory, 'customer-usage.json')
  writeUsage(directory, usageFile, customers)

  const allUsage = async (): Promise<Record<string, Usage>> => JSON.parse(await files.readFile(usageFile, 'utf8'))

  async function record(customerId: string, event: { cost: number; timestamp: number }): Promise<void> {
    await files.mkdir(directory, { recursive: true })
    await files.appendFile(eventsFile, `${JSON.stringify(event)}\n`)
    const usage = await allUsage()
    const known = usage[customerId]
    const isCurrent = known !== undefined && event.timestamp <= known.currentPeriodEnd
    const own = isCurrent ? known : newUsage(customerId)
    usage[customerId] = own
    own.usage.apiRequests += 1
    own.usage.totalCost += event.cost
    await files.writeFile(usageFile, JSON.stringify(usage, null, 2))
  }

  return async (req, res, next) => {
    try {
      const customerId = customers.get(req.headers.authorization?.replace('Bearer ', '') ?? '')
      if (customerId === undefined) {
        res.status(401).json({ error: 'Invalid API key' })
        return
      }
      const usage = (await allUsage())[customerId]
      if (usage !== undefined && usage.usage.apiRequests >= usage.limits.apiRequests) {
        res.status(429).json({ error: 'Usage limit exceeded' })
        return
      }
      const cost = PRICES[req.path]
      if (cost !== undefined) {
        const metadata = { method: req.method, userAgent: req.headers['user-agent'] }
        const event = {
          customerId,
          eventType: 'api_request',
          endpoint: req.path,
          timestamp: Date.now(),
          cost,
          metadata,
        }
        await record(customerId, event)
      }
      next()
    } catch {
      res.status(500).json({ error: 'Billing processing failed' })
    }
  }
}

function writeUsage(directory: string, file: string, customers: Map<string, string>): void {
  mkdirSync(directory, { recursive: true })
  const usage = Object.fromEntries([...customers.values()].map((customer) => [customer, newUsage(customer)]))
  writeFileSync(file, JSON.stringify(usage, null, 2))
}

function newUsage(customerId: string): Usage {
  const start = new Date().setDate(1)
  return {
    customerId,
    currentPeriodStart: start,
    currentPeriodEnd: new Date(start).setMonth(new Date(start).getMonth() + 1),
    usage: { apiRequests: 0, agentExecutions: 0, dataAccessQueries: 0, totalCost: 0 },
    limits: { apiRequests: LIMIT, agentExecutions: LIMIT },
  }
}
