import type { ApiKey } from './binding.js'
import type { EngineSource } from './defaultEngine.js'
import { checkNumber, checkOptions, checkString } from './options.js'

/** What a new key is to be. */
export interface ApiKeyOptions {
  /** A customer never seen comes into being. */
  customerId: string
  /** For people, 1 to 255 bytes. */
  name?: string
  /** From this instant on, milliseconds since the epoch, the key is refused. */
  expiresAt?: number
  /** A secret that clients already use, to be imported: 8 to 255 letters, digits or `-._~+/`. */
  key?: string
}

/** A key that was just made. */
export interface CreatedApiKey extends ApiKey {
  /** The secret. It is shown here once and stored nowhere: only its SHA-256 is. */
  key: string
}

/** What a key is worth. */
export interface KeyVerification {
  valid: boolean
  /**
   * `malformed`: a generated key mistyped, noticed by its checksum without asking the store. `unknown`: no such key.
   */
  code: 'valid' | 'malformed' | 'unknown' | 'revoked' | 'expired'
  /** Whose key it is, unless it is `malformed` or `unknown`. */
  customerId?: string
  /** The id by which it is listed, rotated and revoked. */
  keyId?: string
}

/**
 * The API keys. A generated key is `wb_`, 176 random bits and a checksum; the store holds its SHA-256. What happens to a
 * key holds at once in this Billing. In others on the same store a key that was revoked here is refused within a quarter of
 * a second (a second on PostgreSQL behind a pooler that swallows `NOTIFY`), one that has expired at once.
 */
export class ApiKeys {
  readonly #engine: EngineSource

  /** @internal */
  constructor(engine: EngineSource) {
    this.#engine = engine
  }

  /**
   * Makes a key, or imports one.
   *
   * @throws BillingError `invalid_argument`, or `key_exists` where the imported secret is a key already.
   */
  async create(options: ApiKeyOptions): Promise<CreatedApiKey> {
    checkOptions('keys.create', options, ['customerId', 'name', 'expiresAt', 'key'])
    const engine = this.#engine()
    return created(await engine.call((native, ticket) => native.createKey(ticket, engine.now(), options)))
  }

  /** Says whether a key would be accepted now. */
  async verify(key: string): Promise<KeyVerification> {
    checkString('key', key)
    const engine = this.#engine()
    const verification = await engine.call<Omit<KeyVerification, 'valid'>>((native, ticket) =>
      native.verifyKey(ticket, engine.now(), key),
    )
    return { valid: verification.code === 'valid', ...verification }
  }

  /** A customer's keys, the oldest first, revoked and expired ones too. */
  async list(customerId: string): Promise<ApiKey[]> {
    checkString('customerId', customerId)
    return this.#engine().call((native, ticket) => native.listKeys(ticket, customerId))
  }

  /**
   * Gives the customer a new key in the place of an old one, with its name and expiry. The old key goes on working for
   * `overlapMs` milliseconds: by default not at all.
   *
   * @throws BillingError `unknown_key`, or `key_revoked` where the old key was revoked or has expired.
   */
  async rotate(id: string, options: { overlapMs?: number } = {}): Promise<CreatedApiKey> {
    checkString('id', id)
    checkOptions('keys.rotate', options, ['overlapMs'])
    checkNumber('overlapMs', options.overlapMs)
    const engine = this.#engine()
    return created(
      await engine.call((native, ticket) => native.rotateKey(ticket, engine.now(), id, options.overlapMs ?? 0)),
    )
  }

  /**
   * Ends a key. To revoke it again changes nothing.
   *
   * @throws BillingError `unknown_key`.
   */
  async revoke(id: string): Promise<ApiKey> {
    checkString('id', id)
    const engine = this.#engine()
    return engine.call((native, ticket) => native.revokeKey(ticket, engine.now(), id))
  }
}

function created([key, secret]: [ApiKey, string]): CreatedApiKey {
  return { ...key, key: secret }
}
