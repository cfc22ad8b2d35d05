import Stripe from 'stripe'
import { BillingError, constructEvent, generateTestHeader } from 'weighbridge'
import { secret } from './support/stripeEvents'

const official = new Stripe('sk_test_none').webhooks
const now = 1_790_000_000_000
const timestamp = now / 1000
const payload = JSON.stringify(
  { id: 'evt_1', object: 'event', type: 'ping', created: timestamp, text: 'Zoë – 💰' },
  null,
  2,
)

function refusal(operation: () => unknown): BillingError {
  try {
    operation()
  } catch (error) {
    expect(error).toBeInstanceOf(BillingError)
    return error as BillingError
  }
  throw new Error('it was accepted')
}

test("headers are those of Stripe's own package, to the letter", () => {
  expect(generateTestHeader({ payload, secret, timestamp })).toBe(
    official.generateTestHeaderString({ payload, secret, timestamp }),
  )
})

test("Stripe's own package accepts ours, and we its", () => {
  const event = JSON.parse(payload)
  for (const body of [payload, Buffer.from(payload)]) {
    expect(official.constructEvent(body, generateTestHeader({ payload, secret }), secret)).toEqual(event)
    expect(constructEvent(body, official.generateTestHeaderString({ payload, secret }), secret)).toEqual(event)
  }
})

test("what Stripe's own package refuses we refuse, and what is of the future too", () => {
  const valid = official.generateTestHeaderString({ payload, secret, timestamp })
  const older = official.generateTestHeaderString({ payload, secret, timestamp: timestamp - 301 })
  for (const [body, header, of] of [
    [payload.replace('Zoë', 'Zoe'), valid, secret],
    [payload, older, secret],
    [payload, valid, 'whsec_other'],
    [payload, '', secret],
    [payload, valid.replace('v1=', 'v0='), secret],
    [payload, valid.replace('t=', 't=1'), secret],
  ] as const) {
    expect(() => official.constructEvent(body, header, of, 300, undefined, now)).toThrow()
    expect(refusal(() => constructEvent(body, header, of, 300, now)).code).toBe('webhook_signature_invalid')
  }
  const future = official.generateTestHeaderString({ payload, secret, timestamp: timestamp + 301 })
  expect(refusal(() => constructEvent(payload, future, secret, 300, now)).message).toContain('in the future')
  expect(constructEvent(payload, future, secret, 301, now).id).toBe('evt_1')
})

test('while a secret is rolled either will do', () => {
  const [first, second] = ['whsec_old', 'whsec_new'].map(
    (of) => official.generateTestHeaderString({ payload, secret: of, timestamp }).split(',')[1],
  )
  const both = `t=${timestamp},${first},${second}`
  expect(constructEvent(payload, both, 'whsec_new', 300, now).id).toBe('evt_1')
  expect(constructEvent(payload, `t=${timestamp},${first}`, ['whsec_new', 'whsec_old'], 300, now).id).toBe('evt_1')
  expect(refusal(() => constructEvent(payload, both, ['whsec_other'], 300, now)).code).toBe('webhook_signature_invalid')
})

test('what is signed and no event is told apart from what is not signed', () => {
  for (const body of ['[]', 'no JSON', '{"id":"evt_1"}']) {
    const header = generateTestHeader({ payload: body, secret })
    expect(refusal(() => constructEvent(body, header, secret)).code).toBe('webhook_payload_invalid')
  }
})

test('bad arguments are refused by their names', () => {
  for (const [operation, name] of [
    [() => generateTestHeader({ payload, secret: '' }), 'secret'],
    [() => generateTestHeader({ payload, secret, timestamp: 1.5 }), 'timestamp'],
    [() => generateTestHeader({ payload, secret, time: 1 } as never), 'timestamp'],
    [() => constructEvent(payload, 't=1,v1=00', []), 'secret'],
    [() => constructEvent(payload, 't=1,v1=00', ['']), 'secret'],
    [() => constructEvent(payload, undefined as never, secret), 'header'],
    [() => constructEvent(payload, 't=1,v1=00', secret, -1), 'toleranceSeconds'],
  ] as const) {
    const { code, message } = refusal(operation)
    expect([code, message]).toEqual(['invalid_argument', expect.stringContaining(name)])
    expect(message).not.toContain(secret)
  }
})
