/// <reference lib="dom" />
/**
 * The map on its canvas. An image with a pixel for each visible cell is made, and drawn enlarged: the
 * time depends on what is visible, not on the memory.
 *
 * @module
 */
import type { Cells } from "./cells.ts";
import { fitCanvas } from "./elements.ts";
import { MapLayout, MOST_LEVEL, type Region } from "./map_layout.ts";
import type { Palette } from "./palette.ts";
import { address } from "./texts.ts";

// In pixels of CSS.
const LEAST_CELL = 6;
const LEAST_COLUMNS = 8;
const LABEL_DISTANCE = 22;
const HALF_LINE = 7;
const LABEL_FONT = "12px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace";
const GUTTER_GAP = 10;
const MOST_GAP = 3;
// How much higher than wide a cell may be.
const HIGHEST = 1.7;

/** What is drawn. */
export interface MapState {
  readonly cells: Cells;
  /** The first visible row, with its part that is not. */
  readonly scroll: number;
  /** The source's time, in ms. */
  readonly now: number;
  /** A cell that is pointed at, and one that is kept; -1 for none. */
  readonly hovered: number;
  readonly kept: number;
}

/** The canvas of the map. */
export class MemoryCanvas {
  readonly #canvas: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  readonly #small = document.createElement("canvas");
  readonly #smallContext: CanvasRenderingContext2D;
  readonly #pageSize: number;
  #image: ImageData | undefined;
  #words = new Uint32Array(0);
  #columns = 32;
  // In pixels of the screen.
  #ratio = 1;
  #cell = LEAST_CELL;
  #row = LEAST_CELL;
  #gutter = 0;

  /**
   * Takes a canvas.
   *
   * @param pageSize Bytes of a page, for the addresses of rows.
   */
  constructor(canvas: HTMLCanvasElement, pageSize: number) {
    this.#pageSize = pageSize;
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d", { alpha: false })!;
    this.#smallContext = this.#small.getContext("2d")!;
  }

  /** Cells in a row. */
  get columns(): number {
    return this.#columns;
  }

  /** How many rows are visible. */
  get visibleRows(): number {
    return this.#canvas.height / this.#row;
  }

  /** The height of a row, in pixels of CSS. */
  get rowHeight(): number {
    return this.#row / this.#ratio;
  }

  /**
   * Measures what there is room for. The columns may be others afterwards: a power of two, so that
   * each row begins at a round address.
   *
   * @param width Pixels of CSS. What is not used is left free.
   */
  measure(regions: readonly Region[], width: number): void {
    this.#ratio = devicePixelRatio;
    const context = this.#context;
    context.font = LABEL_FONT;
    const highest = Math.max(
      0,
      ...regions.map(([, pages, start]) => start + pages * this.#pageSize),
    );
    this.#gutter = Math.ceil(
      (context.measureText(address(highest)).width + GUTTER_GAP) * this.#ratio,
    );
    const room = Math.floor(width * this.#ratio) - this.#gutter;
    this.#columns = 16;
    while (room / (2 * this.#columns) >= LEAST_CELL * this.#ratio) this.#columns *= 2;
    // A small memory has larger cells.
    const { clientHeight } = this.#canvas;
    for (let half = this.#columns / 2; half >= LEAST_COLUMNS; half /= 2) {
      const high = new MapLayout(regions, half, 0).rows * (room / half);
      if (high > clientHeight * this.#ratio) break;
      this.#columns = half;
    }
    this.#cell = Math.max(1, Math.floor(room / this.#columns));
    this.#row = this.#cell;
    this.#canvas.style.width = `${(this.#gutter + this.#columns * this.#cell) / this.#ratio}px`;
    fitCanvas(this.#canvas);
  }

  /** Makes rows higher where all of them have room so. */
  stretch(rows: number): void {
    const room = Math.floor(this.#canvas.height / rows);
    this.#row = Math.max(this.#cell, Math.min(room, Math.floor(this.#cell * HIGHEST)));
  }

  /** The smallest level at which all of a memory is visible, or the largest that there is. */
  levelToFit(regions: readonly Region[]): number {
    const most = this.#canvas.height / this.#cell;
    let level = 0;
    const rows = () => new MapLayout(regions, this.#columns, level).rows;
    while (level < MOST_LEVEL && rows() > most) level++;
    return level;
  }

  /** The cell at a place in the canvas, in pixels of CSS; -1 where there is none. */
  cellAt(x: number, y: number, { cells, scroll }: MapState): number {
    const column = Math.floor((x * this.#ratio - this.#gutter) / this.#cell);
    const row = Math.floor(y / this.rowHeight + scroll);
    const isInside = column >= 0 && column < this.#columns && row >= 0 && row < cells.layout.rows;
    return isInside ? row * this.#columns + column : -1;
  }

  /** Draws. */
  draw(state: MapState, palette: Palette): void {
    const context = this.#context;
    const { width, height } = this.#canvas;
    context.fillStyle = palette.ground;
    context.fillRect(0, 0, width, height);
    const { rows } = state.cells.layout;
    const first = Math.floor(state.scroll);
    const last = Math.min(rows, Math.ceil(state.scroll + this.visibleRows));
    if (last <= first || width === 0) return;
    this.#paint(state, palette, first, last);
    const top = Math.round((first - state.scroll) * this.#row);
    const [wide, high] = [this.#columns * this.#cell, (last - first) * this.#row];
    context.imageSmoothingEnabled = false;
    context.drawImage(
      this.#small,
      0,
      0,
      this.#columns,
      last - first,
      this.#gutter,
      top,
      wide,
      high,
    );
    this.#drawGaps(top, wide, high, last - first);
    this.#drawLabels(state, palette, first, last, top);
    this.#drawFrame(state.hovered, state, palette.colours.hover);
    this.#drawFrame(state.kept, state, palette.colours.kept);
  }

  #paint({ cells, now }: MapState, palette: Palette, first: number, last: number): void {
    const columns = this.#columns;
    const count = (last - first) * columns;
    if (this.#image?.width !== columns || this.#image.height < last - first) {
      const height = Math.ceil(this.visibleRows) + 1;
      [this.#small.width, this.#small.height] = [columns, height];
      this.#image = this.#smallContext.createImageData(columns, height);
      this.#words = new Uint32Array(this.#image.data.buffer);
    }
    const { states, changedAt, filled } = cells;
    const words = this.#words;
    cells.look(first * columns, last * columns);
    for (let i = 0, cell = first * columns; i < count; i++, cell++) {
      words[i] = palette.colour(states[cell]!, now - changedAt[cell]!, filled[cell]!);
    }
    this.#smallContext.putImageData(this.#image, 0, 0, 0, 0, columns, last - first);
  }

  #drawGaps(top: number, wide: number, high: number, rows: number): void {
    const context = this.#context;
    const gap = Math.max(1, Math.round(Math.min(this.#cell / 8, MOST_GAP * this.#ratio)));
    for (let column = 1; column <= this.#columns; column++) {
      context.fillRect(this.#gutter + column * this.#cell - gap, top, gap, high);
    }
    for (let row = 1; row <= rows; row++) {
      context.fillRect(this.#gutter, top + row * this.#row - gap, wide, gap);
    }
  }

  #drawLabels(state: MapState, palette: Palette, first: number, last: number, top: number): void {
    const { layout } = state.cells;
    const context = this.#context;
    const ratio = this.#ratio;
    let step = 1;
    while (step * this.#row < LABEL_DISTANCE * ratio) step *= 2;
    context.font = LABEL_FONT.replace("12px", `${12 * ratio}px`);
    context.fillStyle = palette.colours.text;
    context.textAlign = "right";
    context.textBaseline = "middle";
    let free = -Infinity;
    for (let row = first; row < last; row++) {
      // The first and the last are not cut off.
      const y = Math.max(
        HALF_LINE * ratio,
        Math.min(this.#canvas.height - HALF_LINE * ratio, top + (row - first + 0.5) * this.#row),
      );
      const begins = layout.beginsRegion(row);
      if (begins && row > 0) this.#drawHole(top + (row - first) * this.#row, palette);
      if (!begins && (row % step !== 0 || y < free)) continue;
      const place = layout.placeOfRow(row)!;
      context.fillText(
        address(place.region[2] + place.address * this.#pageSize),
        this.#gutter - GUTTER_GAP * ratio / 2,
        y,
      );
      free = y + LABEL_DISTANCE * ratio * 0.8;
    }
  }

  // Between two regions the guest has no memory.
  #drawHole(y: number, palette: Palette): void {
    const line = Math.max(1, Math.round(this.#ratio));
    this.#context.fillStyle = palette.colours.text;
    this.#context.fillRect(this.#gutter, y - line, this.#columns * this.#cell, line);
  }

  #drawFrame(cell: number, { scroll }: MapState, colour: string): void {
    if (cell < 0) return;
    const [column, row] = [cell % this.#columns, Math.floor(cell / this.#columns)];
    const line = Math.max(2, Math.round(2 * this.#ratio));
    const context = this.#context;
    context.strokeStyle = colour;
    context.lineWidth = line;
    context.strokeRect(
      this.#gutter + column * this.#cell - line / 2,
      Math.round((row - scroll) * this.#row) - line / 2,
      this.#cell + line / 2,
      this.#row + line / 2,
    );
  }
}
