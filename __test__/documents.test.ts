import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as ts from 'typescript'
import { previewInvoice, simulateAccessLog } from 'weighbridge'
import { temporaryDirectory } from './support/billing'

/** What a page declares in TypeScript, and each expression with the comment below it that says what its value has. */
function read(page: string, call: string): { declared: string; examples: [expression: string, value: string][] } {
  const text = readFileSync(join(__dirname, '..', 'docs', page), 'utf8')
  const blocks = [...text.matchAll(/```ts\n(.*?)```/gs)].map(([, block = '']) => block)
  const declared = blocks.find((block) => block.startsWith('const ') && block.includes(': Catalog')) ?? ''
  const examples = blocks
    .filter((block) => block.startsWith(call))
    .map((block): [string, string] => {
      const [expression = '', ...lines] = block.trimEnd().split(/\n\/\/ ?/)
      return [expression, lines.join('\n')]
    })
  return { declared: declared.replace(/^const answer =.*/ms, ''), examples }
}

function run(code: string, names: Record<string, unknown>): unknown {
  const javascript = ts.transpile(code, { target: ts.ScriptTarget.ES2022 })
  return new Function(...Object.keys(names), javascript)(...Object.values(names))
}

test('the examples in docs/invoices.md', () => {
  const { declared, examples } = read('invoices.md', 'previewInvoice(')
  expect(examples).toHaveLength(2)
  for (const [expression, value] of examples) {
    const told = run(`${declared}; return ${expression}`, { previewInvoice })
    expect(told).toMatchObject(run(`return (${value})`, {}) as object)
  }
})

test('the example in docs/simulation.md', async () => {
  const { declared, examples } = read('simulation.md', 'await simulateAccessLog(')
  const page = readFileSync(join(__dirname, '..', 'docs', 'simulation.md'), 'utf8')
  const file = join(temporaryDirectory(), 'access.log')
  writeFileSync(file, /```text\n(.*?)```/s.exec(page)?.[1] ?? '')
  expect(examples).toHaveLength(1)
  for (const [expression, value] of examples) {
    const placed = expression.replace('await ', '').replace("'access.log'", 'file')
    const told = await run(`${declared}; return ${placed}`, { simulateAccessLog, file })
    expect(told).toMatchObject(run(`return (${value})`, {}) as object)
  }
})
