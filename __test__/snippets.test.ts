import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as ts from 'typescript'

const root = join(__dirname, '..')
const pages = ['README.md', ...readdirSync(join(root, 'docs')).map((name) => join('docs', name))]

/** What the snippets speak of without having made it. */
const SURROUNDINGS = `
  type App = import('express').Express
  declare const app: App
  declare const billing: import('weighbridge').Billing
  declare const quote: typeof import('weighbridge').quote
  declare const round: typeof import('weighbridge').round
  declare const log: Console
  declare const key: string
  declare const id: string
  declare const from: number
  declare const to: number
  declare const events: import('weighbridge').UsageEvent[]
  declare function assistant(question: unknown): Promise<{ tokens: number }>
`

const snippets = pages.flatMap((page) => {
  const text = readFileSync(join(root, page), 'utf8')
  return [...text.matchAll(/^```ts\n(.*?)^```/gms)].map(([, code = '']) => ({ page, code }))
})

test('what the documentation shows in TypeScript compiles', () => {
  const files = new Map<string, string>([[join(root, 'snippets/surroundings.d.ts'), SURROUNDINGS]])
  for (const [index, { page, code }] of snippets.entries()) {
    // A module, so that it may await, and say again what another one says.
    files.set(join(root, `snippets/${page.replaceAll('/', '-')}-${index}.ts`), `${code}\nexport {}\n`)
  }
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
  expect(snippets.length).toBeGreaterThan(10)
})
