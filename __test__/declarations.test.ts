import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as ts from 'typescript'
import * as weighbridge from 'weighbridge'

const file = join(__dirname, '..', 'index.d.ts')
const program = ts.createProgram([file], { strict: true, types: ['node'] })
const checker = program.getTypeChecker()
const source = program.getSourceFile(file) as ts.SourceFile
const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(source) as ts.Symbol)

test('every export has a doc comment', () => {
  const bare = exported.filter((symbol) => symbol.getDocumentationComment(checker).length === 0)
  expect(bare.map(({ name }) => name)).toEqual([])
  expect(exported.length).toBeGreaterThan(30)
})

test('every method that is exported has a doc comment', () => {
  const bare: string[] = []
  for (const symbol of exported.filter(({ flags }) => flags & ts.SymbolFlags.Class)) {
    for (const declaration of symbol.declarations ?? []) {
      if (!ts.isClassDeclaration(declaration)) continue
      for (const member of declaration.members) {
        const isDocumented = ts.getJSDocCommentsAndTags(member).length > 0
        const isMethod = ts.isMethodDeclaration(member) || ts.isGetAccessor(member)
        if (isMethod && !isDocumented) bare.push(`${symbol.name}.${member.name.getText(source)}`)
      }
    }
  }
  expect(bare).toEqual([])
})

test('every option has a doc comment', () => {
  const bare: string[] = []
  for (const symbol of exported.filter(({ name }) => name.endsWith('Options') && name !== 'PricingOptions')) {
    for (const option of checker.getDeclaredTypeOfSymbol(symbol).getProperties()) {
      if (option.getDocumentationComment(checker).length === 0) bare.push(`${symbol.name}.${option.name}`)
    }
  }
  expect(bare).toEqual([])
})

test('the values that are declared are those that there are', () => {
  const values = exported.filter(({ flags }) => flags & ts.SymbolFlags.Value).map(({ name }) => name)
  expect(values.sort()).toEqual(
    Object.keys(weighbridge)
      .filter((name) => name !== '__esModule')
      .sort(),
  )
})

test('the module for ESM names the same values', () => {
  const text = readFileSync(join(__dirname, '..', 'index.mjs'), 'utf8')
  const names = /export \{([^}]*)\}/.exec(text)?.[1]?.match(/\w+/g) ?? []
  expect(names.sort()).toEqual(
    Object.keys(weighbridge)
      .filter((name) => name !== '__esModule')
      .sort(),
  )
})

test('every code of an error is in its table', () => {
  const type = checker.getDeclaredTypeOfSymbol(
    exported.find(({ name }) => name === 'BillingErrorCode') as ts.Symbol,
  ) as ts.UnionType
  const codes = type.types.map((member) => (member as ts.StringLiteralType).value)
  const text = source.text.slice(0, source.text.indexOf('type BillingErrorCode'))
  expect(codes.filter((code) => !text.includes(`| \`${code}\` |`))).toEqual([])
  expect(codes).toContain('invalid_argument')
})
