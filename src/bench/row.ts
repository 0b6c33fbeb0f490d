/**
 * What was measured of one thing: its time, beside its rival's.
 *
 * @module
 */
import { median, spread } from "./statistics.ts";

/** One row. */
export interface Row {
  /** What was measured. */
  readonly name: string;
  /** Nanoseconds for each. */
  readonly ns: number;
  /** What it is beside. */
  readonly rival: string | null;
  /** Nanoseconds of the rival. */
  readonly rivalNs: number | null;
  /** `ns / rivalNs`. */
  readonly ratio: number | null;
  /** How far the rounds' ratios are apart, or their times without a rival: see {@linkcode spread}. */
  readonly spread: number;
}

/** What something took in each round, in nanoseconds. */
export interface Times {
  readonly name: string;
  readonly times: readonly number[];
}

/**
 * Makes a row.
 *
 * @param subject What was measured.
 * @param rival What it is beside, measured in the same rounds.
 * @param figure Makes one figure of the rounds' times: their median by default.
 */
export function makeRow(
  { name, times }: Times,
  rival?: Times,
  figure: (times: readonly number[]) => number = median,
): Row {
  const ns = figure(times);
  if (rival === undefined) {
    return { name, ns, rival: null, rivalNs: null, ratio: null, spread: spread(times) };
  }
  const rivalNs = figure(rival.times);
  return {
    name,
    ns,
    rival: rival.name,
    rivalNs,
    ratio: ns / rivalNs,
    spread: spread(times.map((time, round) => time / rival.times[round]!)),
  };
}
