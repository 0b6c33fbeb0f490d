/**
 * How far it is, on a line that is rewritten.
 *
 * @module
 */
import { writeSync } from "node:fs";
import { stderr } from "node:process";

/** A progress line on stderr. Where that is no terminal, it does nothing. */
export class Progress implements Disposable {
  readonly #isShown: boolean = stderr.isTTY === true;
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
    if (this.#isShown) write("\r\x1b[K");
  }

  #draw(): void {
    if (!this.#isShown) return;
    const filled = Math.round(this.#share * 20);
    const bar = "█".repeat(filled) + "░".repeat(20 - filled);
    const left = this.#end === undefined ? "" : `, ${timeLeft(this.#end - performance.now())} left`;
    const line = `${bar} ${Math.round(this.#share * 100)}%  ${this.#label}${left}`;
    // A terminal need not know its size.
    write(`\r${line.slice(0, (stderr.columns || 80) - 1)}\x1b[K`);
  }
}

// Synchronously: what a stream writes later would be written while something is measured.
function write(text: string): void {
  writeSync(stderr.fd, text);
}

function timeLeft(milliseconds: number): string {
  const seconds = Math.max(1, Math.round(milliseconds / 1000));
  return seconds < 100 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}
