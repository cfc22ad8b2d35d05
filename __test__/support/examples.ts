type Functions = Record<string, unknown>

/**
 * The examples of a text, each an expression and the comment behind or below it that says its value. They are in blocks of
 * TypeScript that begin with a call of one of the functions.
 */
export function examples(text: string, functions: Functions): { expression: string; value: string }[] {
  const blocks = [...text.matchAll(/```ts\n(.*?)```/gs)].map(([, block = '']) => block)
  const names = Object.keys(functions).join('|')
  return blocks.filter((block) => new RegExp(`^(${names})\\(`).test(block)).flatMap((block) => examplesOf(block, names))
}

function examplesOf(block: string, names: string): { expression: string; value: string }[] {
  // The comment's lines are put behind the expression's last one.
  const joined = block.replace(/\n\/\/ /g, ' // ').replace(/(?<= \/\/ .*) \/\/ /g, '\n')
  const example = new RegExp(`^((?:${names})\\(.*?) // (.*?)(?=\\n(?:${names})\\(|\\s*$(?![^]))`, 'gms')
  return [...joined.matchAll(example)].map(([, expression = '', value = '']) => ({ expression, value }))
}

/** Runs an example, and expects the value or the error that it says: `throws: …`. */
export function expectExample(expression: string, value: string, functions: Functions): void {
  const run = (code: string): unknown =>
    new Function(...Object.keys(functions), `return ${code}`)(...Object.values(functions))
  const [, message] = /^throws: (.*)$/s.exec(value) ?? []
  if (message === undefined) expect(run(expression)).toStrictEqual(run(`(${value})`))
  else expect(thrownBy(() => run(expression))).toMatchObject({ name: 'BillingError', message })
}

export function thrownBy(operation: () => unknown): unknown {
  try {
    operation()
  } catch (error) {
    return error
  }
  return 'nothing was refused'
}
