export function median(values: number[]): number {
  return quantile(values, 0.5)
}

/** The smallest value that the given share of all values does not pass. */
export function quantile(values: number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN
}
