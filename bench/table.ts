/**
 * What a benchmark prints: a time, its rival's time, and their ratio.
 *
 * @module
 */
import { median, spread } from "./vs_rust/compare/statistics.ts";

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

/**
 * A table as lines of text.
 *
 * @param title What the rows have in common.
 * @param rows The rows.
 */
export function formatTable(title: string, rows: readonly Row[]): string[] {
  const head = [title, "time", "beside", "its time", "ratio", "spread"];
  const cells = rows.map(({ name, ns, rival, rivalNs, ratio, spread }) => [
    name,
    formatTime(ns),
    rival ?? "",
    rivalNs === null ? "" : formatTime(rivalNs),
    ratio?.toFixed(2) ?? "",
    `${Math.round(spread * 100)}%`,
  ]);
  const lines = [head, ...cells];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines.map((line) =>
    line.map((cell, column) =>
      // Text begins where its column does, and figures end there.
      column === 0 || column === 2 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)
    ).join("  ").trimEnd()
  );
}

/**
 * A time in the unit that suits it.
 *
 * @param ns Nanoseconds.
 */
export function formatTime(ns: number): string {
  // A tenth of a nanosecond is what a quiet machine repeats.
  if (ns < 99.95) return `${ns.toFixed(1)} ns`;
  if (ns < 999.5) return `${ns.toFixed(0)} ns`;
  return ns < 999.5e3 ? `${threeDigits(ns / 1e3)} µs` : `${threeDigits(ns / 1e6)} ms`;
}

function threeDigits(figure: number): string {
  return figure.toFixed(figure < 9.995 ? 2 : figure < 99.95 ? 1 : 0);
}
