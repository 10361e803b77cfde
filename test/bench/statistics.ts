/** Middle of the sorted values; of an even number the mean of the two in the middle. NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort()
  const upper = Math.floor(sorted.length / 2)
  if (sorted.length % 2 === 1) return sorted[upper]!
  return sorted.length === 0 ? NaN : (sorted[upper - 1]! + sorted[upper]!) / 2
}

/** The smallest value that at least `share` (above 0, up to 1) of all do not exceed: nearest rank. NaN of none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN
}

/** Median of the ratios within each pair, which what slows both down at the same time does not touch. NaN of none. */
export function medianRatio(pairs: readonly (readonly [value: number, base: number])[]): number {
  return median(pairs.map(([value, base]) => value / base))
}
