/** Colours and moving lines are for people who watch: in a pipe, or with NO_COLOR, there are none. */
const isTerminal = process.stdout.isTTY === true
const hasColours = isTerminal && (process.env['NO_COLOR'] ?? '') === ''

const paint = (code: number) => (text: string) => (hasColours ? `\u001b[${code}m${text}\u001b[0m` : text)
export const bold = paint(1)
export const dim = paint(2)
export const green = paint(32)
export const red = paint(31)

export type Column = { title: string; align?: 'right' }

export function print(text = ''): void {
  process.stdout.write(`${text}\n`)
}

export function heading(text: string): void {
  print(`\n${bold(text)}`)
}

/** Columns as wide as their widest cell. A last row that sums the others stands apart. */
export function table(columns: Column[], rows: string[][], total?: string[]): void {
  const titles = columns.map(({ title }) => title)
  const all = total === undefined ? [titles, ...rows] : [titles, ...rows, total]
  const widths = columns.map((_, index) => Math.max(...all.map((row) => row[index]?.length ?? 0)))
  const line = (row: string[]): string =>
    columns
      .map(({ align }, index) => {
        const cell = row[index] ?? ''
        const width = widths[index] ?? 0
        return align === 'right' ? cell.padStart(width) : cell.padEnd(width)
      })
      .join('  ')
      .trimEnd()
  print(`  ${dim(line(titles))}`)
  for (const row of rows) print(`  ${line(row)}`)
  if (total !== undefined) print(`  ${bold(line(total))}`)
}

export function count(number: number): string {
  return number.toLocaleString('en-US')
}

/** An exact decimal with at least two places; none is ever cut off. */
export function money(decimal: string): string {
  const [whole = '0', fraction = ''] = decimal.split('.')
  return `${BigInt(whole).toLocaleString('en-US')}.${fraction.padEnd(2, '0')}`
}

/** How far a piece of work has come: one line that is written over in a terminal, a line for each quarter elsewhere. */
export class Progress {
  readonly #label: string
  readonly #total: number
  readonly #started = performance.now()
  #done = 0
  #shownAt = 0

  constructor(label: string, total: number) {
    this.#label = label
    this.#total = total
  }

  advance = (): void => {
    this.#done += 1
    if (!isTerminal) {
      const quarter = Math.ceil(this.#total / 4)
      if (this.#done % quarter === 0 || this.#done === this.#total) print(`  ${this.#line()}`)
      return
    }
    if (performance.now() - this.#shownAt < 50) return
    this.#shownAt = performance.now()
    process.stdout.write(`\r\u001b[K  ${this.#line()}`)
  }

  /** Leaves the line as it is at the end. */
  finish(): void {
    if (isTerminal) process.stdout.write(`\r\u001b[K  ${this.#line()}\n`)
  }

  #line(): string {
    const seconds = (performance.now() - this.#started) / 1000
    const rate = count(Math.round(this.#done / seconds))
    return `${this.#label.padEnd(24)} ${count(this.#done).padStart(6)} of ${count(this.#total)}   ${rate} per second`
  }
}

/** What the demo claims, each claim measured. */
export class Checks {
  #made = 0
  #failures = 0

  /** @param otherwise what was measured where the claim does not hold. */
  claim(holds: boolean, text: string, otherwise = ''): void {
    this.#made += 1
    if (holds) return print(`  ${green('✓')} ${text}`)
    this.#failures += 1
    print(`  ${red('✗')} ${text}${otherwise === '' ? '' : `: ${red(otherwise)}`}`)
  }

  /** Says how it went, and lets the process end with 1 where a claim did not hold. */
  conclude(): void {
    print()
    if (this.#failures === 0) return print(bold(`All ${this.#made} claims marked ✓ were measured, and hold.`))
    print(bold(red(`${this.#failures} of ${this.#made} claims do not hold: they are marked ✗.`)))
    process.exitCode = 1
  }
}
