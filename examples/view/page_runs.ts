/**
 * Pages of a guest, by number: those of its regions one after another, without the holes.
 *
 * @module
 */
import type { GuestMemory } from "@vmm/guest-memory";

/** What is known of a page. */
export const PageState = {
  /** The host has no memory for it. */
  absent: 0,
  /** It is there, and was not seen to change. */
  present: 1,
  /** The guest has changed it. */
  guest: 2,
  /** The host has changed it, as a device does. */
  host: 3,
} as const;

/** One of {@linkcode PageState}. */
export type PageState = typeof PageState[keyof typeof PageState];

/** Pages of one state that follow each other. */
export interface PageRun {
  /** The number of the first. */
  readonly first: number;
  readonly count: number;
  readonly state: PageState;
}

/** A region as a stretch of pages. */
export interface PageRegion {
  /** The number of its first page. */
  readonly firstPage: number;
  readonly pages: number;
  /** The guest address of its first byte. */
  readonly startAddr: number;
}

/** The pages of a memory. */
export class PageNumbers {
  /** The regions by rising address. */
  readonly regions: readonly PageRegion[];
  /** How many pages there are. */
  readonly count: number;
  /** Bytes of each. */
  readonly pageSize: number;

  /**
   * Numbers the pages of a memory.
   *
   * @param memory The memory.
   * @param pageSize Bytes of each. A region's end that is no whole page is left out.
   */
  constructor(memory: GuestMemory, pageSize: number) {
    this.pageSize = pageSize;
    const regions: PageRegion[] = [];
    let firstPage = 0;
    for (const { startAddr, len } of memory) {
      const pages = Math.floor(len / pageSize);
      regions.push({ firstPage, pages, startAddr });
      firstPage += pages;
    }
    this.regions = regions;
    this.count = firstPage;
  }

  /** The guest address of a page. */
  addressOf(page: number): number {
    const { startAddr, firstPage } = this.regions.findLast(({ firstPage }) => firstPage <= page)!;
    return startAddr + (page - firstPage) * this.pageSize;
  }

  /** The number of the page that has an address; `undefined` where it is in a hole. */
  pageAt(address: number): number | undefined {
    const region = this.regions.findLast(({ startAddr }) => startAddr <= address);
    if (region === undefined) return undefined;
    const page = Math.floor((address - region.startAddr) / this.pageSize);
    return page < region.pages ? region.firstPage + page : undefined;
  }
}
