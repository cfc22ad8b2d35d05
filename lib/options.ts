import { invalidArgument } from './errors.js'
import { native } from './native.js'

/** Refuses what is no object of options, and names that no option has, with the one that was probably meant. */
export function checkOptions(where: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw invalidArgument(`${where} takes an object, got ${options === null ? 'null' : typeof options}`)
  }
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue
    const meant = native().closest(name, [...known])
    throw invalidArgument(
      `${where}: unknown option ${JSON.stringify(name)}` +
        (meant === null ? `; the options are: ${known.join(', ')}` : `; did you mean ${JSON.stringify(meant)}?`),
    )
  }
}

export function checkString(name: string, value: unknown): asserts value is string {
  if (typeof value !== 'string') throw invalidArgument(`\`${name}\` must be a string, got ${describe(value)}`)
}

export function checkNumber(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'number') {
    throw invalidArgument(`\`${name}\` must be a number, got ${describe(value)}`)
  }
}

export function checkFunction(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'function') {
    throw invalidArgument(`\`${name}\` must be a function, got ${describe(value)}`)
  }
}

export function checkBoolean(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'boolean') {
    throw invalidArgument(`\`${name}\` must be a boolean, got ${describe(value)}`)
  }
}

function describe(value: unknown): string {
  return value === null ? 'null' : typeof value
}
