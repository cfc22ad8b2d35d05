import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as ts from 'typescript'

const root = join(__dirname, '..')
const pages = ['README.md', ...readdirSync(join(root, 'docs')).map((name) => join('docs', name))]

/** What the snippets speak of without having made it. */
const SURROUNDINGS = `
  declare const express: typeof import('express')
  declare const app: import('express').Express
  declare const Billing: typeof import('weighbridge').Billing
  declare const generateTestHeader: typeof import('weighbridge').generateTestHeader
  declare const billing: import('weighbridge').Billing
  declare const quote: typeof import('weighbridge').quote
  declare const round: typeof import('weighbridge').round
  declare const log: Console
  declare const key: string
  declare const id: string
  declare const from: number
  declare const to: number
  declare const url: string
  declare const created: number
  declare const subscription: object
  declare const events: import('weighbridge').UsageEvent[]
  declare function assistant(question: unknown): Promise<{ tokens: number }>
`

/** What a page shows: what comes later sees what came before, and may say it anew. */
const documents = pages.flatMap((page) => {
  const text = readFileSync(join(root, page), 'utf8')
  const snippets = [...text.matchAll(/^```ts\n(.*?)^```/gms)].map(([, code = '']) => code)
  const imports = new Set(snippets.flatMap((code) => code.match(/^import .*$/gm) ?? []).flatMap(oneByOne))
  const inner = snippets.map((code) => `{\n${code.replace(/^import .*$/gm, '')}`)
  // A module, so that it may await.
  const code = [...imports, ...inner, '}'.repeat(inner.length), 'export {}'].join('\n')
  return snippets.length === 0 ? [] : [{ page, code }]
})

/** An import as one line for each name, because several snippets import the same. */
function oneByOne(line: string): string[] {
  const [, names, module] = /^import \{(.*)\} from ('.*')$/.exec(line) ?? []
  return names === undefined ? [line] : names.split(',').map((name) => `import { ${name.trim()} } from ${module}`)
}

test('what the documentation shows in TypeScript compiles', () => {
  const files = new Map<string, string>([[join(root, 'snippets/surroundings.d.ts'), SURROUNDINGS]])
  for (const { page, code } of documents) files.set(join(root, `snippets/${page.replaceAll('/', '-')}.ts`), code)
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    esModuleInterop: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ES2022,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    types: ['node'],
    paths: { weighbridge: [join(root, 'index.d.ts')] },
  }
  const host = ts.createCompilerHost(options)
  const { readFile, fileExists, getSourceFile } = host
  host.readFile = (name) => files.get(name) ?? readFile(name)
  host.fileExists = (name) => files.has(name) || fileExists(name)
  host.getSourceFile = (name, version, ...rest) => {
    const code = files.get(name)
    return code === undefined ? getSourceFile(name, version, ...rest) : ts.createSourceFile(name, code, version, true)
  }
  const program = ts.createProgram([...files.keys()], options, host)
  const wrong = ts.getPreEmitDiagnostics(program).flatMap(({ file, start = 0, messageText }) => {
    const [line, next] = file?.text.slice(start).split('\n') ?? []
    // What is refused at run time may be refused here too.
    if (next?.startsWith('// throws:')) return []
    return [`${file?.fileName.slice(root.length)}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}: ${line}`]
  })
  expect(wrong).toEqual([])
  expect(documents.length).toBeGreaterThan(5)
})
