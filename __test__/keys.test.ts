import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import express from 'express'
import { type Billing, ManualClock } from 'weighbridge'
import { openBilling, temporaryDirectory, totals } from './support/billing'
import { call, serve } from './support/http'

const now = Date.UTC(2026, 0, 15)
const portOf = (billing: Billing): Promise<number> =>
  serve(express().use(billing.middleware(), (req, res) => void res.json({ customerId: req.customerId })))
const statusOf = async (port: number, key: string, path = '/api/execute'): Promise<number> =>
  (await call(port, path, { key })).status

describe('a new key', () => {
  test('is shown once, with what is kept of it', async () => {
    const { keys } = openBilling({ clock: new ManualClock(now) })
    const { key, ...kept } = await keys.create({ customerId: 'customer-1', name: 'laptop', expiresAt: now + 1000 })
    expect(key).toMatch(/^wb_[0-9A-Za-z]{36}$/)
    expect(kept).toEqual({
      id: expect.stringMatching(/^key_/),
      customerId: 'customer-1',
      name: 'laptop',
      prefix: key.slice(0, 11),
      createdAt: now,
      expiresAt: now + 1000,
      revokedAt: null,
    })
    expect(await keys.list('customer-1')).toEqual([kept])
  })

  test('needs no name and no expiry', async () => {
    const { keys } = openBilling()
    expect(await keys.create({ customerId: 'customer-1' })).toMatchObject({ name: null, expiresAt: null })
  })

  test('makes its customer', async () => {
    const { keys, customers } = openBilling({ clock: new ManualClock(now) })
    await keys.create({ customerId: 'customer-1' })
    expect(await customers.get('customer-1')).toEqual({
      id: 'customer-1',
      tier: null,
      subscriptionId: null,
      stripeCustomerId: null,
      subscriptionStatus: null,
      billingCycleAnchor: null,
      catalogVersion: null,
      spendCap: null,
      prepaid: false,
      suspended: false,
      createdAt: now,
    })
  })

  test('is like no other', async () => {
    const { keys } = openBilling()
    const created = await Promise.all(Array.from({ length: 200 }, () => keys.create({ customerId: 'customer-1' })))
    expect(new Set(created.map(({ key }) => key)).size).toBe(200)
    expect(new Set(created.map(({ id }) => id)).size).toBe(200)
  })

  test('with one letter mistyped is malformed, whichever letter it is', async () => {
    const billing = openBilling()
    const { key } = await billing.keys.create({ customerId: 'customer-1' })
    for (let place = 'wb_'.length; place < key.length; place++) {
      const typo = key.slice(0, place) + (key[place] === 'x' ? 'y' : 'x') + key.slice(place + 1)
      expect(await billing.keys.verify(typo)).toEqual({ valid: false, code: 'malformed' })
    }
    expect(await billing.keys.verify(key.slice(0, -1))).toEqual({ valid: false, code: 'malformed' })
    // Noticed without asking the store: also where there is none any more.
    await billing.close()
    expect(await billing.keys.verify(`${key}x`)).toEqual({ valid: false, code: 'malformed' })
  })
})

describe('an imported key', () => {
  test('works as the clients know it', async () => {
    const billing = openBilling()
    const imported = await billing.keys.create({ customerId: 'customer-123', key: 'test-key-123' })
    expect(imported.key).toBe('test-key-123')
    expect('test-key-123'.startsWith(imported.prefix)).toBe(true)
    expect(imported.prefix.length).toBeLessThanOrEqual(4)
    expect(await billing.keys.verify('test-key-123')).toEqual({
      valid: true,
      code: 'valid',
      customerId: 'customer-123',
      keyId: imported.id,
    })
    expect(await statusOf(await portOf(billing), 'test-key-123')).toBe(200)
  })

  test('cannot be imported twice, not by another customer either', async () => {
    const { keys } = openBilling()
    await keys.create({ customerId: 'customer-1', key: 'test-key-123' })
    for (const customerId of ['customer-1', 'customer-2']) {
      await expect(keys.create({ customerId, key: 'test-key-123' })).rejects.toMatchObject({ code: 'key_exists' })
    }
    expect(await keys.list('customer-2')).toEqual([])
  })
})

describe('verifying', () => {
  test('says unknown, revoked and expired', async () => {
    const clock = new ManualClock(now)
    const { keys } = openBilling({ clock })
    expect(await keys.verify('never-seen')).toEqual({ valid: false, code: 'unknown' })
    expect(await keys.verify('constructor')).toEqual({ valid: false, code: 'unknown' })
    const { key, id } = await keys.create({ customerId: 'customer-1', expiresAt: now + 1000 })
    clock.advance(999)
    expect(await keys.verify(key)).toMatchObject({ valid: true, code: 'valid' })
    clock.advance(1)
    expect(await keys.verify(key)).toMatchObject({ valid: false, code: 'expired', customerId: 'customer-1' })
    clock.set(now)
    expect(await keys.verify(key)).toMatchObject({ valid: true })
    await keys.revoke(id)
    expect(await keys.verify(key)).toMatchObject({ valid: false, code: 'revoked', keyId: id })
  })
})

describe('rotating', () => {
  test('gives a new key in the place of the old one, which ends at once', async () => {
    const billing = openBilling()
    const old = await billing.keys.create({ customerId: 'customer-1', name: 'laptop' })
    const port = await portOf(billing)
    expect(await statusOf(port, old.key)).toBe(200)
    const successor = await billing.keys.rotate(old.id)
    expect(successor).toMatchObject({ customerId: 'customer-1', name: 'laptop' })
    expect(successor.key).not.toBe(old.key)
    expect(await statusOf(port, old.key)).toBe(401)
    expect(await statusOf(port, successor.key)).toBe(200)
    expect((await billing.keys.list('customer-1')).map(({ id }) => id)).toEqual([old.id, successor.id])
  })

  test('may leave the old key working for a while', async () => {
    const clock = new ManualClock(now)
    const billing = openBilling({ clock })
    const old = await billing.keys.create({ customerId: 'customer-1' })
    const port = await portOf(billing)
    const successor = await billing.keys.rotate(old.id, { overlapMs: 60_000 })
    clock.advance(59_999)
    expect([await statusOf(port, old.key), await statusOf(port, successor.key)]).toEqual([200, 200])
    clock.advance(1)
    expect([await statusOf(port, old.key), await statusOf(port, successor.key)]).toEqual([401, 200])
  })

  test('never prolongs a key', async () => {
    const clock = new ManualClock(now)
    const { keys } = openBilling({ clock })
    const old = await keys.create({ customerId: 'customer-1', expiresAt: now + 10 })
    await keys.rotate(old.id, { overlapMs: 60_000 })
    clock.advance(10)
    expect(await keys.verify(old.key)).toMatchObject({ valid: false })
  })

  test('is refused for a key that nobody has, or that has ended', async () => {
    const { keys } = openBilling()
    await expect(keys.rotate('key_none')).rejects.toMatchObject({ code: 'unknown_key' })
    const { id } = await keys.create({ customerId: 'customer-1' })
    await keys.revoke(id)
    await expect(keys.rotate(id)).rejects.toMatchObject({ code: 'key_revoked' })
    expect(await keys.list('customer-1')).toHaveLength(1)
  })
})

describe('revoking', () => {
  test('ends a key with the next request, priced or not', async () => {
    const billing = openBilling()
    const { key, id } = await billing.keys.create({ customerId: 'customer-1' })
    const port = await portOf(billing)
    expect(await statusOf(port, key)).toBe(200)
    await billing.keys.revoke(id)
    expect(await statusOf(port, key)).toBe(401)
    expect(await statusOf(port, key, '/unpriced')).toBe(401)
  })

  test('soon ends it in other Billings on the directory, too', async () => {
    const dir = temporaryDirectory()
    const [first, second] = [openBilling({ dir }), openBilling({ dir })]
    const { key, id } = await first.keys.create({ customerId: 'customer-1' })
    const port = await portOf(second)
    expect(await statusOf(port, key)).toBe(200)
    await first.keys.revoke(id)
    let admitted = 1
    while ((await statusOf(port, key)) === 200) admitted += 1
    expect(await statusOf(port, key)).toBe(401)
    await second.flush()
    expect((await totals(first)).events).toBe(admitted)
  })

  test('changes nothing the second time, and is refused for a key that nobody has', async () => {
    const clock = new ManualClock(now)
    const { keys } = openBilling({ clock })
    const { id } = await keys.create({ customerId: 'customer-1' })
    const revoked = await keys.revoke(id)
    expect(revoked).toMatchObject({ id, revokedAt: now })
    clock.advance(1000)
    expect(await keys.revoke(id)).toEqual(revoked)
    await expect(keys.revoke('key_none')).rejects.toMatchObject({ code: 'unknown_key' })
  })
})

test('a key that another Billing makes is known in the next request, if it was not asked for before', async () => {
  const dir = temporaryDirectory()
  const port = await portOf(openBilling({ dir }))
  const { key } = await openBilling({ dir }).keys.create({ customerId: 'customer-1' })
  expect(await statusOf(port, key)).toBe(200)
})

test('no secret is in any file of the store, or in an error', async () => {
  const dir = temporaryDirectory()
  const billing = openBilling({ dir })
  const port = await portOf(billing)
  const generated = await billing.keys.create({ customerId: 'customer-1' })
  const successor = await billing.keys.rotate(generated.id, { overlapMs: 1000 })
  const imported = 'an-imported-secret-4711'
  await billing.keys.create({ customerId: 'customer-1', key: imported })
  const secrets = [generated.key, successor.key, imported]
  for (const key of secrets) expect(await statusOf(port, key)).toBe(200)

  const failure: Error = await billing.keys.create({ customerId: 'customer-1', key: imported }).catch((error) => error)
  expect(failure).toBeInstanceOf(Error)
  const badSecret = 'a bad secret'
  const refusal: Error = await billing.keys.create({ customerId: 'c', key: badSecret }).catch((error) => error)
  for (const secret of [...secrets, badSecret]) {
    expect(`${failure.stack} ${JSON.stringify(failure)}`).not.toContain(secret)
    expect(`${refusal.stack} ${JSON.stringify(refusal)}`).not.toContain(secret)
  }

  // While it is open, with the write-ahead log, and after it was closed.
  for (const moment of ['open', 'closed']) {
    if (moment === 'closed') await billing.close()
    const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((file) => file.isFile())
    const bytes = Buffer.concat(files.map((file) => readFileSync(join(file.parentPath, file.name))))
    expect(bytes.includes(createHash('sha256').update(imported).digest())).toBe(true)
    for (const secret of secrets) expect(bytes.includes(secret.slice(0, 20))).toBe(false)
  }
})
