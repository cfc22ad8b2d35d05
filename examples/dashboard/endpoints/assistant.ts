import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { BadRequest } from './badRequest.js'

const REPOSITORY = join(__dirname, '../../..')
const MAX_ANSWER = 400

/** A part of a document, from one heading to the next. */
interface Section {
  document: string
  heading: string
  text: string
}

/**
 * Answers from this repository's own documents. An index says in which sections a word occurs; the section that shares
 * the rarest words with the question is the answer.
 */
export class Assistant {
  readonly #sections = documents().flatMap(sectionsOf)
  readonly #index = indexOf(this.#sections)

  /** POST /api/assistant `{ question }` */
  answer(body: unknown): { question: string; answer: string; source: string | null } {
    const { question } = (body ?? {}) as { question?: unknown }
    if (typeof question !== 'string' || question.trim() === '') throw new BadRequest('send a `question`')

    const scores = new Map<Section, number>()
    for (const word of wordsOf(question)) {
      const sections = this.#index.get(word) ?? new Set()
      for (const section of sections) scores.set(section, (scores.get(section) ?? 0) + 1 / sections.size)
    }
    const [best] = [...scores].sort((left, right) => right[1] - left[1])
    if (best === undefined) return { question, answer: 'The documents say nothing about it.', source: null }
    const [{ document, heading, text }] = best
    return { question, answer: text.slice(0, MAX_ANSWER), source: `${document}: ${heading}` }
  }
}

function documents(): string[] {
  return [REPOSITORY, join(REPOSITORY, 'docs'), join(__dirname, '..')]
    .filter((folder) => existsSync(folder))
    .flatMap((folder) =>
      readdirSync(folder)
        .filter((name) => name.endsWith('.md'))
        .map((name) => join(folder, name)),
    )
}

function sectionsOf(path: string): Section[] {
  const document = relative(REPOSITORY, path)
  return readFileSync(path, 'utf8')
    .split(/^#+ /m)
    .map((part) => {
      const [heading = '', ...lines] = part.split('\n')
      return { document, heading: heading.trim(), text: lines.join('\n').trim() }
    })
    .filter(({ text }) => text !== '')
}

function indexOf(sections: Section[]): Map<string, Set<Section>> {
  const index = new Map<string, Set<Section>>()
  for (const section of sections) {
    for (const word of wordsOf(`${section.heading} ${section.text}`)) {
      const holders = index.get(word) ?? new Set()
      index.set(word, holders.add(section))
    }
  }
  return index
}

function wordsOf(text: string): Set<string> {
  return new Set(text.toLowerCase().match(/\p{L}{3,}/gu))
}
