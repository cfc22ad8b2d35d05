import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as ts from 'typescript'
import {
  BillingError,
  type Catalog,
  CatalogError,
  checkCatalog,
  periodContaining,
  prorate,
  resolvePrice,
} from 'weighbridge'

const page = readFileSync(join(__dirname, '..', 'docs', 'catalog.md'), 'utf8')
const blocks = [...page.matchAll(/```ts\n(.*?)```/gs)].map(([, block = '']) => block)

const source = blocks.find((block) => block.startsWith('const catalog')) ?? ''
const javascript = ts.transpile(`${source}; return catalog`, { target: ts.ScriptTarget.ES2022 })
const catalog = new Function(javascript)() as Catalog

/** An expression, and the comment behind or below it that says its value. */
const examples = blocks
  .filter((block) => /^(checkCatalog|resolvePrice|periodContaining|prorate)\(/.test(block))
  .map((block) => {
    const [expression = '', ...lines] = block.trimEnd().split(/(?:\n| )\/\/ ?/)
    return { expression, value: lines.join('\n') }
  })

const run = (expression: string): unknown =>
  new Function('catalog', 'checkCatalog', 'resolvePrice', 'periodContaining', 'prorate', `return ${expression}`)(
    catalog,
    checkCatalog,
    resolvePrice,
    periodContaining,
    prorate,
  )

describe('the examples in docs/catalog.md', () => {
  test('are all found', () => {
    expect(catalog.id).toBe('public')
    expect(examples.length).toBe(page.match(/^(checkCatalog|resolvePrice|periodContaining|prorate)\(/gm)?.length)
    expect(examples.length).toBeGreaterThan(10)
  })

  test.each(examples)('$expression', ({ expression, value }) => {
    const [, message] = /^throws: (.*)$/s.exec(value) ?? []
    if (message === undefined) expect(run(expression)).toStrictEqual(run(`(${value})`))
    else expect(thrownBy(() => run(expression))).toMatchObject({ message })
  })

  test('and the catalog in them, which is its own normal form once it is checked', () => {
    const checked = checkCatalog(catalog)
    expect(checkCatalog(checked)).toStrictEqual(checked)
    expect(checked.tiers.map(({ id, limits }) => [id, limits.length])).toEqual([
      ['free', 2],
      ['professional', 3],
      ['enterprise', 3],
    ])
  })
})

describe('a catalog that is none', () => {
  test.each([
    ['nothing', undefined, '`catalog` must be an object, got null'],
    ['a string', 'catalog', '`catalog` must be an object, got "catalog"'],
    ['an array', [], '`catalog` must be an object, got []'],
    ['one without a currency', { id: 'a', version: '1', tiers: [{ id: 't' }] }, '`catalog.currency` is missing'],
    ['a misspelt field', { ...catalog, currencys: 'USD' }, 'did you mean "currency"?'],
    ['a number that may not be exact', { ...catalog, tiers: [{ id: 't', baseAmount: 0.1 + 0.2 }] }, '15 significant'],
    ['NaN', { ...catalog, tiers: [{ id: 't', baseAmount: NaN }] }, '`catalog.tiers[0].baseAmount` must be a decimal'],
  ])('is refused: %s', (_, wrong, says) => {
    const error = thrownBy(() => checkCatalog(wrong as Catalog)) as CatalogError
    expect(error).toBeInstanceOf(CatalogError)
    expect(error).toBeInstanceOf(BillingError)
    expect(error).toMatchObject({
      name: 'CatalogError',
      code: 'invalid_catalog',
      message: expect.stringContaining(says),
    })
    expect(error.mistakes[0]?.place).toMatch(/^catalog/)
    expect(thrownBy(() => resolvePrice(wrong as Catalog, { meter: 'tokens' }))).toEqual(error)
  })

  test('goes in circles, which JSON cannot hold', () => {
    const circular: Record<string, unknown> = { ...catalog }
    circular['tiers'] = circular
    expect(thrownBy(() => checkCatalog(circular as never))).toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('a catalog must be an object that JSON can hold'),
    })
  })
})

test.each([
  ['no meter', {}, '`question.meter` is missing'],
  ['a misspelt field', { meter: 'tokens', dimension: {} }, 'did you mean "dimensions"?'],
  [
    'a dimension that is no text',
    { meter: 'tokens', dimensions: { model: 4 } },
    '`question.dimensions.model` must be a string',
  ],
  ['nothing', null, '`question` must be an object'],
])('a question for a price with %s is refused', (_, question, says) => {
  const error = thrownBy(() => resolvePrice(catalog, question as never))
  expect(error).toBeInstanceOf(BillingError)
  expect(error).toMatchObject({ code: 'invalid_argument', message: expect.stringContaining(says) })
})

test.each([
  ['no anchor', { anchor: undefined }, '`anchor` is missing'],
  ['an anchor before 1970', { anchor: -1 }, '`anchor` must be a decimal from 0'],
  ['half a millisecond', { at: 0.5 }, '`at` must be a whole number from 0'],
  ['a time after the year 9999', { at: 253_402_300_800_000 }, '`at` must be a whole number of milliseconds'],
  ['an unknown interval', { interval: 'monthly' }, '`interval`: there is no "monthly"; did you mean "month"?'],
  ['an unknown zone', { timeZone: 'Mars/Olympus' }, '`timeZone` must be an IANA time zone'],
  ['no intervals', { intervalCount: 0 }, '`intervalCount` must be from 1 to 36'],
  ['a trial that ends before it begins', { trialStart: 5, anchor: 5 }, '`trialStart` must be before `anchor`'],
  ['a misspelt option', { timezone: 'UTC' }, 'did you mean "timeZone"?'],
])('a billing cycle with %s is refused', (_, change, says) => {
  const error = thrownBy(() => periodContaining({ anchor: 0, interval: 'month', at: 0, ...change } as never))
  expect(error).toBeInstanceOf(BillingError)
  expect(error).toMatchObject({ code: 'invalid_argument', message: expect.stringContaining(says) })
})

test('periods follow each other without gap or overlap', () => {
  const cycle = { anchor: Date.UTC(2026, 0, 31, 23, 59), interval: 'month', timeZone: 'America/New_York' } as const
  let { end } = periodContaining({ ...cycle, at: Date.UTC(2026, 0, 1) })
  for (let months = 0; months < 48; months++) {
    const period = periodContaining({ ...cycle, at: end })
    expect(period.start).toBe(end)
    expect(periodContaining({ ...cycle, at: period.end - 1 })).toEqual(period)
    end = period.end
  }
  const last = new Intl.DateTimeFormat('en-GB', { dateStyle: 'short', timeStyle: 'short', timeZone: cycle.timeZone })
  expect(last.format(end)).toBe('31/01/2030, 18:59')
})

function thrownBy(operation: () => unknown): unknown {
  try {
    operation()
  } catch (error) {
    return error
  }
  return 'nothing was refused'
}
