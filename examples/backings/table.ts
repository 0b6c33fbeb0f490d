/**
 * The comparison as text.
 *
 * @module
 */
import { type Paint, Row as Line, type Style } from "../lib/terminal.ts";
import { count, duration, size as sizeText } from "../lib/units.ts";
import { COPIES, type Row } from "./measure.ts";
import type { Report } from "./report.ts";

const MOST_WIDTH = 120;
const GAP = 2;
const NOT_SEEN = "–";

interface Column {
  readonly title: string;
  readonly text: (row: Row) => string;
  readonly right?: true;
}

// The columns from here on have room for the reason why there is no discard.
const BEFORE_DISCARD: readonly Column[] = [
  { title: "map", text: ({ mapMs }) => duration(mapMs!), right: true },
  { title: "first µs", text: ({ firstTouchUs }) => figure(firstTouchUs), right: true },
  { title: "again µs", text: ({ againTouchUs }) => figure(againTouchUs), right: true },
  { title: "GiB/s", text: ({ copyGibPerS }) => figure(copyGibPerS, 1), right: true },
];
const RESIDENT: Column = {
  title: "resident",
  text: ({ residentBefore, residentAfter }) => change(residentBefore, residentAfter, sizeText),
};
const BLOCKS: Column = {
  title: "blocks",
  text: ({ blocksBefore, blocksAfter }) => change(blocksBefore, blocksAfter, String),
};
const FILE: Column = {
  title: "file",
  text: ({ fileUnchanged }) =>
    fileUnchanged === null ? "" : fileUnchanged ? "unchanged" : "CHANGED",
};

/**
 * The table, with what its columns are.
 *
 * @param report The comparison.
 * @param paint Gives the text its colours.
 * @param columns Columns that there are. Where the figures have no room beside the names, they are below.
 */
export function formatTable(
  report: Report,
  paint: Paint,
  columns: number = MOST_WIDTH,
): string[] {
  const width = Math.min(columns, MOST_WIDTH);
  const { rows, size, host, batch, copied, unseen } = report;
  const granted = rows.filter((row) => row.granted);
  const nameWidth = Math.max(...rows.map(({ name }) => name.length));
  const shown = [
    ...BEFORE_DISCARD,
    ...(unseen.resident === null ? [RESIDENT] : []),
    BLOCKS,
    FILE,
  ];
  const discarded = granted.filter(isDiscarded);
  const beside = place(shown, discarded, nameWidth + GAP);
  const { start: lastStart, width: lastWidth } = beside.at(-1)!;
  const isStacked = lastStart + lastWidth > width;
  const places = isStacked ? place(shown, discarded, GAP) : beside;
  const layout = { places, from: isStacked ? GAP : nameWidth + GAP, isStacked, width };
  const header = new Line();
  for (const { column, start, width } of places) {
    header.put(start, aligned(column.title, column, width), "dim");
  }
  return [
    `${paint("bold", `${sizeText(size)} in each backing`)}${paint("dim", ` on ${host}`)}`,
    "",
    trimmed(header, paint),
    ...rows.flatMap((row) => lines(row, layout, paint)),
    "",
    ...[
      `first µs: for each 4 KiB that is touched for the first time; again µs: after the discard. ` +
      `Both: the best batch of ${sizeText(batch)}.`,
      `Touched by writing, read-only mappings by reading, from the last page to the first. ` +
      `GiB/s: memory.read of ${sizeText(copied)}, the best of ${COPIES}.`,
      `resident and blocks: before the discard → after it, by smaps and st_blocks (512 B each).`,
      ...(unseen.resident === null ? [] : [`resident is not shown: ${unseen.resident}`]),
      ...(unseen.blocks === null ? [] : [`blocks of memfds are not shown: ${unseen.blocks}`]),
    ].flatMap((line) => wrapped(line, width).map((part) => paint("dim", part))),
  ];
}

/**
 * The last lines: whether every discard gave its memory back.
 *
 * @param report The comparison.
 * @param paint Gives the text its colours.
 */
export function formatVerdict({ ok, rows, unseen }: Report, paint: Paint): string[] {
  if (!ok) {
    const bad = rows.filter(({ problems }) => problems.length > 0);
    return [
      paint("red", `${count(bad.length, "discard")} did not give the memory back:`),
      ...bad.map(({ name, problems }) => `  ${name}: ${problems.join("; ")}`),
    ];
  }
  if (unseen.resident === null && unseen.blocks === null) {
    return [paint("green", "every discard gave its memory back")];
  }
  return ["every discard reads zero; not all of what it gave back could be seen"];
}

interface Place {
  readonly column: Column;
  readonly start: number;
  readonly width: number;
}

interface Layout {
  readonly places: readonly Place[];
  /** Where the figures begin, or the reason why there are none. */
  readonly from: number;
  /** Whether they are below the names. */
  readonly isStacked: boolean;
  readonly width: number;
}

function place(columns: readonly Column[], rows: readonly Row[], from: number): Place[] {
  let start = from;
  return columns.map((column) => {
    const width = Math.max(column.title.length, ...rows.map((row) => column.text(row).length));
    const placed = { column, start, width };
    start += width + GAP;
    return placed;
  });
}

function lines(row: Row, layout: Layout, paint: Paint): string[] {
  const name = new Line().put(0, row.name, row.problems.length > 0 ? "red" : "plain");
  if (!layout.isStacked) return figures(row, name, layout, paint);
  return [trimmed(name, paint), ...figures(row, new Line(), layout, paint)];
}

function figures(row: Row, line: Line, { places, from, width }: Layout, paint: Paint): string[] {
  const text = (column: number, text: string) => withText(line, column, text, width, paint);
  if (!row.granted) return text(from, `refused: ${row.reason}`);
  const isOver = !isDiscarded(row);
  const shown = isOver ? places.slice(0, BEFORE_DISCARD.length) : places;
  for (const { column, start, width } of shown) {
    line.put(start, aligned(column.text(row), column, width), styleOf(column, row));
  }
  if (!isOver) return [trimmed(line, paint)];
  const { start } = places[BEFORE_DISCARD.length]!;
  return text(
    start,
    row.discardRefused === null ? "the discard failed" : `discard refused: ${row.discardRefused}`,
  );
}

function isDiscarded({ discarded }: Row): boolean {
  return discarded !== null;
}

function styleOf(column: Column, { fileUnchanged }: Row): Style {
  if (column !== FILE) return "plain";
  return fileUnchanged ? "green" : "red";
}

// A text that continues below itself where there is too little room.
function withText(
  line: Line,
  column: number,
  text: string,
  width: number,
  paint: Paint,
): string[] {
  return wrapped(text, width - column).map((part, i) =>
    trimmed((i === 0 ? line : new Line()).put(column, part, "yellow"), paint)
  );
}

function wrapped(text: string, width: number): string[] {
  const parts: string[] = [];
  let part = "";
  for (const word of text.split(" ")) {
    if (part !== "" && part.length + 1 + word.length > width) {
      parts.push(part);
      part = word;
    } else {
      part = part === "" ? word : `${part} ${word}`;
    }
  }
  return [...parts, part];
}

function aligned(text: string, { right }: Column, width: number): string {
  return right ? text.padStart(width) : text;
}

function trimmed(line: Line, paint: Paint): string {
  return line.render(paint).trimEnd();
}

function figure(value: number | null, digits: number = 2): string {
  return value === null ? NOT_SEEN : value.toFixed(digits);
}

function change(
  before: number | null,
  after: number | null,
  text: (value: number) => string,
): string {
  return before === null || after === null ? NOT_SEEN : `${text(before)} → ${text(after)}`;
}
