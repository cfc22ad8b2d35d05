import { createHmac } from 'node:crypto'
import { clearInterval, setInterval } from 'node:timers'
import type { Engine } from './engine.js'
import { invalidArgument } from './errors.js'
import { checkOptions } from './options.js'

/** Where alerts are sent to. */
export interface AlertReceiver {
  /** `https:` or `http:`, without a user name or a password. Alerts are posted to it. */
  url: string
  /**
   * With which each alert is signed: `whsec_` and 24 to 64 random bytes in base64, as Standard Webhooks has it. It is never
   * stored, logged or shown.
   *
   * @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
   */
  secret: string
}

/** How often to look for alerts that have become due. */
const LOOK_MS = 1_000
/** Of an attempt, from connecting to the answer's head. */
const TIMEOUT_MS = 15_000
/** Until then nobody else sends an alert that was claimed. */
const CLAIM_MS = 30_000
const AT_ONCE = 16
const LONGEST_REASON = 500
const PREFIX = 'whsec_'

/** Sends alerts that are due, as one of any number of processes. It does not keep the process alive. */
export class AlertSender {
  readonly #url: string
  /** Private, so that nothing shows it. */
  readonly #secret: Buffer
  readonly #closing = new AbortController()
  readonly #attempts = new Set<Promise<void>>()
  #engine: Engine | undefined
  #looking: NodeJS.Timeout | undefined
  #isLooking = false

  /** Looks at everything, and starts nothing. */
  constructor(receiver: AlertReceiver) {
    checkOptions('alerts', receiver, ['url', 'secret'])
    this.#url = checkUrl(receiver.url)
    this.#secret = checkSecret(receiver.secret)
  }

  /** Begins to send what this engine's store has, and ends when it closes. */
  start(engine: Engine): void {
    this.#engine = engine
    this.#looking = setInterval(() => void this.#look(), LOOK_MS).unref()
    // What this process has counted is sent at once.
    engine.notices.emitter.on('threshold', () => void this.#look())
    engine.beforeClosing(() => this.#close())
  }

  async #look(): Promise<void> {
    if (this.#engine === undefined || this.#isLooking || this.#closing.signal.aborted) return
    this.#isLooking = true
    const now = this.#engine.now()
    try {
      const claimed = await this.#engine.call<string>((native, ticket) =>
        native.claimAlerts(ticket, now, CLAIM_MS, AT_ONCE),
      )
      for (const alert of JSON.parse(claimed) as ClaimedAlert[]) {
        const attempt = this.#attempt(this.#engine, alert).finally(() => this.#attempts.delete(attempt))
        this.#attempts.add(attempt)
      }
    } catch {
      // The store is away: others are told of that, and the alerts wait in it.
    } finally {
      this.#isLooking = false
    }
  }

  async #attempt(engine: Engine, { id, attempts, body }: ClaimedAlert): Promise<void> {
    const { answer, reason } = await this.#post(engine, id, body)
    const settlement = { id, attempts, answer, jitter: Math.random(), ...(reason !== undefined && { reason }) }
    // Where the store is away the claim runs out, and the alert is sent once more: receivers know it by its id.
    const state = await engine
      .call<string>((native, ticket) => native.settleAlert(ticket, engine.now(), settlement))
      .catch(() => undefined)
    // What a listener throws is no failure of the attempt.
    if (state === '"failed"')
      setImmediate(() => engine.notices.emitter.emit('alertFailed', { id, reason: reason ?? '' }))
  }

  async #post(engine: Engine, id: string, body: string): Promise<{ answer: Answer; reason?: string }> {
    const seconds = Math.floor(engine.now() / 1_000)
    try {
      const response = await fetch(this.#url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'user-agent': 'Weighbridge',
          'webhook-id': id,
          'webhook-timestamp': String(seconds),
          'webhook-signature': `v1,${createHmac('sha256', this.#secret).update(`${id}.${seconds}.${body}`).digest('base64')}`,
        },
        body,
        redirect: 'manual',
        signal: AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), this.#closing.signal]),
      })
      // Its head says all.
      response.body?.cancel().catch(() => undefined)
      if (response.ok) return { answer: 'accepted' }
      return { answer: response.status === 410 ? 'gone' : 'failed', reason: `HTTP ${response.status}` }
    } catch (error) {
      if (this.#closing.signal.aborted) return { answer: 'interrupted', reason: 'this Billing was closed meanwhile' }
      return { answer: 'failed', reason: reasonOf(error) }
    }
  }

  /** Sends nothing more, and resolves when what was under way is settled. */
  async #close(): Promise<void> {
    clearInterval(this.#looking)
    this.#closing.abort()
    while (this.#isLooking || this.#attempts.size > 0) await Promise.race([...this.#attempts, nextTurn()])
  }
}

type Answer = 'accepted' | 'gone' | 'failed' | 'interrupted'

interface ClaimedAlert {
  id: string
  attempts: number
  body: string
}

function reasonOf(error: unknown): string {
  const { name, message, cause } = error as Error
  if (name === 'TimeoutError') return `no answer within ${TIMEOUT_MS} ms`
  // What `fetch` throws says nothing; its cause does.
  return String(cause instanceof Error ? cause.message : message).slice(0, LONGEST_REASON)
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function checkUrl(url: unknown): string {
  // Neither message says what it is: it may hold a password.
  const parsed = typeof url === 'string' && URL.canParse(url) ? new URL(url) : undefined
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol)) {
    throw invalidArgument('`alerts.url` must be an absolute http or https URL')
  }
  // `fetch` takes none, and shows the whole URL when it refuses: that would be kept as the reason of a failure.
  if (parsed.username !== '' || parsed.password !== '') {
    throw invalidArgument('`alerts.url` must hold no user name and no password: alerts are signed with `alerts.secret`')
  }
  return parsed.href
}

function checkSecret(secret: unknown): Buffer {
  const text = typeof secret === 'string' && secret.startsWith(PREFIX) ? secret.slice(PREFIX.length) : ''
  const key = Buffer.from(text, 'base64')
  const isWhole = key.toString('base64').replace(/=+$/, '') === text.replace(/=+$/, '')
  if (!isWhole || key.length < 24 || key.length > 64) {
    throw invalidArgument(`\`alerts.secret\` must be "${PREFIX}" and 24 to 64 bytes in base64`)
  }
  return key
}
