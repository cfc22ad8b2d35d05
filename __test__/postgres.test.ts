import { existsSync } from 'node:fs'
import { join } from 'node:path'
import express from 'express'
import { BillingError, type BillingOptions } from 'weighbridge'
import { contents, event, keyOf, limitedTo, openBilling, temporaryDirectory, totals } from './support/billing'
import { certificatesFor } from './support/certificates'
import { byStatus, call, callOften, serve } from './support/http'
import { Database, sharedDatabase, sharedUrl } from './support/postgres'
import { Server } from './support/servers'

describe('on PostgreSQL', () => {
  test('keys, customers, requests and reports are as anywhere, and closing loses nothing', async () => {
    const database = sharedDatabase()
    const dir = temporaryDirectory()
    const billing = openBilling({ dir, ...database.options, tiers: limitedTo(5) })
    const key = await keyOf(billing, 'customer-1', 'limited')
    const port = await serve(express().use(billing.middleware(), (_, res) => void res.end()))
    expect(byStatus(await callOften(port, '/api/execute', 8, { key }))).toEqual({ 200: 5, 429: 3 })
    expect((await call(port, '/api/execute', { key: 'wb_unknown' })).status).toBe(401)
    expect((await call(port, '/api/funding-data', { key })).status).toBe(403)

    await billing.usage.recordEvents([event({ customerId: 'customer-2', endpoint: '/api/execute', cost: '0.1' })])
    expect(await totals(billing)).toEqual({ events: 6, units: 6, cost: '0.6' })
    const [first] = await billing.keys.list('customer-1')
    const rotated = await billing.keys.rotate(first?.id ?? '')
    expect(await billing.keys.verify(rotated.key)).toMatchObject({ valid: true })
    await billing.keys.revoke(rotated.id)
    expect(await billing.keys.verify(rotated.key)).toMatchObject({ valid: false })

    const before = await contents(billing)
    await billing.close()
    expect(await database.rows('SELECT * FROM leases')).toEqual([])
    const again = openBilling({ dir, ...database.options })
    expect(await contents(again)).toEqual(before)
    expect(existsSync(join(dir, 'weighbridge.db'))).toBe(false)
  })

  test('a request with an id counts once, and with other contents it is a conflict', async () => {
    const billing = openBilling({ dir: temporaryDirectory(), ...sharedDatabase().options })
    const { usage } = billing
    const first = event({ id: 'event-1', timestamp: 1_700_000_000_000 })
    await usage.recordEvent(first)
    await usage.recordEvent(first)
    await expect(usage.recordEvent({ ...first, cost: 7 })).rejects.toBeInstanceOf(BillingError)
    expect((await totals(billing)).events).toBe(1)
  })

  test('two schemas of one database know nothing of each other', async () => {
    const [one, other] = [sharedDatabase(), sharedDatabase()].map(({ options }) =>
      openBilling({ dir: temporaryDirectory(), ...options }),
    )
    if (one === undefined || other === undefined) throw new Error('there are two')
    const key = await keyOf(one, 'customer-1', 'starter')
    await one.usage.recordEvent(event())
    expect(await totals(other)).toEqual({ events: 0, units: 0, cost: '0' })
    expect(await other.keys.verify(key)).toMatchObject({ valid: false })
    expect(await other.customers.get('customer-1')).toBeNull()
  })
})

/** Why it cannot be opened. */
async function refusal(options: BillingOptions): Promise<BillingError> {
  const answer: unknown = await openBilling({ dir: temporaryDirectory(), ...options })
    .ready()
    .catch((error) => error)
  expect(answer).toBeInstanceOf(BillingError)
  return answer as BillingError
}

describe('refused is', () => {
  const urlWith = (change: (url: URL) => void): string => {
    const url = new URL(sharedUrl())
    change(url)
    return url.href
  }

  test.each<[what: string, store: () => string, code: string]>([
    ['a password that is wrong', () => urlWith((url) => (url.password = 'sesame-open')), 'store_unavailable'],
    ['a database that is not there', () => urlWith((url) => (url.pathname = '/nowhere')), 'store_unavailable'],
    ['a server that is not there', () => urlWith((url) => (url.port = '1')), 'store_unavailable'],
  ])('%s, and no message tells the password', async (_, store, code) => {
    const error = await refusal({ store: store() })
    expect(error.code).toBe(code)
    expect(error.message).toContain('PostgreSQL on ')
    expect(error.message).not.toContain(new URL(store()).password)
  })

  test.each([
    ['a URL without a host', 'postgres:///database'],
    ['a port that is none', 'postgres://user:sesame-open@localhost:port/database'],
    ['an `sslmode` that there is not', 'postgres://user:sesame-open@localhost/database?sslmode=perhaps'],
    ['a file of certificates that is not there', 'postgres://localhost/x?sslmode=verify-ca&sslrootcert=/nowhere.pem'],
    ['a password with an @', 'postgres://user:open@sesame-open@localhost/database'],
    ['certificates of the system that are not checked', 'postgres://localhost/x?sslmode=require&sslrootcert=system'],
    ['a parameter that there is not', 'postgres://user:sesame-open@localhost/database?retention=5'],
  ])('%s, at once', (_, store) => {
    let thrown: unknown
    try {
      openBilling({ dir: temporaryDirectory(), store })
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(BillingError)
    expect(thrown).toMatchObject({ code: 'invalid_argument', message: expect.not.stringContaining('sesame-open') })
  })

  test('a schema of another program, which is left alone', async () => {
    const database = sharedDatabase()
    await database.rows(`CREATE SCHEMA ${database.schema} CREATE TABLE letters (text text)`)
    expect((await refusal(database.options)).code).toBe('store_foreign')
    expect(await database.rows('SELECT tablename FROM pg_tables WHERE schemaname = $1', [database.schema])).toEqual([
      { tablename: 'letters' },
    ])
  })

  test('a schema of a newer Weighbridge', async () => {
    const database = sharedDatabase()
    await openBilling({ dir: temporaryDirectory(), ...database.options }).close()
    await database.rows(`COMMENT ON SCHEMA ${database.schema} IS 'weighbridge schema 99'`)
    expect((await refusal(database.options)).code).toBe('store_newer')
  })
})

describe('a server with roles and certificates', () => {
  let server: Server
  let directory: string

  beforeAll(async () => {
    server = await Server.make({ ssl: 'on', ssl_cert_file: 'server.pem', ssl_key_file: 'server.key' })
    const certificates = await certificatesFor('localhost')
    await server.write('server.pem', certificates.server)
    await server.write('server.key', certificates.key)
    await server.write('issuer.pem', certificates.issuer)
    await server.write('stranger.pem', (await certificatesFor('localhost')).issuer)
    directory = server.data
    await server.start()
  })

  test('needs no right but to make a schema', async () => {
    const administrator = new Database(server.url)
    await administrator.rows("CREATE ROLE app LOGIN PASSWORD 'secret'")
    await administrator.rows('GRANT CREATE ON DATABASE postgres TO app')
    const url = new URL(server.url)
    Object.assign(url, { username: 'app', password: 'secret' })
    const billing = openBilling({ dir: temporaryDirectory(), ...new Database(url.href).options })
    const consumption = { customerId: 'customer-1', eventType: 'api_request' } as const
    expect((await billing.usage.consume(consumption)).allowed).toBe(true)
    expect((await totals(billing)).events).toBe(1)
  })

  test('refuses a role that may not even do that, and it is told so', async () => {
    await new Database(server.url).rows("CREATE ROLE guest LOGIN PASSWORD 'secret'")
    const url = new URL(server.url)
    Object.assign(url, { username: 'guest', password: 'secret' })
    const error = await refusal(new Database(url.href).options)
    expect(error).toMatchObject({ code: 'store_read_only', message: expect.stringContaining('permission denied') })
  })

  const encrypted =
    "SELECT bool_and(ssl) AS ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'weighbridge'"

  test.each<[query: string, host: string, ssl: boolean]>([
    ['sslmode=disable', '127.0.0.1', false],
    ['', '127.0.0.1', true],
    ['sslmode=prefer', '127.0.0.1', true],
    ['sslmode=require', '127.0.0.1', true],
    ['sslmode=verify-ca&sslrootcert=issuer.pem', '127.0.0.1', true],
    ['sslmode=verify-full&sslrootcert=issuer.pem', 'localhost', true],
  ])('is reached with "%s" at %s; encrypted: %s', async (query, host, ssl) => {
    const database = new Database(secured(query, host), server.url)
    const billing = openBilling({ dir: temporaryDirectory(), ...database.options })
    await billing.ready()
    expect(await database.rows(encrypted)).toEqual([{ ssl }])
  })

  test.each([
    ['the wrong host', 'sslmode=verify-full&sslrootcert=issuer.pem', '127.0.0.1'],
    ['an issuer that is not trusted', 'sslmode=verify-full&sslrootcert=stranger.pem', 'localhost'],
    [
      'an issuer that is not trusted, without regard to the host',
      'sslmode=verify-ca&sslrootcert=stranger.pem',
      '127.0.0.1',
    ],
    [
      'an issuer that is not trusted, as a file of issuers was named',
      'sslmode=require&sslrootcert=stranger.pem',
      'localhost',
    ],
  ])('is refused for %s', async (_, query, host) => {
    const error = await refusal(new Database(secured(query, host)).options)
    expect(error).toMatchObject({ code: 'store_unavailable', message: expect.stringMatching(/certificate/i) })
  })

  function secured(query: string, host: string): string {
    const url = new URL(server.url)
    url.hostname = host
    return `${url.href}?${query.replace(/sslrootcert=/, `sslrootcert=${directory}/`)}`
  }
})

test('a server that does not know encryption is refused where it is required', async () => {
  const url = new URL(sharedUrl())
  url.searchParams.set('sslmode', 'require')
  const error = await refusal({ store: url.href })
  expect(error).toMatchObject({ code: 'store_unavailable', message: expect.stringMatching(/TLS/i) })
})
