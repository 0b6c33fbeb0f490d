/**
 * How long two actions take, measured in turns.
 *
 * @module
 */
import type { Paint } from "../lib/terminal.ts";
import { speed } from "../lib/units.ts";

/**
 * Runs two actions in turn and keeps the best time of each, so that both meet the same weather.
 *
 * @param rounds How often.
 * @param first One.
 * @param second The other.
 * @returns The best times, in milliseconds.
 */
export function bestOf(
  rounds: number,
  first: () => void,
  second: () => void,
): [first: number, second: number] {
  let [best, bestSecond] = [Infinity, Infinity];
  for (let round = 0; round < rounds; round++) {
    best = Math.min(best, time(first));
    bestSecond = Math.min(bestSecond, time(second));
  }
  return [best, bestSecond];
}

/** How long an action takes, in milliseconds. */
export function time(action: () => void): number {
  const start = performance.now();
  action();
  // The clock may be too coarse for a small file; a speed needs more than 0.
  return Math.max(performance.now() - start, 0.001);
}

/** What a bar shows. */
export interface Bar {
  /** In front of it. */
  readonly label: string;
  /** How long it took, in milliseconds. */
  readonly time: number;
  /** Behind it. */
  readonly note: string;
}

const LONGEST_BAR = 24;
const SHORTEST_BAR = 4;
/** Columns of the text beside a bar. */
const TEXT = 50;

/**
 * A bar for each speed, the fastest as long as there is room.
 *
 * @param bytes What each took its time for.
 * @param bars The times.
 * @param paint Gives the text its colours.
 * @param columns Columns that there are.
 */
export function drawBars(
  bytes: number,
  bars: readonly Bar[],
  paint: Paint,
  columns: number = 80,
): string[] {
  const width = Math.max(SHORTEST_BAR, Math.min(LONGEST_BAR, columns - TEXT));
  const least = Math.min(...bars.map((bar) => bar.time));
  return bars.map(({ label, time, note }) => {
    const bar = "━".repeat(Math.max(1, Math.round(least / time * width))).padEnd(width);
    const figure = speed(bytes, time).padStart(11);
    return `  ${label.padEnd(12)}${paint("cyan", bar)}${paint("bold", figure)}  ${
      paint("dim", note)
    }`;
  });
}
