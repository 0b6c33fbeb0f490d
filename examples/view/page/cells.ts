/**
 * What each cell of the map shows: the newest change among its pages, and how many are there.
 *
 * @module
 */
import type { PageMap } from "../page_map.ts";
import { type PageRun, PageState } from "../page_runs.ts";
import type { MapLayout } from "./map_layout.ts";

/** A cell that has no page. */
export const NOTHING = 255;

/** The cells of a layout. */
export class Cells {
  /** The {@linkcode PageState} of the page that changed last, or {@linkcode NOTHING}. */
  readonly states: Uint8Array;
  /** When it changed, in ms of the source. */
  readonly changedAt: Uint32Array;
  /** How many of its pages are there, from 0 to 255 for all. */
  readonly filled: Uint8Array;
  /** Which pages they show. */
  readonly layout: MapLayout;
  readonly #map: PageMap;

  constructor(layout: MapLayout, map: PageMap) {
    this.layout = layout;
    this.#map = map;
    this.states = new Uint8Array(layout.cells);
    this.changedAt = new Uint32Array(layout.cells);
    this.filled = new Uint8Array(layout.cells);
    for (let cell = 0; cell < layout.cells; cell++) this.#look(cell);
  }

  /** Looks again at the cells of some pages. */
  update(runs: Iterable<PageRun>): void {
    for (const { first, count } of runs) {
      const end = this.layout.cellOf(first + count - 1);
      for (let cell = this.layout.cellOf(first); cell <= end; cell++) this.#look(cell);
    }
  }

  /** The page of a cell that is of most interest: changed last, or there, or the first. */
  pageOf(cell: number): number | undefined {
    const [first, end] = this.layout.pagesOf(cell);
    if (first === end) return undefined;
    const { states, changedAt } = this.#map;
    let best = first;
    for (let page = first; page < end; page++) {
      const isChanged = states[page]! >= PageState.guest;
      const isBetter = isChanged
        ? states[best]! < PageState.guest || changedAt[page]! > changedAt[best]!
        : states[best]! === PageState.absent && states[page]! !== PageState.absent;
      if (isBetter) best = page;
    }
    return best;
  }

  #look(cell: number): void {
    const [first, end] = this.layout.pagesOf(cell);
    const { states, changedAt } = this.#map;
    let present = 0;
    let state: number = first === end ? NOTHING : PageState.absent;
    let newest = 0;
    for (let page = first; page < end; page++) {
      const own = states[page]!;
      if (own === PageState.absent) continue;
      present++;
      if (own === PageState.present) {
        if (state === PageState.absent) state = PageState.present;
      } else if (state < PageState.guest || changedAt[page]! > newest) {
        state = own;
        newest = changedAt[page]!;
      }
    }
    this.states[cell] = state;
    this.changedAt[cell] = newest;
    // One page of 512 shows, too.
    this.filled[cell] = present === 0 ? 0 : Math.max(1, Math.floor(255 * present / (end - first)));
  }
}
