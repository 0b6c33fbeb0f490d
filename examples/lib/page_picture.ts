/**
 * Pictures of memory: a character, or half of one, for each page.
 *
 * @module
 */
import { type Paint, Row, type Style } from "./terminal.ts";
import { hex } from "./units.ts";

/** How a page looks. */
export interface Look {
  /** One character. */
  readonly glyph: string;
  readonly style: Style;
}

/** Which pages there are. */
export interface Pages {
  /** How many, from address 0 on. */
  readonly count: number;
  /** Bytes of each. */
  readonly size: number;
  /** How many are in a line, if they have room in it: else half as many, or a quarter, and so on. */
  readonly columns: number;
}

/**
 * Draws pages.
 *
 * @param pages Which.
 * @param lookOf How a page looks, by its number.
 * @param paint Gives the picture its colours.
 * @param width Columns that there are.
 * @returns Lines, each with the address of its first page.
 */
export function drawPages(
  { count, size, columns: most }: Pages,
  lookOf: (page: number) => Look,
  paint: Paint,
  width: number = 80,
): string[] {
  const columns = fitting(most, width - LEFT);
  const lines: string[] = [];
  for (let first = 0; first < count; first += columns) {
    const row = new Row().put(0, hex(first * size).padStart(8), "dim");
    for (let page = first; page < Math.min(first + columns, count); page++) {
      const { glyph, style } = lookOf(page);
      row.put(LEFT + page - first, glyph, style);
    }
    lines.push(row.render(paint));
  }
  return lines;
}

/**
 * Draws two lines of pages in one: the upper and the lower halves of its characters.
 *
 * @param columns Pages in each of the two.
 * @param isMarked Whether a page is marked, by its number: the lower ones follow the upper ones.
 * @param paint Gives the marks their colour.
 * @param width Columns that there are.
 * @returns Lines: one, if it has room.
 */
export function drawHalves(
  columns: number,
  isMarked: (page: number) => boolean,
  paint: Paint,
  width: number = columns,
): string[] {
  const inLine = fitting(columns, width);
  return Array.from({ length: Math.ceil(columns / inLine) }, (_, line) => {
    const row = new Row();
    const first = line * inLine;
    for (let column = first; column < Math.min(first + inLine, columns); column++) {
      const half = (isMarked(column) ? 1 : 0) + (isMarked(columns + column) ? 2 : 0);
      row.put(column - first, HALVES[half]!, half === 0 ? "dim" : "yellow");
    }
    return row.render(paint);
  });
}

/**
 * How many characters of a picture are in a line.
 *
 * @param most How many there are in a wide line: a power of two, so that addresses stay round.
 * @param room Columns for them.
 * @returns `most`, halved until there is room, but not below 8.
 */
export function fitting(most: number, room: number): number {
  let columns = most;
  while (columns > room && columns > FEWEST) columns = Math.ceil(columns / 2);
  return columns;
}

const FEWEST = 8;
/** The column of the first page: an address is left of it. */
const LEFT = 9;
const HALVES = ["·", "▀", "▄", "█"];
