import { DatabaseSync, type DatabaseSyncInstance } from '@photostructure/sqlite'
import { join } from 'node:path'

export type Value = number | string | null

/** How long it waits for a lock, milliseconds. */
const PATIENCE = 4_000

/**
 * A store's database, opened by another SQLite than the engine's. This process must therefore never open a Billing on the
 * same directory: two SQLite libraries in one process break each other's locks.
 *
 * The driver keeps a database open until its prepared statements are collected as garbage, and whoever has it open hides
 * a crash from those who open it next. So nothing is prepared here: rows come out through a function of SQL.
 */
export class Database {
  readonly #connection: DatabaseSyncInstance
  #take: (values: Value[]) => void = () => {}

  constructor(dir: string, { readOnly = true }: { readOnly?: boolean } = {}) {
    this.#connection = new DatabaseSync(databasePath(dir), { readOnly, timeout: PATIENCE })
    this.#connection.function('take', { varargs: true }, (...values: Value[]) => {
      this.#take(values)
      return null
    })
  }

  /** What a query finds; `columns` are the names that it gives to what it selects. */
  rows<Row>(columns: (keyof Row & string)[], query: string): Row[] {
    const rows: Row[] = []
    this.#take = (values) => {
      rows.push(Object.fromEntries(columns.map((column, index) => [column, values[index]])) as Row)
    }
    this.#connection.exec(`SELECT take(${columns.join(', ')}) FROM (${query})`)
    return rows
  }

  execute(sql: string): void {
    this.#connection.exec(sql)
  }

  /** For a statement that must change something. */
  change(sql: string): void {
    const changes = (): number =>
      this.rows<{ count: number }>(['count'], 'SELECT total_changes() AS count')[0]?.count ?? 0
    const before = changes()
    this.execute(sql)
    if (changes() === before) throw new Error(`it changed nothing: ${sql}`)
  }

  hasTable(name: string): boolean {
    return (
      this.rows(['name'], `SELECT name FROM sqlite_schema WHERE type = 'table' AND name = ${quoted(name)}`).length > 0
    )
  }

  close(): void {
    this.#connection.close()
  }
}

export function databasePath(dir: string): string {
  return join(dir, 'weighbridge.db')
}

/** For the text of a statement. */
export function quoted(value: string): string {
  return `'${value.replaceAll("'", "''")}'`
}
