/**
 * What is in the pages of a memory that begins at address 0.
 *
 * @module
 */
import { GuestAddress, type GuestMemoryMmap } from "@vmm/guest-memory";
import { PAGE } from "./counter.ts";

/** What is in a page: nobody has touched it, it has zeros alone, or something else. */
export type Content = "absent" | "zero" | "data";

/** Bytes of a memory, at least one, as everybody lists them. */
export type Run = readonly [start: number, length: number];

/**
 * The contents of all pages of memory that is no file's.
 *
 * @param memory The memory. Looking touches no page that is not there.
 */
export function contentsOf(memory: GuestMemoryMmap): Content[] {
  const isThere = pagesIn(memory.residentRanges());
  return Array.from({ length: (memory.lastAddr + 1) / PAGE }, (_, page) => {
    if (!isThere.has(page)) return "absent";
    return memory.isZero(GuestAddress(page * PAGE), PAGE) ? "zero" : "data";
  });
}

/** The numbers of the pages that runs have a part of. */
export function pagesIn(runs: Iterable<Run>): Set<number> {
  const pages = new Set<number>();
  for (const [start, length] of runs) {
    const end = start + length;
    for (let page = Math.floor(start / PAGE); page * PAGE < end; page++) pages.add(page);
  }
  return pages;
}
