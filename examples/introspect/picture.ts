/**
 * Memory as a picture of characters, by how long ago each part changed.
 *
 * @module
 */
import { fitting } from "../lib/page_picture.ts";
import { type Paint, Row, type Style } from "../lib/terminal.ts";
import { hex, size as sizeText } from "../lib/units.ts";
import type { PageMap } from "../view/page_map.ts";
import { type PageNumbers, PageState } from "../view/page_runs.ts";

/** Characters in a line. */
const COLUMNS = 64;
/** Columns before them, for the address. */
const LEFT = 14;

interface Look {
  readonly glyph: string;
  readonly style: Style;
  readonly meaning: string;
}

const CHANGED: readonly (Look & { readonly within: number })[] = [
  { within: 1000, glyph: "█", style: "red", meaning: "changed within 1 s" },
  { within: 5000, glyph: "▓", style: "yellow", meaning: "5 s" },
  { within: 30_000, glyph: "▒", style: "green", meaning: "30 s" },
  { within: Infinity, glyph: "▒", style: "blue", meaning: "earlier" },
];
const PRESENT: Look = { glyph: "░", style: "plain", meaning: "there" };
const ABSENT: Look = { glyph: "·", style: "dim", meaning: "not there" };

/**
 * Draws the memory.
 *
 * @param pages How its pages are numbered.
 * @param map What is known of them.
 * @param now The time, in ms since the start.
 * @param lines How many lines there may be, holes and the legend not counted.
 * @param paint Gives the picture its colours.
 * @param width Columns that there are.
 */
export function drawMemory(
  pages: PageNumbers,
  map: PageMap,
  now: number,
  lines: number,
  paint: Paint,
  width: number = 80,
): string[] {
  const columns = fitting(COLUMNS, width - LEFT);
  let perCharacter = 1;
  while (pages.count / perCharacter > columns * lines) perCharacter *= 2;
  const picture: string[] = [];
  for (const { firstPage, pages: count, startAddr } of pages.regions) {
    const perLine = perCharacter * columns;
    for (let start = 0; start < count; start += perLine) {
      const row = new Row().put(
        0,
        hex(startAddr + start * pages.pageSize).padStart(LEFT - 2),
        "dim",
      );
      const end = Math.min(start + perLine, count);
      for (let page = start, column = LEFT; page < end; page += perCharacter, column++) {
        const first = firstPage + page;
        const { glyph, style } = lookOf(
          map,
          first,
          first + Math.min(perCharacter, count - page),
          now,
        );
        row.put(column, glyph, style);
      }
      picture.push(row.render(paint));
    }
  }
  const legend = [...CHANGED, PRESENT, ABSENT]
    .map(({ glyph, style, meaning }) => `${paint(style, glyph)} ${meaning}`).join("  ");
  return [...picture, "", `${legend}  (each ${sizeText(perCharacter * pages.pageSize)})`];
}

function lookOf({ states, changedAt }: PageMap, first: number, end: number, now: number): Look {
  let isPresent = false;
  let newest = -1;
  for (let page = first; page < end; page++) {
    const state = states[page]!;
    if (state === PageState.absent) continue;
    isPresent = true;
    if (state !== PageState.present) newest = Math.max(newest, changedAt[page]!);
  }
  if (newest >= 0) return CHANGED.find(({ within }) => now - newest <= within)!;
  return isPresent ? PRESENT : ABSENT;
}
