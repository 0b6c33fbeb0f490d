/**
 * A line of a terminal that is rewritten.
 *
 * @module
 */
import { type Screen, screenOf } from "./screen.ts";

/** One line. Disposing of it removes the line. Without a screen it does nothing. */
export class StatusLine implements Disposable {
  readonly #screen: Screen | undefined;
  #isShown = false;

  /**
   * Makes a line that shows nothing yet.
   *
   * @param screen Where to show it: the terminal on stderr, unless something else is given.
   */
  constructor(screen: Screen | undefined = screenOf(Deno.stderr)) {
    this.#screen = screen;
  }

  /** Columns that a text may have; `undefined` where nothing is shown. */
  get columns(): number | undefined {
    // A line that wraps could not be rewritten.
    return this.#screen && this.#screen.columns - 1;
  }

  /**
   * Rewrites the line.
   *
   * @param text What to show, cut where the line ends.
   */
  show(text: string): void {
    if (this.#screen === undefined) return;
    this.#isShown = true;
    this.#screen.write(`\r${text.slice(0, this.columns)}\x1b[K`);
  }

  /** Removes the line. It can be shown again. */
  [Symbol.dispose](): void {
    if (this.#isShown) this.#screen?.write("\r\x1b[K");
    this.#isShown = false;
  }
}
