// Runs one part of the benchmarks in a process of its own and sends its tables to the one that asked.
import { http } from './http/http.js'
import type { Options, PartName } from './options.js'
import type { Table } from './table.js'

const parts: Record<PartName, (options: Options) => Promise<Table[]>> = { http }

const [name, options = '{}'] = process.argv.slice(2)
const tables = await parts[name as PartName](JSON.parse(options) as Options)
process.send?.(tables, () => process.exit(0))
