/**
 * The state of every page, and when it changed.
 *
 * @module
 */
import { type PageRun, PageState } from "./page_runs.ts";

/** Pages of one state that changed at the same time. */
export interface DatedRun extends PageRun {
  /** When, in ms since the start. */
  readonly at: number;
}

/** What is known of the pages of a memory. */
export class PageMap {
  /** The {@linkcode PageState} of each page. */
  readonly states: Uint8Array<ArrayBuffer>;
  /** When each page changed, in ms since the start, where its state says that it did. */
  readonly changedAt: Uint32Array<ArrayBuffer>;

  /** A map on which all pages are absent. */
  constructor(pages: number) {
    this.states = new Uint8Array(pages);
    this.changedAt = new Uint32Array(pages);
  }

  /**
   * Takes over what is new.
   *
   * @param runs What.
   * @param at When, in ms since the start.
   */
  apply(runs: Iterable<PageRun>, at: number): void {
    for (const { first, count, state } of runs) {
      this.states.fill(state, first, first + count);
      this.changedAt.fill(at, first, first + count);
    }
  }

  /** What is known, as runs: those of absent pages are left out. */
  *runs(): Generator<DatedRun> {
    const { states, changedAt } = this;
    for (let first = 0, end = 0; first < states.length; first = end) {
      const [state, at] = [states[first] as PageState, changedAt[first]!];
      while (end < states.length && states[end] === state && changedAt[end] === at) end++;
      if (state !== PageState.absent) yield { first, count: end - first, state, at };
    }
  }
}
