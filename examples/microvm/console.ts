/**
 * The terminal as a guest's console: keys go to the guest as they are typed.
 *
 * @module
 */

/** The terminal on stdin, in the mode that a console wants, until it is disposed of. */
export class Console implements Disposable {
  readonly #isTerminal: boolean;
  readonly #signals: readonly Deno.Signal[];
  readonly #onSignal: () => void;

  /**
   * Turns off the terminal's own editing of lines and its echo. Ctrl-C stays a signal.
   *
   * @param onInput Takes what is typed.
   * @param onStop Called when the user ends the program.
   */
  constructor(onInput: (bytes: Uint8Array) => void, onStop: () => void) {
    this.#onSignal = onStop;
    this.#signals = ["SIGINT", "SIGTERM", "SIGHUP"];
    for (const signal of this.#signals) Deno.addSignalListener(signal, onStop);
    this.#isTerminal = Deno.stdin.isTerminal();
    if (this.#isTerminal) Deno.stdin.setRaw(true, { cbreak: true });
    void this.#read(onInput);
  }

  /** Puts the terminal back into its mode. */
  [Symbol.dispose](): void {
    if (this.#isTerminal) Deno.stdin.setRaw(false);
    for (const signal of this.#signals) Deno.removeSignalListener(signal, this.#onSignal);
  }

  async #read(onInput: (bytes: Uint8Array) => void): Promise<void> {
    const buffer = new Uint8Array(256);
    for (;;) {
      // A terminal that is gone is an end as any other.
      const count = await Deno.stdin.read(buffer).catch(() => null);
      if (count === null) return;
      onInput(buffer.slice(0, count));
    }
  }
}
