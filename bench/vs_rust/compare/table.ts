/**
 * The report as text.
 *
 * @module
 */
import { byteSize, MIB } from "../../workload.ts";
import { parseCaseName } from "./case_name.ts";
import {
  type CopyRow,
  countAhead,
  geomeanOf,
  type Report,
  type Row,
  type SystemCalls,
} from "./report.ts";

/** Gives a text a colour, or returns it unchanged where there are none. */
export type Paint = (colour: "ahead" | "behind" | "dim", text: string) => string;

/** Characters that a figure takes, with the space before it. */
const CASE_WIDTH = 8;
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

function caseTable(
  { rows, virtqueue, byDescriptor, set, systemCalls }: Report,
  paint: Paint,
): string[] {
  const all = [...rows, ...virtqueue.rows, ...byDescriptor.rows];
  const width = Math.max(...all.map(({ name }) => name.length));
  const head = ["Deno ns", "Rust ns", "ratio", "spread", "to set"];
  const inC = systemCalls === null ? "" : `C, ${threadsOf(systemCalls)}`;
  const cWidth = inC.length + 2;
  const headOfC = systemCalls === null
    ? ""
    : columns(cWidth, [inC]) + columns(CASE_WIDTH, ["to C"]);
  return [
    paint("dim", `${"case".padEnd(width)}${columns(CASE_WIDTH, head)}${headOfC}`),
    ...all.flatMap((row, i) => {
      const figures = columns(CASE_WIDTH, [
        nanoseconds(row.deno, "-"),
        nanoseconds(row.rust, "-"),
        ratioOf(row.ratio),
        percent(row.spread),
        ratioOf(set[row.name] ?? null),
      ]);
      const call = systemCalls?.cases[row.name];
      const toC = call === undefined
        ? ""
        : columns(cWidth, [nanoseconds(call.c)]) + columns(CASE_WIDTH, [ratioOf(call.ratio)]);
      const line = `${row.name.padEnd(width)}${figures}${toC}`.trimEnd();
      const painted = paintRatio(line, row.ratio, paint);
      return i > 0 && groupOf(row) !== groupOf(all[i - 1]!) ? ["", painted] : [painted];
    }),
  ];
}

function copyTable(rows: readonly CopyRow[], paint: Paint): string[] {
  if (rows.length === 0) return [];
  const head = ["memcpy ns", "read ns", "ratio", "write ns", "ratio"];
  const sizes = [...new Set(rows.map(({ size }) => size))];
  const width = Math.max(...sizes.map((size) => byteSize(size).length), "copied".length);
  return [
    paint("dim", `${"copied".padEnd(width)}${columns(COPY_WIDTH, head)}`),
    ...sizes.map((size) => {
      const [read, write] = (["read", "write"] as const).map((direction) =>
        rows.find((row) => row.size === size && row.direction === direction)
      );
      return `${byteSize(size).padEnd(width)}${
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
  { rows, geomean, geomeanOfMeans, virtqueue, byDescriptor, systemCalls, set }: Report,
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
  if (virtqueue.geomean !== null) {
    lines.push(
      `Requests of a virtqueue take ${virtqueue.geomean.toFixed(2)} of Rust's time in the ` +
        `geometric mean, ahead in ${countAhead(virtqueue.rows)} of ${virtqueue.rows.length}.`,
    );
  }
  if (byDescriptor.geomean !== null) {
    lines.push(
      `Beside Rust that takes descriptor after descriptor and checks none, they take ` +
        `${byDescriptor.geomean.toFixed(2)}.`,
    );
  }
  const toC = Object.values(systemCalls?.cases ?? {}).map(({ ratio }) => ratio);
  if (systemCalls !== null && toC.length > 0) {
    lines.push(
      `System calls take ${rangeOf(toC)} of C's time in a process with ${threadsOf(systemCalls)}.`,
    );
  }
  const toSet = Object.values(set);
  if (toSet.length > 0) {
    lines.push(`Slices take ${rangeOf(toSet)} of what a bare TypedArray.set takes.`);
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
  return parseCaseName(name).place ?? name.split(/::|\//)[0]!;
}

function paintRatio(line: string, ratio: Row["ratio"], paint: Paint): string {
  return ratio === null ? line : paint(ratio <= 1 ? "ahead" : "behind", line);
}

function columns(width: number, cells: readonly string[]): string {
  return cells.map((cell) => cell.padStart(width)).join("");
}

function rangeOf(ratios: readonly number[]): string {
  return [Math.min(...ratios), Math.max(...ratios)].map(ratioOf).join(" to ");
}

function threadsOf({ threads }: SystemCalls): string {
  return `${threads} thread${threads === 1 ? "" : "s"}`;
}

function nanoseconds(time: number | null, missing: string = ""): string {
  if (time === null) return missing;
  return time < 1000 ? time.toFixed(1) : Math.round(time).toLocaleString("en-US");
}

function ratioOf(ratio: number | null): string {
  return ratio?.toFixed(2) ?? "";
}

function percent(share: number | null): string {
  return share === null ? "" : `${Math.round(share * 100)}%`;
}
