/**
 * Requests a second, live.
 *
 * @module
 */

/** Shows on a terminal how many requests are served each second. Elsewhere it shows nothing. */
export class Rate implements Disposable {
  readonly #timer: ReturnType<typeof setInterval> | undefined;

  /**
   * Begins to show.
   *
   * @param served How many there were.
   */
  constructor(served: () => number) {
    if (!Deno.stderr.isTerminal()) return;
    let before = served();
    this.#timer = setInterval(() => {
      const now = served();
      const rate = Math.max(0, now - before);
      before = now;
      show(`${rate.toLocaleString("en")} requests/s`);
    }, 1000);
  }

  /** Ends the line. */
  [Symbol.dispose](): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    show("");
  }
}

function show(text: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`\r\x1b[K${text}`));
}
