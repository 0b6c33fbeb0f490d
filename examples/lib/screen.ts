/**
 * The terminal that an output goes to.
 *
 * @module
 */

/** Where text goes, and how many columns it has. */
export interface Screen {
  /** Columns of a line. */
  readonly columns: number;
  /** Writes all of a text, without a line's end. */
  write(text: string): void;
}

/** What a screen can be on: `Deno.stdout` or `Deno.stderr`. */
export interface TerminalOutput {
  isTerminal(): boolean;
  writeSync(bytes: Uint8Array): number;
}

const USUAL_COLUMNS = 80;

/**
 * The terminal on an output.
 *
 * @param output The output.
 * @returns It, or `undefined` where the output is a file or a pipe.
 */
export function screenOf(output: TerminalOutput): Screen | undefined {
  if (!output.isTerminal()) return undefined;
  return {
    // Asked each time, as a window changes its size.
    get columns() {
      return columnsOfTerminal();
    },
    write: (text) => writeAll(output, new TextEncoder().encode(text)),
  };
}

function writeAll(output: TerminalOutput, bytes: Uint8Array): void {
  while (bytes.length > 0) bytes = bytes.subarray(output.writeSync(bytes));
}

function columnsOfTerminal(): number {
  try {
    const { columns } = Deno.consoleSize();
    return columns > 0 ? columns : USUAL_COLUMNS;
  } catch {
    // A terminal need not know its size.
    return USUAL_COLUMNS;
  }
}
