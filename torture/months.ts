import type { Random } from './random.js'

/** The middle of some month, far from where periods change. */
export function someInstant(random: Random): number {
  return Date.UTC(random.whole(2024, 2027), random.whole(0, 11), 15, random.whole(0, 23), 30)
}

/** Three months in a row, by the first instants of the latter two. */
export class ThreeMonths {
  readonly starts: [number, number, number]

  constructor(random: Random) {
    const [year, month] = [random.whole(2024, 2027), random.whole(0, 11)]
    this.starts = [Date.UTC(year, month, 1), Date.UTC(year, month + 1, 1), Date.UTC(year, month + 2, 1)]
  }

  /** Mostly within two seconds of a month's end, before or after it; else anywhere in the months. */
  instant(random: Random): number {
    if (random.chance(0.8)) return random.pick(this.starts.slice(1)) + random.whole(-2_000, 1_000)
    return this.middle(random.pick(this.starts)) + random.whole(-86_400_000, 86_400_000)
  }

  middle(start: number): number {
    return start + 14 * 86_400_000
  }
}
