/**
 * How far a long step is, on a line that is rewritten.
 *
 * @module
 */
import { size } from "../lib/units.ts";

/** How often the line is rewritten at most, so that it costs nothing and does not flicker. */
const INTERVAL_MS = 40;

/** Whatever text goes to, and how many columns it has. */
export interface Screen {
  /** Columns of a line. */
  readonly columns: number;
  /** Writes without a line's end. */
  write(text: string): void;
}

/** The terminal on stdout, or `undefined` where stdout is a file or a pipe. */
export function openScreen(): Screen | undefined {
  if (!Deno.stdout.isTerminal()) return undefined;
  const encoder = new TextEncoder();
  return {
    columns: columnsOfTerminal(),
    write: (text) => void Deno.stdout.writeSync(encoder.encode(text)),
  };
}

/** A progress line. Disposing of it removes the line. Without a screen it does nothing. */
export class Progress implements Disposable {
  readonly #label: string;
  readonly #total: number;
  readonly #screen: Screen | undefined;
  #shownAt: number = -Infinity;

  /**
   * Begins a line.
   *
   * @param label What is going on.
   * @param total Bytes until it is done.
   * @param screen Where to show it.
   */
  constructor(label: string, total: number, screen: Screen | undefined) {
    this.#label = label;
    this.#total = total;
    this.#screen = screen;
  }

  /**
   * Shows how far it is.
   *
   * @param done Bytes that are done.
   */
  update(done: number): void {
    const now = performance.now();
    if (this.#screen === undefined || now - this.#shownAt < INTERVAL_MS) return;
    this.#shownAt = now;
    const share = this.#total === 0 ? 1 : done / this.#total;
    const width = Math.max(4, Math.min(30, this.#screen.columns - 45));
    const filled = Math.round(share * width);
    const bar = "█".repeat(filled) + "░".repeat(width - filled);
    const percent = `${Math.floor(share * 100)}%`.padStart(4);
    const line = `${this.#label.padEnd(10)}${bar}${percent}  ${size(done)} of ${size(this.#total)}`;
    // A line that wraps could not be rewritten.
    this.#screen.write(`\r${line.slice(0, this.#screen.columns - 1)}\x1b[K`);
  }

  /** Removes the line. */
  [Symbol.dispose](): void {
    if (this.#shownAt !== -Infinity) this.#screen?.write("\r\x1b[K");
  }
}

function columnsOfTerminal(): number {
  try {
    const { columns } = Deno.consoleSize();
    return columns > 0 ? columns : 80;
  } catch {
    // A terminal need not know its size.
    return 80;
  }
}
