/**
 * What a program prints: in colours and within its columns where stdout is a terminal.
 *
 * @module
 */
import { screenOf } from "./screen.ts";
import { type Paint, painter } from "./terminal.ts";

/** Stdout. */
export interface Output {
  /** Columns of the terminal; `undefined` where stdout is a file or a pipe. */
  readonly columns: number | undefined;
  /** Gives text its colours, if it is to have any. */
  readonly paint: Paint;
  /** Prints lines. On a terminal, what is longer than its columns continues below. */
  print(lines: readonly string[]): void;
}

/** Opens stdout. */
export function openOutput(): Output {
  const screen = screenOf(Deno.stdout);
  return {
    get columns() {
      return screen?.columns;
    },
    paint: painter(screen !== undefined && !Deno.noColor),
    print(lines) {
      const columns = screen?.columns;
      const shown = columns === undefined ? lines : lines.flatMap((line) => fold(line, columns));
      console.log(shown.join("\n"));
    },
  };
}

/** An escape code that changes how text looks: it takes no column. */
// deno-lint-ignore no-control-regex
const LOOK = /(\x1b\[[\d;]*m)/;

/**
 * Breaks a line where it has a space, or where it has to.
 *
 * @param line The line, which may have colours.
 * @param columns Columns that it may take.
 * @returns Lines. All but the first are indented as the first one is.
 */
export function fold(line: string, columns: number): string[] {
  const indent = /^ */.exec(line)![0].slice(0, columns >> 1);
  const lines: string[] = [];
  // What is in the last line, its columns, and where in it the last space is.
  let [text, width, space] = ["", 0, -1];
  for (const part of line.split(LOOK)) {
    if (LOOK.test(part)) {
      text += part;
      continue;
    }
    for (const character of part) {
      if (width === columns) {
        // A space in the indentation is no place to break.
        const isWord = space > indent.length && character !== " ";
        const end = isWord ? space : text.length;
        lines.push(text.slice(0, end).trimEnd());
        text = indent + text.slice(end).trimStart();
        width = columnsOf(text);
        space = -1;
        if (character === " ") continue;
      }
      if (character === " ") space = text.length;
      text += character;
      width++;
    }
  }
  return [...lines, text];
}

/** Columns that a text takes. */
export function columnsOf(text: string): number {
  return [...text.replaceAll(new RegExp(LOOK, "g"), "")].length;
}
