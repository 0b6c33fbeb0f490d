/**
 * The map of a guest's memory as a picture: all of it to scale, and what was loaded enlarged.
 *
 * @module
 */
import { GuestAddress, type GuestMemory } from "@vmm/guest-memory";
import type { PlacedSegment } from "./placement.ts";
import { type Paint, Row, type Style } from "../lib/terminal.ts";
import { hex, size } from "../lib/units.ts";

/** The last column of the picture, whose first is 0: of 7 GiB, each takes 10 columns. */
const MOST_LAST = 70;
const LEAST_LAST = 20;
/** Columns beside the picture: its indentation, and the end of the last number. */
const BESIDE = 10;

/** How memory looks that a segment takes without bytes in the file. */
export const ZEROED = "░";
/** How memory looks in the overview where something is loaded. */
export const LOADED = "█";

/** How a segment looks, by what the guest may do with it. */
export function look({ access }: PlacedSegment): { glyph: string; style: Style } {
  if (access.includes("w")) {
    return access.includes("x") ? { glyph: "▚", style: "red" } : { glyph: "▓", style: "yellow" };
  }
  return access.includes("x") ? { glyph: "█", style: "green" } : { glyph: "▒", style: "blue" };
}

/**
 * Draws the picture.
 *
 * @param memory The memory.
 * @param segments What was loaded into it.
 * @param paint Gives the text its colours.
 * @param columns Columns that there are.
 * @returns Lines of at most 78 columns.
 */
export function drawMemory(
  memory: GuestMemory,
  segments: readonly PlacedSegment[],
  paint: Paint,
  columns: number = 80,
): string[] {
  const width = Math.max(LEAST_LAST, Math.min(MOST_LAST, columns - BESIDE));
  const overview = new Overview(memory, width);
  const [first, last] = overview.markLoaded(segments);
  overview.nameParts();
  // The box of the enlargement hangs from the columns that it enlarges.
  overview.bottom.put(first, "┬").put(last, "┬");
  const start = lowest(segments);
  const end = highest(segments) + 1;
  return [
    ...overview.rows,
    new Row().put(0, `┌${"─".repeat(width - 1)}┐`).put(first, "┴").put(last, "┴"),
    enlarge(segments, start, end, width),
    new Row().put(0, `└${"─".repeat(width - 1)}┘`),
    rulerOf(start, end, width),
  ].map((row) => `  ${row.render(paint)}`);
}

/** All of the memory: a box for each region, a gap for each hole. */
class Overview {
  readonly bottom = new Row();
  readonly #ruler = new Row();
  readonly #top = new Row();
  readonly #inside = [new Row(), new Row()];
  readonly #memory: GuestMemory;
  readonly #end: number;
  // The last column.
  readonly #last: number;

  constructor(memory: GuestMemory, last: number) {
    this.#memory = memory;
    this.#last = last;
    this.#end = memory.lastAddr + 1;
    for (const { startAddr, len } of memory) this.#drawBox(startAddr, startAddr + len);
  }

  get rows(): Row[] {
    return [this.#ruler, this.#top, ...this.#inside, this.bottom];
  }

  /** Marks where segments are. Returns the first and the last column of them. */
  markLoaded(segments: readonly PlacedSegment[]): [number, number] {
    for (const { start, length } of segments) {
      const [first, last] = [this.#columnInside(start), this.#columnInside(start + length - 1)];
      for (const row of this.#inside) row.put(first, LOADED.repeat(last - first + 1), "cyan");
    }
    return [this.#columnInside(lowest(segments)), this.#columnInside(highest(segments))];
  }

  /** Writes the name and the size of each region and hole where there is room left. */
  nameParts(): void {
    let [index, end] = [0, 0];
    for (const { startAddr, len } of this.#memory) {
      this.#write(end, startAddr, ["hole", size(startAddr - end)], "dim");
      end = startAddr + len;
      this.#write(startAddr, end, [`RAM ${index++}`, size(len)], "bold");
    }
  }

  #drawBox(start: number, end: number): void {
    const [left, right] = [this.#column(start), this.#column(end)];
    const edge = "─".repeat(Math.max(0, right - left - 1));
    const follows = !this.#top.isBlank(left, 1);
    this.#top.put(left, `${follows ? "┬" : "┌"}${edge}┐`);
    this.bottom.put(left, `${follows ? "┴" : "└"}${edge}┘`);
    for (const row of this.#inside) row.put(left, "│").put(right, "│");
    for (const address of [start, end]) {
      const text = address === 0 ? "0" : size(address);
      const column = this.#column(address);
      if (this.#ruler.isBlank(column - 1, text.length + 2)) this.#ruler.put(column, text, "dim");
    }
  }

  #write(start: number, end: number, texts: readonly string[], style: Style): void {
    const right = this.#column(end);
    this.#inside.forEach((row, i) => {
      const text = texts[i]!;
      let left = this.#column(start) + 1;
      while (left < right && !row.isBlank(left, right - left)) left++;
      const column = left + Math.floor((right - left - text.length) / 2);
      if (column >= left) row.put(column, text, style);
    });
  }

  #column(address: number): number {
    return Math.round(address / this.#end * this.#last);
  }

  // Borders have no room for what is next to them: it shows in the nearest column of its region.
  #columnInside(address: number): number {
    const { startAddr, len } = this.#memory.findRegion(GuestAddress(address))!;
    const column = Math.floor(address / this.#end * this.#last);
    const [left, right] = [this.#column(startAddr), this.#column(startAddr + len)];
    return Math.max(left + 1, Math.min(right - 1, column));
  }
}

/** The part of the memory from `start` to `end` over the whole width. */
function enlarge(
  segments: readonly PlacedSegment[],
  start: number,
  end: number,
  lastColumn: number,
): Row {
  const row = new Row().put(0, "│");
  const scale = (lastColumn - 1) / (end - start);
  // The first column and the number of columns that a range touches.
  const columns = (from: number, length: number): [number, number] => {
    const first = Math.floor((from - start) * scale);
    return [1 + first, Math.max(1, Math.ceil((from + length - start) * scale) - first)];
  };
  // Smaller ones over larger ones, so that none vanishes where several share a column.
  for (const segment of segments.toSorted((a, b) => b.length - a.length)) {
    const { glyph, style } = look(segment);
    const [first, all] = columns(segment.start, segment.length);
    const inFile = segment.fileSize > 0 ? columns(segment.start, segment.fileSize)[1] : 0;
    row.put(first, glyph.repeat(inFile) + ZEROED.repeat(all - inFile), style);
  }
  for (const { index, start, length } of segments) {
    const [first, all] = columns(start, length);
    const label = ` ${index} `;
    // The columns at both ends may belong to a neighbour.
    if (all - 2 >= label.length) {
      row.put(first + Math.floor((all - label.length) / 2), label, "bold");
    }
  }
  // Over a last segment that is rounded up.
  return row.put(lastColumn, "│");
}

function rulerOf(start: number, end: number, last: number): Row {
  const [left, middle, right] = [hex(start), size(end - start), hex(end - 1)];
  return new Row().put(0, left, "dim").put((last + 1 - middle.length) >> 1, middle, "dim")
    .put(last + 1 - right.length, right, "dim");
}

function lowest(segments: readonly PlacedSegment[]): number {
  return segments.reduce((least, { start }) => Math.min(least, start), Infinity);
}

function highest(segments: readonly PlacedSegment[]): number {
  return segments.reduce((most, { start, length }) => Math.max(most, start + length - 1), 0);
}
