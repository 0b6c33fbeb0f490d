/**
 * How far it is, on a line that is rewritten.
 *
 * @module
 */

/** A progress line. Where the output is no terminal, it does nothing. */
export class Progress implements Disposable {
  readonly #isShown: boolean = Deno.stdout.isTerminal();
  readonly #encoder: TextEncoder = new TextEncoder();
  #label = "";
  #share = 0;
  #start: number = performance.now();
  // When it is going to be done, once something of it is.
  #end: number | undefined;
  readonly #timer: ReturnType<typeof setInterval> | undefined;

  /** Begins a line. */
  constructor() {
    // A turn takes seconds: the remaining time counts down meanwhile.
    if (this.#isShown) this.#timer = setInterval(() => this.#draw(), 1000);
  }

  /**
   * Shows what comes next.
   *
   * @param label What it is.
   * @param share How much is done, from 0 to 1.
   */
  update(label: string, share: number): void {
    // What was built before the first round says nothing of how long the rounds take.
    if (share === 0) this.#start = performance.now();
    else this.#end = this.#start + (performance.now() - this.#start) / share;
    this.#label = label;
    this.#share = share;
    this.#draw();
  }

  /** Removes the line. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    if (this.#isShown) this.#write("\r\x1b[K");
  }

  #draw(): void {
    if (!this.#isShown) return;
    const filled = Math.round(this.#share * 20);
    const bar = "█".repeat(filled) + "░".repeat(20 - filled);
    const left = this.#end === undefined ? "" : `, ${timeLeft(this.#end - performance.now())} left`;
    const line = `${bar} ${Math.round(this.#share * 100)}%  ${this.#label}${left}`;
    this.#write(`\r${line.slice(0, widthOfTerminal() - 1)}\x1b[K`);
  }

  #write(text: string): void {
    Deno.stdout.writeSync(this.#encoder.encode(text));
  }
}

function timeLeft(milliseconds: number): string {
  const seconds = Math.max(1, Math.round(milliseconds / 1000));
  return seconds < 100 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}

function widthOfTerminal(): number {
  try {
    return Deno.consoleSize().columns || 80;
  } catch {
    // A terminal need not know its size.
    return 80;
  }
}
