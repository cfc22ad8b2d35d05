import { checkFunction } from './options.js'

/**
 * Receives what Weighbridge does, operation by operation: `startWork` at the beginning, `completeWork` at the end, of
 * success and failure alike. Nobody waits for it: a slow, failing or missing answer neither delays nor fails anything.
 */
export interface ActionLogger {
  /** @returns the id for `completeWork`, or a promise of it. */
  startWork(agent: string, action: string, description: string, kind: string): unknown
  completeWork(id: never, summary: string, files: string[]): unknown
}

/** Ends the report of one operation. */
export type Complete = (summary: string, files?: string[]) => void

/** More operations than these are not reported while the logger has not answered: it must not exhaust the memory. */
const MAX_OUTSTANDING = 10_000

const ignore = (): void => {}

/** Reports operations to the caller's logger, if there is one. */
export class ActionLog {
  readonly #logger: ActionLogger | undefined
  #outstanding = 0

  constructor(logger?: ActionLogger) {
    if (logger !== undefined) {
      checkFunction('actionLogger.startWork', logger?.startWork ?? null)
      checkFunction('actionLogger.completeWork', logger?.completeWork ?? null)
    }
    this.#logger = logger
  }

  start(agent: string, action: string, description: string): Complete {
    const logger = this.#logger
    if (logger === undefined || this.#outstanding >= MAX_OUTSTANDING) return ignore
    this.#outstanding += 1
    const started = attempt(() => logger.startWork(agent, action, description, 'system'))
    // It may fail long before the operation ends.
    started.catch(ignore)
    return (summary, files = []) => {
      started
        .then((id) => logger.completeWork(id as never, summary, files))
        .catch(ignore)
        .finally(() => (this.#outstanding -= 1))
    }
  }

  /** Reports an asynchronous operation from beginning to end: `success` of its result, or `failure` and why. */
  async report<T>(
    complete: Complete,
    operation: () => Promise<T>,
    success: (result: T) => string,
    failure: string,
  ): Promise<T> {
    try {
      const result = await operation()
      complete(success(result))
      return result
    } catch (error) {
      complete(`${failure}: ${(error as Error).message}`)
      throw error
    }
  }
}

async function attempt(call: () => unknown): Promise<unknown> {
  return call()
}
