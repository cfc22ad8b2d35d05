/** Numbers with their names, in the order in which they first came. */
export class Tally {
  readonly numbers: Record<string, number> = {}

  add(name: string, count = 1): void {
    this.numbers[name] = (this.numbers[name] ?? 0) + count
  }

  most(name: string, value: number): void {
    this.numbers[name] = Math.max(this.numbers[name] ?? 0, value)
  }
}
