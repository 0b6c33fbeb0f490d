/**
 * Colours, and lines that are composed column by column.
 *
 * @module
 */
import { styleText } from "node:util";

/** How a piece of text looks where there are colours. */
export type Style = "plain" | "bold" | "dim" | "red" | "green" | "yellow" | "blue" | "cyan";

/** Gives a text its look, or returns it unchanged where there are no colours. */
export type Paint = (style: Style, text: string) => string;

/**
 * The painter for an output.
 *
 * @param colours Whether the output shows colours.
 */
export function painter(colours: boolean): Paint {
  if (!colours) return (_style, text) => text;
  return (style, text) => {
    if (style === "plain" || text === "") return text;
    // It would ask for the environment, which takes a permission.
    return styleText(style, text, { validateStream: false });
  };
}

/** One line of a picture. Later text covers earlier text. */
export class Row {
  readonly #cells: { character: string; style: Style }[] = [];

  /**
   * Writes from a column on.
   *
   * @param column The first column, from 0.
   * @param text The text, a column for each code point.
   * @param style How it looks.
   * @returns This row.
   */
  put(column: number, text: string, style: Style = "plain"): this {
    for (const character of text) {
      while (this.#cells.length < column) this.#cells.push({ character: " ", style: "plain" });
      this.#cells[column++] = { character, style };
    }
    return this;
  }

  /** Columns in use. */
  get width(): number {
    return this.#cells.length;
  }

  /** Whether nothing, or only blanks, is in some columns. */
  isBlank(column: number, width: number): boolean {
    return this.#cells.slice(column, column + width).every((cell) => cell.character === " ");
  }

  /** The line, with neighbours of one style painted together. */
  render(paint: Paint): string {
    let line = "";
    for (let start = 0, end = 0; start < this.#cells.length; start = end) {
      const { style } = this.#cells[start]!;
      let text = "";
      for (; this.#cells[end]?.style === style; end++) text += this.#cells[end]!.character;
      line += paint(style, text);
    }
    return line;
  }
}
