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

/** The cells of a layout. Only those that were asked for are known: {@linkcode Cells.look}. */
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
  readonly #isKnown: Uint8Array;

  constructor(layout: MapLayout, map: PageMap) {
    this.layout = layout;
    this.#map = map;
    this.states = new Uint8Array(layout.cells);
    this.changedAt = new Uint32Array(layout.cells);
    this.filled = new Uint8Array(layout.cells);
    this.#isKnown = new Uint8Array(layout.cells);
  }

  /** Looks at the pages of some cells, unless they are the same as when it did so before. */
  look(first: number, end: number): void {
    for (let cell = first; cell < end; cell++) {
      if (this.#isKnown[cell] === 0) this.#look(cell);
    }
  }

  /** Some pages are not the same any more. */
  forget(runs: Iterable<PageRun>): void {
    for (const { first, count } of runs) {
      const end = this.layout.cellOf(first + count - 1) + 1;
      this.#isKnown.fill(0, this.layout.cellOf(first), end);
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
    this.#isKnown[cell] = 1;
    this.states[cell] = state;
    this.changedAt[cell] = newest;
    // One page of 512 shows, too.
    this.filled[cell] = present === 0 ? 0 : Math.max(1, Math.floor(255 * present / (end - first)));
  }
}
