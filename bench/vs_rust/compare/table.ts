/**
 * The report as text.
 *
 * @module
 */
import { MIB, sizeName } from "../../workload.ts";
import { parseCaseName } from "./case_name.ts";
import { type CopyRow, countAhead, geomeanOf, type Report, type Row } from "./report.ts";

/** Gives a text a colour, or returns it unchanged where there are none. */
export type Paint = (colour: "ahead" | "behind" | "dim", text: string) => string;

/** Characters that a figure takes, with the space before it. */
const CASE_WIDTH = 9;
const COPY_WIDTH = 12;

/**
 * The crate's cases, the copies, and what they come to.
 *
 * @param report The report.
 * @param paint Gives the text its colours.
 * @returns The lines.
 */
export function formatReport(report: Report, paint: Paint): string[] {
  const anonymous = report.copies.filter(({ backend }) => backend === "anonymous");
  return [
    ...caseTable(report, paint),
    "",
    ...copyTable(anonymous, paint),
    "",
    ...summary(report, anonymous),
  ];
}

function caseTable({ rows, set }: Report, paint: Paint): string[] {
  const width = Math.max(...rows.map(({ name }) => name.length));
  const head = ["Deno ns", "Rust ns", "ratio", "spread", "to set"];
  return [
    paint("dim", `${"case".padEnd(width)}${columns(CASE_WIDTH, head)}`),
    ...rows.flatMap((row, i) => {
      const figures = columns(CASE_WIDTH, [
        nanoseconds(row.deno),
        nanoseconds(row.rust),
        ratioOf(row.ratio),
        percent(row.spread),
        ratioOf(set[row.name] ?? null),
      ]);
      const line = paintRatio(`${row.name.padEnd(width)}${figures}`.trimEnd(), row.ratio, paint);
      return i > 0 && groupOf(row) !== groupOf(rows[i - 1]!) ? ["", line] : [line];
    }),
  ];
}

function copyTable(rows: readonly CopyRow[], paint: Paint): string[] {
  if (rows.length === 0) return [];
  const head = ["memcpy ns", "read ns", "ratio", "write ns", "ratio"];
  const sizes = [...new Set(rows.map(({ size }) => size))];
  const width = Math.max(...sizes.map((size) => sizeName(size).length), "copied".length);
  return [
    paint("dim", `${"copied".padEnd(width)}${columns(COPY_WIDTH, head)}`),
    ...sizes.map((size) => {
      const [read, write] = (["read", "write"] as const).map((direction) =>
        rows.find((row) => row.size === size && row.direction === direction)
      );
      return `${sizeName(size).padEnd(width)}${
        columns(COPY_WIDTH, [
          nanoseconds(read?.rust ?? null),
          nanoseconds(read?.deno ?? null),
          ratioOf(read?.ratio ?? null),
          nanoseconds(write?.deno ?? null),
          ratioOf(write?.ratio ?? null),
        ])
      }`.trimEnd();
    }),
  ];
}

function summary(
  { rows, geomean, geomeanOfMeans, set }: Report,
  copies: readonly CopyRow[],
): string[] {
  const lines = [];
  if (geomean !== null) {
    lines.push(
      `Deno takes ${geomean.toFixed(2)} of Rust's time in the geometric mean, and is ahead in ` +
        `${countAhead(rows)} of ${rows.length} cases.`,
    );
  }
  if (geomeanOfMeans !== null) {
    lines.push(
      `With what medians leave out, such as garbage collection, it takes ` +
        `${geomeanOfMeans.toFixed(2)}.`,
    );
  }
  const toSet = Object.values(set);
  if (toSet.length > 0) {
    const [least, most] = [Math.min(...toSet), Math.max(...toSet)].map((ratio) => ratio.toFixed(2));
    lines.push(`Slices take ${least} to ${most} of what a bare TypedArray.set takes.`);
  }
  const large = copies.filter(({ size }) => size >= MIB);
  for (const [which, rows] of [["of all sizes", copies], ["from 1 MiB", large]] as const) {
    const mean = geomeanOf(rows);
    if (mean === null) continue;
    lines.push(
      `Copies ${which} take ${mean.toFixed(2)} of memcpy's time in the geometric mean, ` +
        `${countAhead(rows, 1 / 0.95)} of ${rows.length} at most 1.05.`,
    );
  }
  return lines;
}

function groupOf({ name }: Row): string {
  return parseCaseName(name).place ?? name.split("::")[0]!;
}

function paintRatio(line: string, ratio: Row["ratio"], paint: Paint): string {
  return ratio === null ? line : paint(ratio <= 1 ? "ahead" : "behind", line);
}

function columns(width: number, cells: readonly string[]): string {
  return cells.map((cell) => cell.padStart(width)).join("");
}

function nanoseconds(time: number | null): string {
  if (time === null) return "";
  return time < 1000 ? time.toFixed(1) : Math.round(time).toLocaleString("en-US");
}

function ratioOf(ratio: number | null): string {
  return ratio?.toFixed(2) ?? "";
}

function percent(share: number | null): string {
  return share === null ? "" : `${Math.round(share * 100)}%`;
}
