/** One row: what it is, and figures by the names of their columns. */
export type Row = Record<string, string | number>

/** Something that ought to hold, and what was measured. */
export interface Goal {
  what: string
  goal: string
  measured: string
  /** Null where the noise is larger than what is to be told apart. */
  met: boolean | null
}

export interface Table {
  title: string
  /** How it was measured, and what is to be known about it. */
  notes: string[]
  rows: Row[]
  goals: Goal[]
}

export function printTable({ title, notes, rows, goals }: Table): void {
  console.log(`\n## ${title}\n`)
  for (const note of notes) console.log(`${note}\n`)
  printRows(rows)
  if (goals.length === 0) return
  console.log()
  printRows(goals.map(({ what, goal, measured, met }) => ({ goal: `${what}: ${goal}`, measured, '': verdict(met) })))
}

function verdict(met: boolean | null): string {
  if (met === null) return 'too noisy to tell'
  return met ? 'met' : 'MISSED'
}

/** As Markdown, so that it can be pasted into the README. */
function printRows(rows: Row[]): void {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))]
  const line = (cells: string[]): void => console.log(`| ${cells.join(' | ')} |`)
  line(columns)
  line(columns.map(() => '---'))
  for (const row of rows) line(columns.map((column) => text(row[column] ?? '')))
}

function text(cell: string | number): string {
  if (typeof cell === 'string') return cell
  return Number.isNaN(cell) ? 'unknown' : cell.toLocaleString('en', { maximumSignificantDigits: 4 })
}
