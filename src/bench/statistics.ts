/**
 * What is made of many figures.
 *
 * @module
 */
import { quantile } from "./harness.ts";

/** The median; NaN where there is no figure. */
export function median(figures: readonly number[]): number {
  return quantile(sorted(figures), 0.5);
}

/**
 * How far figures are apart: the distance of their quartiles, over their median. 0.1 says that the
 * middle half of them is within 10%.
 */
export function spread(figures: readonly number[]): number {
  const order = sorted(figures);
  return (quantile(order, 0.75) - quantile(order, 0.25)) / quantile(order, 0.5);
}

/** The geometric mean; NaN where there is no figure. */
export function geometricMean(figures: readonly number[]): number {
  return Math.exp(figures.reduce((sum, figure) => sum + Math.log(figure), 0) / figures.length);
}

function sorted(figures: readonly number[]): number[] {
  return [...figures].sort((a, b) => a - b);
}
