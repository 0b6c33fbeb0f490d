/**
 * What the program found out.
 *
 * @module
 */
import type { BenchmarkRow } from "../benchmark.ts";

/** What was measured, where and how. */
export interface Report {
  readonly runtime: string;
  readonly machine: string;
  readonly mib: number;
  readonly rounds: number;
  readonly timeMs: number;
  /** The names of the user's backends. */
  readonly yours: readonly string[];
  readonly rows: readonly BenchmarkRow[];
}

/** Where and how it was measured, in one line. */
export function conditionsOf({ runtime, machine, mib, rounds, timeMs }: Report): string {
  const times = `${rounds} round${rounds === 1 ? "" : "s"} of ${timeMs} ms`;
  return `${runtime}, ${machine}, ${mib} MiB each, ${times}`;
}

/** The names of all backends, in their order. */
export function backendsOf({ rows }: Report): string[] {
  return [...new Set(rows.map(({ backend }) => backend))];
}

/** The names of all accesses, in their order. */
export function accessesOf({ rows }: Report): string[] {
  return [...new Set(rows.map(({ access }) => access))];
}

/** Characters of the longest name that is shown in full. */
const NAME_LIMIT = 22;

/** A backend's name, or the beginning of a long one. */
export function shortened(name: string): string {
  return name.length <= NAME_LIMIT ? name : `${name.slice(0, NAME_LIMIT - 1)}…`;
}

/** A ratio in three digits. */
export function ratioText(ratio: number): string {
  return ratio.toFixed(ratio < 9.995 ? 2 : ratio < 99.95 ? 1 : 0);
}
