/**
 * A report as text.
 *
 * @module
 */
import type { BenchmarkRow } from "../benchmark.ts";
import { formatTime } from "../time_text.ts";
import { accessesOf, backendsOf, conditionsOf, ratioText } from "./report.ts";
import { type Report, shortened } from "./report.ts";
import { formatNotes, wrapped } from "./report_notes.ts";

const GAP = "  ";
const LEGEND = "Times as a multiple of the bare array's, with their spread: below 1 is faster";

/** A cell for each line of a table. */
type Column = readonly string[];

/**
 * A report as lines of text: a row for each backend, a column for each access, and as many tables
 * below each other as the width makes necessary; then the reasons for what was not measured.
 *
 * @param report The report.
 * @param width Characters in a line.
 */
export function formatReport(report: Report, width: number): string[] {
  const columns = accessesOf(report).map((access) => columnOf(report, access));
  const names = ["", "", "bare typed array", ...backendsOf(report).map(shortened)];
  const stub = padded(names, "padEnd");
  const yours = new Set(report.yours.map(shortened));
  const tables = sideBySide(columns, width - stub[0]!.length).flatMap((group) => {
    const isShown = (row: number) => {
      const cells = group.map((column) => column[row]!.trim());
      // What is missing in this library's own kinds is no news.
      return cells.some((cell) => cell !== "" && cell !== "-") || yours.has(names[row]!);
    };
    const lines = stub.map((name, row) =>
      [name, ...group.map((column) => column[row]!)].join(GAP).trimEnd()
    );
    return [...lines.filter((_, row) => isShown(row)), ""];
  });
  return [
    ...wrapped(conditionsOf(report), width),
    ...wrapped(LEGEND, width),
    "",
    ...tables,
    ...formatNotes(report, width),
  ];
}

// As many columns in each group as there is room for.
function sideBySide(columns: readonly Column[], room: number): Column[][] {
  const groups: Column[][] = [];
  let left = 0;
  for (const column of columns) {
    const needed = GAP.length + column[0]!.length;
    if (needed > left) {
      groups.push([]);
      left = room;
    }
    groups.at(-1)!.push(column);
    left -= needed;
  }
  return groups;
}

// Two lines of head: what is accessed, and where if that is not in sequence. Then the bare array's
// time, and each backend.
function columnOf({ rows, rounds }: Report, access: string): Column {
  const [what, where = ""] = access.split(", ");
  const ofAccess = rows.filter((row) => row.access === access);
  const cells = ofAccess.map((row) => cellOf(row, rounds > 1));
  return padded([what!, where, formatTime(ofAccess[0]!.bareNs), ...cells], "padStart");
}

function cellOf({ outcome, ratio, spread }: BenchmarkRow, hasSpread: boolean): string {
  const isMeasured = outcome === "measured";
  const figure = isMeasured ? ratioText(ratio!) : outcome === "wrong" ? "wrong" : "-";
  // One round is no spread.
  if (!hasSpread) return figure;
  return figure + (isMeasured ? ` ${Math.round(spread! * 100)}%` : "").padStart(5);
}

function padded(texts: readonly string[], pad: "padStart" | "padEnd"): string[] {
  const width = Math.max(...texts.map(({ length }) => length));
  return texts.map((text) => text[pad](width));
}
