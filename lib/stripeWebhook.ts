import type { ReceivedOutput } from './binding.js'
import type { Engine } from './engine.js'
import { BillingError, StripeError } from './errors.js'
import type { BillingHandler, BillingRequest } from './express.js'
import { type Logger, logTo } from './middleware.js'
import { checkBoolean, checkFunction, checkNumber, checkOptions } from './options.js'
import { rawBody } from './rawBody.js'
import { refusal } from './refusals.js'
import type { StripeObject } from './stripeRequests.js'
import { rejectUsage, tellsOfRejections, type UsageRejection } from './usageRejections.js'
import { webhookSecrets } from './webhookSecrets.js'
import { type StripeEvent, TOLERANCE_SECONDS } from './webhookSignatures.js'

/** How a Stripe webhook behaves. Everything has a default. */
export interface StripeWebhookOptions {
  /** The webhook's secret, or several while it is rolled, in the place of the `webhookSecret` of the Billing. */
  secret?: string | string[]
  /** How far the time of a signature may be from ours, in seconds, earlier or later: 300 by default. */
  toleranceSeconds?: number
  /**
   * Whether the subscription that an event is about is asked for, so that what counts is how it is now: by default where
   * there is a secret key of Stripe's. Without, what counts is the latest of the events by their own time, and thin events
   * say nothing.
   */
  retrieve?: boolean
  /** Where failures of Weighbridge itself are reported: `console` by default. */
  logger?: Logger
}

/** What a webhook needs of Stripe. */
export interface StripeSource {
  /** What was configured; left out, `STRIPE_WEBHOOK_SECRET`. */
  webhookSecret: string | string[] | undefined
  hasSecretKey(): boolean
  retrieveSubscription(id: string): Promise<StripeObject>
  /** An event of `/v2`, with its data. */
  retrieveEvent(id: string): Promise<StripeObject>
}

interface Answer {
  status: number
  body: Record<string, unknown>
}

const STATUS: Record<string, number> = {
  webhook_signature_invalid: 400,
  webhook_payload_invalid: 400,
  webhook_too_large: 413,
  webhook_in_progress: 409,
  webhook_body_consumed: 500,
  webhook_secret_missing: 500,
}

/**
 * Answers Stripe's webhooks: 200 when what an event says has taken effect or is kept, and anything else where Stripe should
 * send it again.
 */
export function createStripeWebhook(
  engine: Engine,
  stripe: StripeSource,
  options: StripeWebhookOptions = {},
): BillingHandler {
  checkOptions('stripeWebhook', options, ['secret', 'toleranceSeconds', 'retrieve', 'logger'])
  const { toleranceSeconds = TOLERANCE_SECONDS, retrieve, logger } = options
  checkNumber('toleranceSeconds', toleranceSeconds)
  checkBoolean('retrieve', retrieve)
  if (logger !== undefined) checkFunction('logger.error', logger?.error ?? null)
  const configured = options.secret ?? stripe.webhookSecret
  const known = configured === undefined ? undefined : webhookSecrets('webhookSecret', configured)

  const asks = (): boolean => retrieve ?? stripe.hasSecretKey()

  const receive = async (req: BillingRequest): Promise<Answer> => {
    const payload = await rawBody(req)
    const signature = req.headers['stripe-signature']
    const signed = {
      payload,
      signature: String(signature ?? ''),
      secrets: known ?? secretsOfEnvironment(),
      toleranceSeconds,
    }
    const { claim, subscriptionId } = await engine.call<ReceivedOutput>((native, ticket) =>
      native.receiveStripeEvent(ticket, engine.now(), signed),
    )
    if (claim === 'taken') throw new BillingError('webhook_in_progress', 'this event is being worked on; send it again')
    if (claim === 'granted') {
      const event = JSON.parse(payload.toString('utf8')) as StripeEvent
      const done = await work(payload, event, subscriptionId)
      if (done !== undefined) engine.notices.stripeEvent(event, done)
    }
    return { status: 200, body: { received: true } }
  }

  /**
   * Tells what was rejected by it; `undefined` where somebody else was faster, as may happen where it takes longer than a
   * minute.
   */
  const work = async (
    payload: Buffer,
    { id, type }: StripeEvent,
    subscriptionId: string | null,
  ): Promise<UsageRejection[] | undefined> => {
    try {
      const at = engine.now()
      const subscription = subscriptionId === null ? undefined : await retrieved(subscriptionId)
      // Before the event is finished: where this fails, Stripe sends it again.
      const rejections =
        tellsOfRejections(type) && asks() ? await rejectUsage(engine, await stripe.retrieveEvent(id)) : []
      const isFirst = await engine.call<boolean>((native, ticket) =>
        native.finishStripeEvent(ticket, engine.now(), payload, subscription, at),
      )
      return isFirst ? rejections : undefined
    } catch (error) {
      // Else nobody could work on it for a minute. Where this fails too, that is what happens.
      await engine.call<void>((native, ticket) => native.releaseStripeEvent(ticket, id)).catch(() => {})
      throw error
    }
  }

  /** `undefined` where Stripe does not know it: then there is only the event. */
  const retrieved = async (subscriptionId: string): Promise<string | undefined> => {
    if (!asks()) return undefined
    try {
      return JSON.stringify(await stripe.retrieveSubscription(subscriptionId))
    } catch (error) {
      if (error instanceof StripeError && error.statusCode === 404) return undefined
      throw error
    }
  }

  return function stripeWebhook(req, res, next) {
    const answer = receive(req).catch((error: unknown) => failure(error, logger))
    answer
      .then(({ status, body }) => {
        // What is still to come of a body that is too large is not read.
        if (status === 413) res.set('Connection', 'close')
        res.status(status).json(body)
      })
      .catch(next)
  }
}

function secretsOfEnvironment(): string[] {
  const secret = process.env['STRIPE_WEBHOOK_SECRET']
  if (secret !== undefined && secret !== '') return [secret]
  const message = 'set STRIPE_WEBHOOK_SECRET, or pass `stripe: { webhookSecret }`: the secret of this endpoint, whsec_…'
  throw new BillingError('webhook_secret_missing', message)
}

function failure(error: unknown, logger: Logger | undefined): Answer {
  const { code, message } = error as { code?: unknown; message?: unknown }
  const status = typeof code === 'string' && error instanceof BillingError ? STATUS[code] : undefined
  if (status === undefined || status === 500) logTo(logger, error)
  if (status === undefined) return refusal('internal')
  return { status, body: { error: code, message } }
}
