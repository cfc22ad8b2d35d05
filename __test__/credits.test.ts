import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BillingError, creditBalance, type CreditQuestion, type Grant } from 'weighbridge'
import { examples, expectExample, thrownBy } from './support/examples'

const functions = { creditBalance }
const page = readFileSync(join(__dirname, '..', 'docs', 'credits.md'), 'utf8')
const declarations = readFileSync(join(__dirname, '..', 'index.d.ts'), 'utf8').replace(/^\s*\* ?/gm, '')

describe.each([
  ['docs/credits.md', page, 12],
  ['index.d.ts', declarations, 1],
])('the examples in %s', (_, text, atLeast) => {
  const found = examples(text, functions)

  test('are all found', () => {
    expect(found.length).toBe(text.match(/^creditBalance\(\{/gm)?.length)
    expect(found.length).toBeGreaterThanOrEqual(atLeast)
  })

  test.each(found)('$expression', ({ expression, value }) => expectExample(expression, value, functions))
})

const grant: Grant = { id: 'g', amount: '10', effectiveAt: 1_000 }
const question: CreditQuestion = { grants: [grant], at: 5_000 }

test('instants are milliseconds, dates and strings alike', () => {
  const instants = [1_767_225_600_000, new Date('2026-01-01'), '2026-01-01T00:00:00Z', '2026-01-01T01:00:00.000+01:00']
  const answers = instants.map((effectiveAt) =>
    creditBalance({ grants: [{ ...grant, effectiveAt }], at: Date.UTC(2026, 1) }),
  )
  for (const answer of answers) expect(answer).toEqual(answers[0])
  expect(answers[0]?.history).toMatchObject([{ start: Date.UTC(2026, 0), end: Date.UTC(2026, 1) }])
})

test('lists may be in any order', () => {
  const usage = [4_000, 2_000, 3_000].map((at) => ({ at, amount: '1.5' }))
  const refunds = [{ at: 3_000, amount: '0.5' }]
  const answer = creditBalance({ ...question, usage, refunds })
  expect(answer).toEqual(creditBalance({ ...question, usage: [...usage].reverse(), refunds }))
  expect(answer).toMatchObject({
    balance: '6',
    overage: '0',
    billed: '0',
    grants: [{ id: 'g', burnt: '4', ended: null }],
  })
})

test('what comes later is left aside', () => {
  const usage = [{ at: 5_000, amount: '1' }]
  expect(creditBalance({ ...question, usage }).balance).toBe('10')
  expect(creditBalance({ ...question, usage, at: 5_001 }).balance).toBe('9')
})

test('nothing at all is nothing', () => {
  expect(creditBalance({ grants: [], at: 0 })).toEqual({
    balance: '0',
    overage: '0',
    billed: '0',
    grants: [],
    history: [],
  })
})

test('ids may have names that JavaScript uses', () => {
  const id = '__proto__'
  const { grants, history } = creditBalance({ ...question, grants: [{ ...grant, id }] })
  expect(grants[0]?.id).toBe(id)
  expect(Object.entries(history[0]?.left ?? {})).toEqual([[id, '10']])
})

test.each([
  ['no question', undefined, 'creditBalance takes an object, got undefined'],
  ['a misspelt field', { ...question, refund: [] }, 'unknown option "refund"; did you mean "refunds"?'],
  ['no grants', { at: 1 }, '`grants` is missing'],
  ['no instant', { grants: [] }, '`at` is missing'],
  ['an invalid date', { ...question, at: new Date(NaN) }, '`at` must be an instant such as'],
  [
    'an invalid date of expiry',
    { ...question, grants: [{ ...grant, expiresAt: new Date(NaN) }] },
    '`grants[0].expiresAt`',
  ],
  ['an instant that is NaN', { ...question, at: NaN }, '`at` must be an instant such as'],
  ['a local time', { ...question, at: '2026-01-01T00:00:00' }, '`at` must be an instant such as'],
  ['grants that are an object', { ...question, grants: {} }, '`grants` must be an array, got {}'],
  [
    'a grant without an amount',
    { ...question, grants: [{ id: 'g', effectiveAt: 0 }] },
    '`grants[0].amount` is missing',
  ],
  ['two grants of one id', { ...question, grants: [grant, grant] }, 'two grants have the id "g"'],
  ['negative usage', { ...question, usage: [{ at: 1, amount: -1 }] }, '`usage[0].amount` must be a decimal from 0'],
  ['noise', { ...question, usage: [{ at: 1, amount: 0.1 + 0.2 }] }, 'more than 15 significant digits'],
  ['a refund of nothing', { ...question, refunds: [{ at: 1, amount: 1 }] }, 'gives back 1 more than was used'],
  ['an unknown policy', { ...question, overageAtReset: 'drop' }, '`overageAtReset` must be "bill" or "carry"'],
  ['circles', Object.assign({ ...question }, { usage: circle() }), 'an object that JSON can hold'],
])('%s is refused', (_, question, says) => {
  const error = thrownBy(() => creditBalance(question as CreditQuestion))
  expect(error).toBeInstanceOf(BillingError)
  expect(error).toMatchObject({ code: 'invalid_argument', message: expect.stringContaining(says) })
})

function circle(): unknown[] {
  const list: unknown[] = []
  list.push(list)
  return list
}
