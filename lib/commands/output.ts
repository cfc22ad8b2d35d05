/** Columns, the first to the left and the others to the right. */
export function table(rows: string[][]): string {
  const width = (column: number): number => Math.max(...rows.map((row) => row[column]?.length ?? 0))
  const line = (row: string[]): string =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(width(0)) : cell.padStart(width(column)))).join('   ')
  return rows.map((row) => `${line(row).trimEnd()}\n`).join('')
}

/** A whole number, with its thousands apart. */
export function count(number: number): string {
  return number.toLocaleString('en')
}

/** A text without the passwords of the URLs in it. */
export function withoutPasswords(text: string): string {
  return text.replace(/(\w+:\/\/[^\s:/@]*):[^\s/]*@/g, '$1:***@').replace(/([?&]password=)[^&\s]*/g, '$1***')
}
