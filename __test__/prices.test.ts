import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BillingError, type BillingErrorCode, type Price, quote, type QuoteOptions, round } from 'weighbridge'
import { examples, expectExample, thrownBy } from './support/examples'

const functions = { quote, round }
const page = readFileSync(join(__dirname, '..', 'docs', 'prices.md'), 'utf8')
const declarations = readFileSync(join(__dirname, '..', 'index.d.ts'), 'utf8').replace(/^\s*\* ?/gm, '')

describe.each([
  ['docs/prices.md', page],
  ['index.d.ts', declarations],
])('the examples in %s', (_, text) => {
  const found = examples(text, functions)

  test('are all found', () => {
    expect(found.length).toBe(text.match(/^(quote|round)\([^/]/gm)?.length)
    expect(found.length).toBeGreaterThan(10)
    for (const model of ['per_unit', 'package', 'graduated', 'volume', 'percentage', 'graduated_percentage']) {
      expect(found.some(({ expression }) => expression.includes(`model: '${model}'`))).toBe(true)
    }
  })

  test.each(found)('$expression', ({ expression, value }) => {
    expectExample(expression, value, functions)
  })
})

const perUnit: Price = { model: 'per_unit', unitAmount: '0.1' }
const graduated = (...upTo: (string | null)[]): Price => ({
  model: 'graduated',
  tiers: upTo.map((upTo) => ({ upTo, unitAmount: '1' })),
})
const circular: Record<string, unknown> = { model: 'per_unit' }
circular['unitAmount'] = circular

type Question = [
  what: string,
  price: unknown,
  quantity: unknown,
  options: unknown,
  says: string,
  code?: BillingErrorCode,
]

const refused: Question[] = [
  ['no price', undefined, '1', {}, '`price` is missing'],
  ['a price that is null', null, '1', {}, '`price` must be an object, got null'],
  ['a price that is a string', 'per_unit', '1', {}, '`price` must be an object, got "per_unit"'],
  ['a price that goes in circles', circular, '1', {}, 'must be an object that JSON can hold'],
  ['no model', {}, '1', {}, '`price.model` is missing'],
  ['a misspelt model', { model: 'perUnit' }, '1', {}, 'did you mean "per_unit"'],
  ['a model that is a number', { model: 1 }, '1', {}, '`price.model` must be a string, got 1'],
  ['no unit amount', { model: 'per_unit' }, '1', {}, '`price.unitAmount` is missing'],
  ['an undefined one', { model: 'per_unit', unitAmount: undefined }, '1', {}, '`price.unitAmount` is missing'],
  ['a negative one', { model: 'per_unit', unitAmount: -1 }, '1', {}, '`price.unitAmount` must be a decimal from 0'],
  ['one that is NaN', { model: 'per_unit', unitAmount: NaN }, '1', {}, 'got "NaN"'],
  ['one that is infinite', { model: 'per_unit', unitAmount: Infinity }, '1', {}, 'got "Infinity"'],
  ['one that is a function', { model: 'per_unit', unitAmount: () => 1 }, '1', {}, '`price.unitAmount` is missing'],
  ['a misspelt field', { ...perUnit, freeUnit: '1' }, '1', {}, 'did you mean "freeUnits"'],
  ['a package of nothing', { model: 'package', amount: 1, packageSize: 0 }, '1', {}, '`price.packageSize`'],
  ['a tier without upTo', { model: 'volume', tiers: [{ unitAmount: 1 }] }, '1', {}, '`price.tiers[0].upTo` is missing'],
  [
    'a tier up to Infinity',
    { model: 'volume', tiers: [{ upTo: Infinity, unitAmount: 1 }] },
    '1',
    {},
    '`price.tiers[0].upTo` must be a decimal',
  ],
  ['no tiers', graduated(), '1', {}, '`price.tiers` must hold at least one tier', 'invalid_catalog'],
  ['a gap above the last tier', graduated('1'), '1', {}, '`price.tiers[0].upTo` must be null', 'invalid_catalog'],
  ['tiers that fall', graduated('2', '1', null), '1', {}, '`price.tiers[1].upTo` must be above', 'invalid_catalog'],
  ['a tier after the last', graduated(null, null), '1', {}, '`price.tiers[0].upTo` must be', 'invalid_catalog'],
  [
    'a maximum below the minimum',
    { ...perUnit, minimumAmount: 2, maximumAmount: 1 },
    '1',
    {},
    '`price.maximumAmount`',
    'invalid_catalog',
  ],
  ['no quantity', perUnit, undefined, {}, '`quantity` is missing'],
  ['a quantity that is null', perUnit, null, {}, '`quantity` must be a decimal string or a number, got null'],
  ['a negative quantity', perUnit, '-0.1', {}, '`quantity` must be a decimal from 0'],
  ['a quantity that is NaN', perUnit, NaN, {}, '`quantity` must be a decimal such as'],
  ['a quantity with an exponent', perUnit, '1e3', {}, '`quantity` must be a decimal such as'],
  ['an empty quantity', perUnit, '', {}, '`quantity` must be a decimal such as'],
  ['an endless quantity', perUnit, '1'.repeat(1001), {}, '`quantity` must be a decimal of at most 1000 characters'],
  ['a quantity with noise', perUnit, 0.1 + 0.2, {}, 'more than 15 significant digits'],
  ['an unsafe quantity', perUnit, 2 ** 53 + 2, {}, 'pass a decimal string'],
  ['options that are null', perUnit, '1', null, 'quote takes an object, got null'],
  ['a misspelt option', perUnit, '1', { curency: 'USD' }, 'did you mean "currency"'],
  ['an unknown currency', perUnit, '1', { currency: 'ABC' }, '`currency` must be a currency of ISO 4217'],
  ['gold', perUnit, '1', { currency: 'XAU' }, 'no minor unit'],
  ['a currency that is a number', perUnit, '1', { currency: 840 }, '`currency` must be a string, got 840'],
  ['half an event', perUnit, '1', { events: 0.5 }, '`events` must be a whole number from 0'],
]

test.each(refused)('a quote with %s is refused', (_, price, quantity, options, says, code = 'invalid_argument') => {
  const error = thrownBy(() => quote(price as Price, quantity as string, options as QuoteOptions))
  expect(error).toBeInstanceOf(BillingError)
  expect(error).toBeInstanceOf(Error)
  expect(error).toMatchObject({ name: 'BillingError', code, message: expect.stringContaining(says) })
})

test.each([
  ['nothing', undefined, 'USD', undefined, '`amount` is missing'],
  ['no decimal', 'ten', 'USD', undefined, '`amount` must be a decimal such as'],
  ['NaN', NaN, 'USD', undefined, '`amount` must be a decimal such as'],
  ['noise', 1.1 * 1.1, 'USD', undefined, '15 significant digits'],
  ['no currency', '1', undefined, undefined, '`currency` is missing'],
  ['a currency that there is not', '1', 'EURO', undefined, '`currency` must be a currency of ISO 4217'],
  ['gold', '1', 'XAU', undefined, 'no minor unit'],
  ['an unknown mode', '1', 'USD', 'half_up', '`mode` must be "half_away_from_zero" or "half_even", got "half_up"'],
  ['a mode that is a number', '1', 'USD', 2, '`mode` must be a string, got 2'],
])('rounding %s is refused', (_, amount, currency, mode, says) => {
  const error = thrownBy(() => round(amount as string, currency as string, mode as never))
  expect(error).toBeInstanceOf(BillingError)
  expect(error).toMatchObject({ code: 'invalid_argument', message: expect.stringContaining(says) })
})

test('numbers, strings and bigints of the same value cost the same', () => {
  for (const quantity of ['1500', 1500, 1500n, '1500.000', 1.5e3]) {
    expect(quote({ model: 'per_unit', unitAmount: '0.002' }, quantity).amount).toBe('3')
  }
  for (const unitAmount of ['0.0000001', 1e-7])
    expect(quote({ model: 'per_unit', unitAmount }, 1).amount).toBe('0.0000001')
  expect(quote(perUnit, Number.MAX_SAFE_INTEGER).amount).toBe('900719925474099.1')
})

test('a decimal of a library that writes itself as JSON is taken', () => {
  const decimal = { toJSON: () => '2.5' }
  expect(quote(perUnit, decimal as never).amount).toBe('0.25')
})

test('a quote can be rounded however long it is', () => {
  const { amount } = quote({ model: 'per_unit', unitAmount: `0.${'3'.repeat(300)}` }, '9'.repeat(300))
  expect(round(amount, 'USD')).toBe(`${'3'.repeat(299)}2.67`)
})

test('a quote leaves the price as it was', () => {
  const price = Object.freeze({
    model: 'graduated',
    tiers: Object.freeze([Object.freeze({ upTo: null, unitAmount: 1 })]),
  })
  expect(quote(price as unknown as Price, 5)).toEqual(quote(price as unknown as Price, 5))
})
