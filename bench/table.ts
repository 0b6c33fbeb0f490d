/**
 * What a benchmark prints: a time, its rival's time, and their ratio.
 *
 * @module
 */
import type { Row } from "../src/bench/row.ts";
import { formatTime } from "../src/bench/time_text.ts";

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
