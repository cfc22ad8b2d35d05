import { parseArgs } from 'node:util'

/** In their order: what fills the large store comes last. */
export const PARTS = ['http', 'shared', 'micro', 'simulate', 'open', 'ingest'] as const
export type PartName = (typeof PARTS)[number]

export interface Options {
  only: PartName[]
  /** Under two minutes in all, with smaller stores and fewer rounds: to see that everything works. */
  quick: boolean
  /** Where the figures are written as JSON. */
  json: string | undefined
  /** A directory whose large store is reused, and left there. */
  keep: string | undefined
}

/** What a part is told. */
export interface PartOptions {
  quick: boolean
  /** The directory of the large store. */
  store: string
}

export const USAGE = `npm run bench -- [options]

  --only <parts>   of ${PARTS.join(', ')}; with commas between them; all by default
  --quick          smaller stores, fewer and shorter rounds: under two minutes
  --json <file>    writes the figures there too
  --keep <dir>     keeps the large store in this directory, or takes the one that is there`

export function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string', default: PARTS.join(',') },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      keep: { type: 'string' },
    },
  })
  return {
    only: inOrder(values.only.split(',').map(partName)),
    quick: values.quick,
    json: values.json,
    keep: values.keep,
  }
}

function inOrder(parts: PartName[]): PartName[] {
  return PARTS.filter((part) => parts.includes(part))
}

function partName(name: string): PartName {
  const part = PARTS.find((part) => part === name)
  if (part === undefined) throw new Error(`there is no part "${name}"`)
  return part
}
