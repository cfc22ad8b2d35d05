import { invalidArgument } from './errors.js'

/** One secret, or several while one is rolled. An empty one everybody has. */
export function webhookSecrets(name: string, secrets: string | string[]): string[] {
  const list: unknown = typeof secrets === 'string' ? [secrets] : secrets
  if (
    !Array.isArray(list) ||
    list.length === 0 ||
    !list.every((secret) => typeof secret === 'string' && secret !== '')
  ) {
    throw invalidArgument(`\`${name}\` must be a webhook's secret, such as whsec_…, or several of them`)
  }
  return list
}
