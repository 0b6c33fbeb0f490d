/**
 * What is printed of a guest: as text, and as JSON.
 *
 * @module
 */
import type { Paint } from "../lib/terminal.ts";
import { count, duration, hex, range, size as sizeText } from "../lib/units.ts";
import type { PageMap } from "../view/page_map.ts";
import { type PageNumbers, PageState } from "../view/page_runs.ts";
import type { Guest } from "./attach.ts";
import type { Banner } from "./banner.ts";
import type { Sweep } from "./sweeper.ts";

/** What a guest did while it was watched. */
export interface Watched {
  readonly map: PageMap;
  /** Seconds from the first to the last sweep. */
  readonly seconds: number;
  readonly sweeps: number;
  readonly sweepMs: number;
  readonly last: Sweep;
}

/** The guest, its kernel and its memory map. */
export function formatGuest(guest: Guest, banner: Banner | undefined, paint: Paint): string[] {
  const { name, pid, machine, file, parts } = guest;
  const size = parts.reduce((sum, { len }) => sum + len, 0);
  return [
    `${paint("bold", `${name} ${pid}`)}: ${sizeText(size)} in ${file}${
      machine === null ? "" : paint("dim", `, placed as machine ${machine} does`)
    }`,
    banner === undefined
      ? "no Linux banner is in it: its kernel is not unpacked, or is another"
      : `${banner.text} ${paint("dim", `at ${hex(banner.address)}`)}`,
    "",
    ...parts.map(({ startAddr, len, offset }) =>
      `  ${range(startAddr, len).padEnd(26)} ${sizeText(len).padStart(10)}  ${
        paint("dim", `at ${hex(offset)} of its RAM`)
      }`
    ),
  ];
}

/** One line about what was seen. */
export function formatWatched(pages: PageNumbers, watched: Watched): string {
  const { map, seconds, sweeps, sweepMs, last } = watched;
  const changed = changedPages(map);
  return `${sizeText(last.resident * pages.pageSize)} of ${
    sizeText(pages.count * pages.pageSize)
  } are there; ${count(changed, "page")} changed in ${seconds.toFixed(1)} s; the best of ${
    count(sweeps, "sweep")
  }: ${duration(sweepMs)}`;
}

/** The JSON that `USAGE` describes. */
export function reportOf(
  guest: Guest,
  banner: Banner | undefined,
  pages: PageNumbers,
  watched: Watched,
): Record<string, unknown> {
  const { pid, name, machine, file, parts } = guest;
  const { map, sweeps, sweepMs, last } = watched;
  return {
    pid,
    name,
    machine,
    banner: banner ?? null,
    regions: parts.map(({ startAddr, len, offset }) => ({
      startAddr,
      len,
      file,
      fileOffset: offset,
    })),
    pageSize: pages.pageSize,
    resident: last.resident * pages.pageSize,
    changed: changedPages(map),
    pages: changedRanges(pages, map),
    sweeps,
    sweepMs,
  };
}

function changedPages({ states }: PageMap): number {
  return states.reduce((sum, state) => sum + (state === PageState.guest ? 1 : 0), 0);
}

// Runs end at the ends of regions, as addresses do.
function changedRanges(pages: PageNumbers, { states }: PageMap): [number, number][] {
  const { pageSize } = pages;
  const ranges: [number, number][] = [];
  for (const { firstPage, pages: length, startAddr } of pages.regions) {
    for (let page = 0; page < length; page++) {
      if (states[firstPage + page] !== PageState.guest) continue;
      const address = startAddr + page * pageSize;
      const last = ranges.at(-1);
      if (last !== undefined && last[0] + last[1] === address) last[1] += pageSize;
      else ranges.push([address, pageSize]);
    }
  }
  return ranges;
}
