import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ManualClock } from 'weighbridge'
import { openBilling } from './support/billing'
import { freshDirectory } from './support/directory'

const NOW = Date.UTC(2026, 0, 1)

test('a key is shown once, recognised by its prefix, and verified', async () => {
  const { keys } = openBilling({ clock: new ManualClock(NOW) })
  const created = await keys.create({ customerId: 'acme', name: 'production' })
  expect(created).toEqual({
    id: expect.stringMatching(/^key_/),
    customerId: 'acme',
    name: 'production',
    prefix: created.key.slice(0, created.prefix.length),
    createdAt: NOW,
    expiresAt: null,
    revokedAt: null,
    key: expect.stringMatching(/^wb_[0-9A-Za-z]{36}$/),
  })
  expect(created.prefix.length).toBeLessThan(created.key.length / 2)
  expect(await keys.verify(created.key)).toEqual({ valid: true, code: 'valid', customerId: 'acme', keyId: created.id })
  const { key: _secret, ...listed } = created
  expect(await keys.list('acme')).toEqual([listed])
  expect(await keys.list('nobody')).toEqual([])
})

test('a mistyped key is malformed, another one unknown', async () => {
  const { keys } = openBilling()
  const { key } = await keys.create({ customerId: 'acme' })
  const mistyped = key.slice(0, -1) + (key.endsWith('0') ? '1' : '0')
  expect(await keys.verify(mistyped)).toMatchObject({ valid: false, code: 'malformed' })
  expect(await keys.verify('somebody-elses-key')).toMatchObject({ valid: false, code: 'unknown' })
  expect(await keys.verify('')).toMatchObject({ valid: false, code: 'malformed' })
})

test('an imported secret works, and belongs to one customer', async () => {
  const { keys } = openBilling()
  await keys.create({ customerId: 'customer-123', key: 'test-key-123' })
  expect(await keys.verify('test-key-123')).toMatchObject({ valid: true, customerId: 'customer-123' })
  const again = keys.create({ customerId: 'customer-456', key: 'test-key-123' })
  await expect(again).rejects.toMatchObject({ code: 'key_exists' })
  await expect(again).rejects.not.toThrow('test-key-123')
})

test('a key ends when it expires', async () => {
  const clock = new ManualClock(NOW)
  const { keys } = openBilling({ clock })
  const { key } = await keys.create({ customerId: 'acme', expiresAt: NOW + 1000 })
  clock.set(NOW + 999)
  expect(await keys.verify(key)).toMatchObject({ valid: true })
  clock.advance(1)
  expect(await keys.verify(key)).toMatchObject({ valid: false, code: 'expired' })
})

test('a rotated key lives on for the overlap and no longer', async () => {
  const clock = new ManualClock(NOW)
  const { keys } = openBilling({ clock })
  const old = await keys.create({ customerId: 'acme', name: 'production' })
  const successor = await keys.rotate(old.id, { overlapMs: 1000 })
  expect(successor).toMatchObject({ customerId: 'acme', name: 'production' })
  expect(successor.key).not.toBe(old.key)
  expect((await keys.verify(old.key)).valid && (await keys.verify(successor.key)).valid).toBe(true)
  clock.advance(1000)
  expect(await keys.verify(old.key)).toMatchObject({ valid: false, code: 'expired' })
  const last = await keys.rotate(successor.id)
  expect(await keys.verify(successor.key)).toMatchObject({ valid: false, code: 'revoked' })
  expect(await keys.verify(last.key)).toMatchObject({ valid: true })
  await expect(keys.rotate(successor.id)).rejects.toMatchObject({ code: 'key_revoked' })
  await expect(keys.rotate('key_none')).rejects.toMatchObject({ code: 'unknown_key' })
})

test('a key that is revoked anywhere is revoked everywhere', async () => {
  const dir = freshDirectory()
  const [here, there] = [openBilling({ dir }), openBilling({ dir })]
  const { id, key } = await here.keys.create({ customerId: 'acme' })
  expect(await there.keys.verify(key)).toMatchObject({ valid: true })
  const revoked = await here.keys.revoke(id)
  expect(revoked.revokedAt).toEqual(expect.any(Number))
  expect(await there.keys.verify(key)).toMatchObject({ valid: false, code: 'revoked' })
  expect(await there.keys.revoke(id)).toEqual(revoked)
})

test('no file holds a secret', async () => {
  const dir = freshDirectory()
  const billing = openBilling({ dir })
  const { key } = await billing.keys.create({ customerId: 'acme' })
  await billing.keys.create({ customerId: 'acme', key: 'imported-secret-1' })
  await billing.flush()
  const contents = readdirSync(dir).map((file) => readFileSync(join(dir, file)))
  expect(contents.some((content) => content.includes('acme'))).toBe(true)
  for (const secret of [key, key.slice(3), 'imported-secret-1', 'secret-1']) {
    expect(contents.some((content) => content.includes(secret))).toBe(false)
  }
})
