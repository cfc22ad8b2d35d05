import { type Entry, had, isAcknowledged, type Ledger } from '../ledger.js'
import type { StoredEvent } from '../store.js'
import { type Violation, violation } from '../violation.js'

/**
 * What the client was told is counted is recorded; what it was refused is not; what was never answered may be either.
 * `lost` are markers of which the record was destroyed on purpose.
 */
export function checkAnswers(
  ledger: Ledger,
  events: StoredEvent[],
  lost: ReadonlySet<string> = new Set(),
): Violation[] {
  const recorded = new Map(events.map((event) => [event.marker, event]))
  const wrong = ledger.entries().flatMap((entry) => {
    const { marker } = entry.call
    const event = recorded.get(marker)
    if (event === undefined) return isAcknowledged(entry) && !lost.has(marker) ? [`${marker} is missing`] : []
    return [...unasked(entry), ...differences(entry, event)].map((what) => `${marker} ${what}`)
  })
  const unknown = events.filter(({ marker }) => marker === undefined || ledger.get(marker) === undefined)
  const unexpected = ledger.entries().filter((entry) => had(entry, 'unexpected'))
  const firstDuplicates = ledger.entries().filter(({ attempts: [first] }) => first?.outcome === 'duplicate')
  return violation('answers', [
    ...wrong,
    ...unknown.map(({ sequence, marker }) => `event ${sequence} (${marker}) is of no call`),
    ...unexpected.map(({ call, attempts }) => `${call.marker} got ${attempts.map(({ answer }) => answer).join(', ')}`),
    ...firstDuplicates.map(({ call }) => `${call.marker} was called a duplicate when it was new`),
  ])
}

function unasked(entry: Entry): string[] {
  if (isAcknowledged(entry) || had(entry, 'unanswered')) return []
  return [`is recorded, though answered ${entry.attempts.map(({ answer }) => answer).join(', ')}`]
}

function differences({ call }: Entry, event: StoredEvent): string[] {
  const asCalled =
    event.customerId === call.customer.id &&
    event.meter === call.meter &&
    event.units === call.units &&
    event.id === (call.id ?? null)
  return asCalled ? [] : [`is recorded as ${JSON.stringify(event)}`]
}
