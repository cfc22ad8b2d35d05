// Runs one part of the benchmarks in a process of its own and sends its tables to the one that asked.
import type { PartName, PartOptions } from './options.js'
import type { Table } from './table.js'

type Part = (options: PartOptions) => Promise<Table[]>

// Only what a part needs is loaded: one of them measures memory.
const parts: Record<PartName | 'store', () => Promise<Part>> = {
  store: async () => (await import('./largeStore.js')).largeStore,
  http: async () => (await import('./http/http.js')).http,
  shared: async () => (await import('./shared/shared.js')).shared,
  micro: async () => (await import('./micro/micro.js')).micro,
  simulate: async () => (await import('./simulate/simulate.js')).simulate,
  ingest: async () => (await import('./ingest/ingest.js')).ingest,
  open: async () => (await import('./open.js')).open,
}

process.once('disconnect', () => process.exit(1))
const [name, options = '{}'] = process.argv.slice(2)
const part = await parts[name as PartName]()
const tables = await part(JSON.parse(options) as PartOptions)
process.send?.(tables, () => process.exit(0))
