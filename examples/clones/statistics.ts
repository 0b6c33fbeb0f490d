/**
 * What many measurements have in common.
 *
 * @module
 */

/** The measurements of a kind, in order of their size. */
export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly p95: number;
  readonly max: number;
}

/**
 * The spread of values.
 *
 * @param values At least one.
 */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  // The least value that a share of all does not exceed.
  const at = (share: number) => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)]!;
  return { min: at(0), median: at(0.5), p95: at(0.95), max: at(1) };
}

/** How many values are in each of some ranges of equal width. */
export interface Histogram {
  /** Where the first range begins. */
  readonly start: number;
  /** How wide each is. */
  readonly width: number;
  /** The values in each. */
  readonly counts: readonly number[];
}

/**
 * Counts values. Outliers are in the last range, so that they do not squeeze all others into one.
 *
 * @param values At least one.
 * @param ranges How many ranges.
 */
export function histogramOf(values: readonly number[], ranges: number): Histogram {
  const { min, p95 } = spreadOf(values);
  // The last range is for what is beyond 95 of 100. Equal values need a width too.
  const width = (p95 - min) / (ranges - 1) || 1;
  const counts = Array.from({ length: ranges }, () => 0);
  for (const value of values) {
    counts[Math.min(ranges - 1, Math.floor((value - min) / width))]!++;
  }
  return { start: min, width, counts };
}
