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
  /** How many are in a line. */
  readonly columns: number;
}

/**
 * Draws pages.
 *
 * @param pages Which.
 * @param lookOf How a page looks, by its number.
 * @param paint Gives the picture its colours.
 * @returns Lines, each with the address of its first page.
 */
export function drawPages(
  { count, size, columns }: Pages,
  lookOf: (page: number) => Look,
  paint: Paint,
): string[] {
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
 */
export function drawHalves(
  columns: number,
  isMarked: (page: number) => boolean,
  paint: Paint,
): string {
  const row = new Row();
  for (let column = 0; column < columns; column++) {
    const half = (isMarked(column) ? 1 : 0) + (isMarked(columns + column) ? 2 : 0);
    row.put(column, HALVES[half]!, half === 0 ? "dim" : "yellow");
  }
  return row.render(paint);
}

/** The column of the first page: an address is left of it. */
const LEFT = 9;
const HALVES = ["·", "▀", "▄", "█"];
