import { readdirSync } from 'node:fs'
import type * as binding from './binding.js'
import { BillingError } from './errors.js'

let loaded: typeof binding | undefined

/** The native addon. It is loaded on first use, so that importing the package does nothing. */
export function native(): typeof binding {
  loaded ??= load()
  return loaded
}

function load(): typeof binding {
  try {
    return require('./binding.js') as typeof binding
  } catch (error) {
    throw new BillingError('native_load_failed', explain(error), { cause: error })
  }
}

function explain(error: unknown): string {
  const present = readdirSync(__dirname).filter((file) => file.endsWith('.node'))
  return [
    `Weighbridge could not load its native addon on ${process.platform} ${process.arch} (${libc()}), Node ${process.version}.`,
    `Tried: the addon built in ${__dirname} (${present.length === 0 ? 'there is none' : present.join(', ')}).`,
    ...reasons(error).map((reason) => `Reason: ${reason}`),
    'What to do: install a Rust toolchain (https://rustup.rs) and run `npm rebuild weighbridge`, which builds the addon ' +
      'for this machine. Do not copy node_modules from another platform.',
  ].join('\n')
}

/** The loader chains one error for each file that it tried. */
function reasons(error: unknown): string[] {
  const found = new Set<string>()
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const reason = cause.message.split('\n')[0] ?? ''
    if (!reason.startsWith('Cannot find native binding') && !reason.startsWith('Cannot find module')) found.add(reason)
  }
  return [...found]
}

function libc(): string {
  if (process.platform !== 'linux') return 'the system libc'
  // Without this the report asks the name server about every open socket.
  const report = process.report as typeof process.report & { excludeNetwork?: boolean }
  report.excludeNetwork = true
  const header = (report.getReport() as unknown as { header: { glibcVersionRuntime?: string } }).header
  return header.glibcVersionRuntime === undefined ? 'musl' : `glibc ${header.glibcVersionRuntime}`
}
