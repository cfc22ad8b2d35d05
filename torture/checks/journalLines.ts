import type { DamagedFile } from '../damage.js'
import { type JournalLine, journalLines } from '../journalLines.js'
import { type Violation, violation } from '../violation.js'

/** What the lines of damaged journals say. */
export interface JournalLines {
  /** Of lines that are whole still: they must be recorded. */
  whole: Set<string>
  /** Of lines that are gone or broken: they may be recorded, where they were before. */
  lost: Set<string>
  /** How many lines must have been set aside at least, and may have been at most. */
  fewestRejected: number
  mostRejected: number
}

/** `recorded` are the markers that were in the database before somebody opened it again. */
export function readDamaged(
  files: Pick<DamagedFile, 'before' | 'after'>[],
  recorded: ReadonlySet<string>,
): JournalLines {
  const lines: JournalLines = { whole: new Set(), lost: new Set(), fewestRejected: 0, mostRejected: 0 }
  for (const { before, after } of files) {
    const originals = journalLines(before)
    const left = journalLines(after)
    for (const { state, marker } of left) {
      if (state === 'whole' && marker !== undefined) lines.whole.add(marker)
      if (state !== 'whole') lines.mostRejected += 1
    }
    for (const { state, from, to } of left) {
      if (state !== 'broken') continue
      // Where all that a line was made of is recorded already, nobody needs to read it again.
      const unread = overlapping(originals, from, to).some(
        ({ marker }) => marker === undefined || !recorded.has(marker),
      )
      if (unread) lines.fewestRejected += 1
    }
    for (const { marker } of originals) {
      if (marker !== undefined && !lines.whole.has(marker)) lines.lost.add(marker)
    }
  }
  return lines
}

export function checkJournalLines(
  { whole, fewestRejected, mostRejected }: JournalLines,
  recorded: ReadonlySet<string | undefined>,
  rejected: number,
): Violation[] {
  const missing = [...whole].filter((marker) => !recorded.has(marker))
  const setAside = rejected >= fewestRejected && rejected <= mostRejected
  return violation('journal lines', [
    ...missing.map((marker) => `${marker} has a whole line and is not recorded`),
    ...(setAside ? [] : [`${rejected} lines were set aside, not ${fewestRejected} to ${mostRejected}`]),
  ])
}

function overlapping(lines: JournalLine[], from: number, to: number): JournalLine[] {
  return lines.filter((line) => line.from < to && line.to > from)
}
