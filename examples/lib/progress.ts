/**
 * How far a program is, on a line of stderr that is rewritten.
 *
 * @module
 */

/** A progress line. Disposing of it removes the line. Without a terminal it does nothing. */
export class Progress implements Disposable {
  readonly #columns: number | undefined = columnsOfTerminal();

  /**
   * Rewrites the line.
   *
   * @param text What is done now.
   * @param done How many are done.
   * @param total How many there are.
   */
  update(text: string, done: number, total: number): void {
    if (this.#columns === undefined) return;
    const line = `${`${done + 1}`.padStart(3)} of ${total}  ${text}`;
    // A line that wraps could not be rewritten.
    write(`\r${line.slice(0, this.#columns - 1)}\x1b[K`);
  }

  /** Removes the line. */
  [Symbol.dispose](): void {
    if (this.#columns !== undefined) write("\r\x1b[K");
  }
}

function write(text: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(text));
}

function columnsOfTerminal(): number | undefined {
  if (!Deno.stderr.isTerminal()) return undefined;
  try {
    const { columns } = Deno.consoleSize();
    return columns > 0 ? columns : 80;
  } catch {
    // A terminal need not know its size.
    return 80;
  }
}
