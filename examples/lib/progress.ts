/**
 * How far a program is.
 *
 * @module
 */
import type { Screen } from "./screen.ts";
import { StatusLine } from "./status_line.ts";

const LONGEST_BAR = 30;
/** Columns that are left for the text, if there are as many. */
const TEXT = 45;
const SHORTEST_BAR = 4;

/** A progress bar on a line that is rewritten. Disposing of it removes the line. */
export class Progress implements Disposable {
  readonly #line: StatusLine;

  /**
   * Makes a bar that is not shown yet.
   *
   * @param screen Where to show it: the terminal on stderr, unless something else is given.
   */
  constructor(screen?: Screen) {
    this.#line = new StatusLine(screen);
  }

  /**
   * Shows how far it is.
   *
   * @param text What is done now.
   * @param done How much is done.
   * @param total How much there is.
   */
  update(text: string, done: number, total: number): void {
    const { columns } = this.#line;
    if (columns === undefined) return;
    const share = total === 0 ? 1 : done / total;
    const width = Math.max(SHORTEST_BAR, Math.min(LONGEST_BAR, columns - TEXT));
    const filled = Math.round(share * width);
    const bar = "█".repeat(filled) + "░".repeat(width - filled);
    this.#line.show(`${bar}${`${Math.floor(share * 100)}%`.padStart(5)}  ${text}`);
  }

  /** Removes the line. */
  [Symbol.dispose](): void {
    this.#line[Symbol.dispose]();
  }
}
