import { BadRequest } from './badRequest.js'

const MAX_NUMBERS = 10_000
const MOST_FREQUENT = 5

/** POST /api/analyze `{ numbers }` or `{ text }`: what can be said of them in figures. */
export function analyze(body: unknown): Record<string, unknown> {
  const { numbers, text } = (body ?? {}) as { numbers?: unknown; text?: unknown }
  if (isNumbers(numbers)) return statisticsOf(numbers)
  if (typeof text === 'string' && text.trim() !== '') return figuresOf(text)
  throw new BadRequest(`send \`numbers\`, 1 to ${MAX_NUMBERS} finite numbers, or \`text\``)
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.length > 0 && value.length <= MAX_NUMBERS && value.every(Number.isFinite)
}

function statisticsOf(numbers: number[]): Record<string, unknown> {
  const sorted = [...numbers].sort((left, right) => left - right)
  const count = sorted.length
  const mean = sorted.reduce((sum, number) => sum + number, 0) / count
  const variance = sorted.reduce((sum, number) => sum + (number - mean) ** 2, 0) / count
  const middle = sorted.slice(Math.floor((count - 1) / 2), Math.floor(count / 2) + 1)
  const median = middle.reduce((sum, number) => sum + number, 0) / middle.length
  return { count, smallest: sorted[0], largest: sorted.at(-1), mean, median, standardDeviation: Math.sqrt(variance) }
}

function figuresOf(text: string): Record<string, unknown> {
  const words = text.toLowerCase().match(/\p{L}+/gu) ?? []
  const occurrences = new Map<string, number>()
  for (const word of words) occurrences.set(word, (occurrences.get(word) ?? 0) + 1)
  const mostFrequent = [...occurrences].sort((left, right) => right[1] - left[1]).slice(0, MOST_FREQUENT)
  return {
    characters: text.length,
    words: words.length,
    differentWords: occurrences.size,
    sentences: text.split(/[.!?]+(?:\s|$)/).filter((sentence) => sentence.trim() !== '').length,
    mostFrequent: mostFrequent.map(([word, count]) => ({ word, count })),
  }
}
