import type { StoredEvent } from '../store.js'
import { type Violation, violation } from '../violation.js'

/** No call is recorded twice. */
export function checkOnce(events: StoredEvent[]): Violation[] {
  const times = new Map<string, number>()
  for (const { marker } of events) {
    if (marker !== undefined) times.set(marker, (times.get(marker) ?? 0) + 1)
  }
  const repeated = [...times].filter(([, count]) => count > 1)
  return violation(
    'once',
    repeated.map(([marker, count]) => `${marker} is recorded ${count} times`),
  )
}
