/**
 * A picture of a region of memory: a character for each page, by who wrote it.
 *
 * @module
 */
import type { AtomicBitmap } from "@vmm/guest-memory";
import type { Paint, Style } from "../lib/terminal.ts";
import { hex } from "../lib/units.ts";

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
 * @returns Lines, each with the address of its first page.
 */
export function drawPages(
  host: AtomicBitmap,
  guest: AtomicBitmap,
  columns: number,
  paint: Paint,
): string[] {
  const lines: string[] = [];
  for (let first = 0; first < host.len; first += columns) {
    let line = "";
    for (let page = first; page < Math.min(first + columns, host.len); page++) {
      const kind = kindOf(host.isBitSet(page), guest.isBitSet(page));
      line += paint(STYLES[kind], GLYPHS[kind]);
    }
    lines.push(`${paint("dim", hex(first * host.pageSize).padStart(8))} ${line}`);
  }
  return lines;
}

function kindOf(byHost: boolean, byGuest: boolean): keyof typeof GLYPHS {
  if (byHost) return byGuest ? "both" : "host";
  return byGuest ? "guest" : "clean";
}
