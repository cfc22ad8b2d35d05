import { crc32 } from 'node:zlib'

/** A line of a journal, with the line feed at its end where it has one. */
export interface JournalLine {
  /** Where it begins and ends in the file, in bytes. */
  from: number
  to: number
  /** `doubtful`: its checksum holds and yet it is not as it was written, so that one may read it or not. */
  state: 'whole' | 'broken' | 'doubtful'
  /** Which call it is of, where that can be read. */
  marker: string | undefined
}

const LINE_FEED = 0x0a

export function journalLines(bytes: Buffer): JournalLine[] {
  const lines: JournalLine[] = []
  for (let from = 0; from < bytes.length;) {
    const end = bytes.indexOf(LINE_FEED, from)
    const to = end === -1 ? bytes.length : end + 1
    lines.push({ from, to, ...read(bytes.subarray(from, end === -1 ? to : end), end !== -1) })
    from = to
  }
  return lines
}

/** `{"checksum":"xxxxxxxx","entry":{…}}`: every part has its place. */
const [HEAD, KEY, TAIL] = ['{"checksum":"', '","entry":', '}']
const CHECKSUM_AT = HEAD.length
const KEY_AT = CHECKSUM_AT + 8
const ENTRY_AT = KEY_AT + KEY.length

function read(line: Buffer, ended: boolean): Pick<JournalLine, 'state' | 'marker'> {
  // One character for each byte.
  const text = line.toString('latin1')
  const marker = /torture-[\w-]+-\d+/.exec(text)?.[0]
  const checksum = text.slice(CHECKSUM_AT, KEY_AT)
  const entry = line.subarray(ENTRY_AT, -TAIL.length)
  const holds = /^[0-9a-f]{8}$/i.test(checksum) && Number.parseInt(checksum, 16) === crc32(entry)
  if (!holds) return { state: 'broken', marker }
  const asWritten =
    ended &&
    text.startsWith(HEAD) &&
    checksum === checksum.toLowerCase() &&
    text.startsWith(KEY, KEY_AT) &&
    text.endsWith(TAIL)
  return { state: asWritten ? 'whole' : 'doubtful', marker }
}
