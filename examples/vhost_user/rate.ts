/**
 * Requests a second, live.
 *
 * @module
 */
import { StatusLine } from "../lib/status_line.ts";
import { grouped } from "../lib/units.ts";

/** Shows on a terminal how many requests are served each second. Elsewhere it shows nothing. */
export class Rate implements Disposable {
  readonly #line: StatusLine = new StatusLine();
  readonly #timer: ReturnType<typeof setInterval> | undefined;

  /**
   * Begins to show.
   *
   * @param served How many there were.
   */
  constructor(served: () => number) {
    if (this.#line.columns === undefined) return;
    let before = served();
    this.#timer = setInterval(() => {
      const now = served();
      const rate = Math.max(0, now - before);
      before = now;
      this.#line.show(`${grouped(rate)} requests/s`);
    }, 1000);
  }

  /** Ends the line. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#line[Symbol.dispose]();
  }
}
