import { execFile } from 'node:child_process'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import Ajv, { type ValidateFunction } from 'ajv'
import { parse } from 'qs'
import type { Asked } from './stripe'

const repository = resolve(__dirname, '..', '..')
const generator = join(repository, 'node_modules', 'ts-json-schema-generator', 'bin', 'ts-json-schema-generator.js')
const contract = join(repository, '__test__', 'contract')

interface Schema {
  definitions: Record<string, { properties?: Record<string, { $ref?: string }> }>
}

/** The type `Requests` of a file as JSON schema. */
async function schemaOf(path: string, tsconfig: string): Promise<Schema> {
  const options = ['--path', path, '--tsconfig', tsconfig, '--type', 'Requests', '--no-type-check']
  const { stdout } = await promisify(execFile)(process.execPath, [generator, ...options], { maxBuffer: 1 << 24 })
  return JSON.parse(stdout) as Schema
}

/** What each request must look like, made from the types of Stripe's own package. */
export class Contract {
  readonly #requests: { line: RegExp; validate: ValidateFunction }[]

  private constructor(schemas: Schema[]) {
    this.#requests = schemas.flatMap(({ definitions: given }, index) => {
      const definitions = {
        ...given,
        // The types leave room for values that are younger than they are; what we send must be among those they know.
        OtherString: { not: {} },
        // An object in JavaScript, text in a form.
        Decimal: { type: 'string', pattern: '^[0-9]+([.][0-9]{1,12})?$' },
      }
      const id = `contract:${index}`
      const ajv = new Ajv({ strict: false, coerceTypes: true, validateSchema: false })
      ajv.addSchema({ $id: id, definitions })
      return Object.entries(given['Requests']?.properties ?? {}).map(([line, { $ref, ...schema }]) => ({
        line: new RegExp(`^${line.replaceAll('{id}', '\\w+')}$`),
        validate: ajv.compile($ref === undefined ? schema : { $ref: `${id}${$ref}` }),
      }))
    })
  }

  static async read(): Promise<Contract> {
    const legacy = join(contract, 'legacy')
    return new Contract(
      await Promise.all([
        schemaOf(join(contract, 'requests.ts'), join(repository, 'tsconfig.json')),
        schemaOf(join(legacy, 'requests.ts'), join(legacy, 'tsconfig.json')),
      ]),
    )
  }

  /** What is wrong with a request; nothing where it is as the types want it. */
  violations({ method, path, query, body, headers }: Asked): string[] {
    const line = `${method} ${path}`
    const request = this.#requests.find((known) => known.line.test(line))
    if (request === undefined) return [`${line} is no request that the contract knows`]
    const isJson = headers['content-type'] === 'application/json'
    const params: unknown = isJson ? JSON.parse(body) : { ...parse(query), ...parse(body) }
    const { validate } = request
    return validate(params)
      ? []
      : (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath}: ${message}`)
  }
}
