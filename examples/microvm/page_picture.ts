/**
 * A picture of a region of memory: a character for each page, by who wrote it.
 *
 * @module
 */
import type { AtomicBitmap } from "@vmm/guest-memory";
import { drawPages } from "../lib/page_picture.ts";
import type { Paint, Style } from "../lib/terminal.ts";

/** How a page looks that the host wrote, the guest, both or nobody. */
export const GLYPHS: Readonly<Record<"host" | "guest" | "both" | "clean", string>> = {
  host: "░",
  guest: "█",
  both: "▓",
  clean: "·",
};

const STYLES: Record<keyof typeof GLYPHS, Style> = {
  host: "blue",
  guest: "green",
  both: "yellow",
  clean: "dim",
};

/**
 * Draws a region that begins at address 0.
 *
 * @param host The pages that the host wrote.
 * @param guest The pages that the guest wrote.
 * @param columns Pages in a line.
 * @param paint Gives the picture its colours.
 * @param width Columns that there are.
 * @returns Lines, each with the address of its first page.
 */
export function drawWriters(
  host: AtomicBitmap,
  guest: AtomicBitmap,
  columns: number,
  paint: Paint,
  width?: number,
): string[] {
  return drawPages(
    { count: host.len, size: host.pageSize, columns },
    (page) => {
      const kind = kindOf(host.isBitSet(page), guest.isBitSet(page));
      return { glyph: GLYPHS[kind], style: STYLES[kind] };
    },
    paint,
    width,
  );
}

function kindOf(byHost: boolean, byGuest: boolean): keyof typeof GLYPHS {
  if (byHost) return byGuest ? "both" : "host";
  return byGuest ? "guest" : "clean";
}
