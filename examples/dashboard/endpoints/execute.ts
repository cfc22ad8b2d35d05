import { BadRequest } from './badRequest.js'

const MAX_LENGTH = 200
const TOKENS = /\s*(?:(?<number>\d+(?:\.\d+)?)|(?<symbol>[-+*/%()]))/y

/** POST /api/execute `{ expression }`: calculates an arithmetic expression. Nothing of it is ever run as code. */
export function execute(body: unknown): { expression: string; result: number } {
  const { expression } = (body ?? {}) as { expression?: unknown }
  if (typeof expression !== 'string' || expression.trim() === '' || expression.length > MAX_LENGTH) {
    throw new BadRequest(`\`expression\` must be a text of 1 to ${MAX_LENGTH} characters, such as "2 * (3 + 4)"`)
  }
  const result = new Calculation(tokensOf(expression)).result()
  if (!Number.isFinite(result)) throw new BadRequest('the result is not a finite number')
  return { expression, result }
}

function tokensOf(expression: string): string[] {
  const text = expression.trimEnd()
  const tokens: string[] = []
  TOKENS.lastIndex = 0
  while (TOKENS.lastIndex < text.length) {
    const position = TOKENS.lastIndex
    const groups = TOKENS.exec(text)?.groups
    if (groups === undefined) throw new BadRequest(`cannot read the expression from position ${position} on`)
    tokens.push((groups['number'] ?? groups['symbol']) as string)
  }
  return tokens
}

/** Recursive descent: a sum of products of factors. */
class Calculation {
  readonly #tokens: string[]
  #position = 0

  constructor(tokens: string[]) {
    this.#tokens = tokens
  }

  result(): number {
    const value = this.#sum()
    const left = this.#tokens[this.#position]
    if (left !== undefined) throw new BadRequest(`did not expect "${left}"`)
    return value
  }

  #sum(): number {
    let value = this.#product()
    for (;;) {
      if (this.#accept('+')) value += this.#product()
      else if (this.#accept('-')) value -= this.#product()
      else return value
    }
  }

  #product(): number {
    let value = this.#factor()
    for (;;) {
      if (this.#accept('*')) value *= this.#factor()
      else if (this.#accept('/')) value /= this.#factor()
      else if (this.#accept('%')) value %= this.#factor()
      else return value
    }
  }

  #factor(): number {
    if (this.#accept('-')) return -this.#factor()
    if (this.#accept('(')) {
      const value = this.#sum()
      if (!this.#accept(')')) throw new BadRequest('a parenthesis is not closed')
      return value
    }
    const token = this.#tokens[this.#position++]
    if (token === undefined) throw new BadRequest('the expression ends too early')
    if (!/^\d/.test(token)) throw new BadRequest(`did not expect "${token}"`)
    return Number(token)
  }

  #accept(symbol: string): boolean {
    if (this.#tokens[this.#position] !== symbol) return false
    this.#position += 1
    return true
  }
}
