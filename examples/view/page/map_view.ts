/// <reference lib="dom" />
/**
 * The map as the user has it: how far it is zoomed, what is visible, and which page is shown.
 *
 * @module
 */
import type { DatedRun, PageMap } from "../page_map.ts";
import type { PageRun } from "../page_runs.ts";
import type { Hello } from "../wire.ts";
import { Cells } from "./cells.ts";
import { Details } from "./details.ts";
import { element, setText } from "./elements.ts";
import type { MapActions } from "./gestures.ts";
import { MapLayout, MOST_LEVEL } from "./map_layout.ts";
import { type MapState, MemoryCanvas } from "./memory_canvas.ts";
import { Overview } from "./overview.ts";
import type { Palette } from "./palette.ts";
import { size } from "./texts.ts";

// Pixels for the strip, and for the gap before it.
const LEAST_STRIP = 30;

/** The map. */
export class MapView {
  readonly #hello: Hello;
  readonly #map: PageMap;
  readonly #now: () => number;
  readonly #canvas: MemoryCanvas;
  readonly #overview: Overview;
  readonly #details: Details;
  #palette: Palette;
  #level: number;
  #cells: Cells;
  #scroll = 0;
  #hovered = -1;
  // By its page, as cells are others at each level.
  #keptPage: number | undefined;
  #isDrawRequested = false;
  // Whether the pages are others than the cells show, which are looked at when they are drawn.
  #isStale = false;

  constructor(hello: Hello, map: PageMap, now: () => number, palette: Palette) {
    this.#hello = hello;
    this.#map = map;
    this.#now = now;
    this.#palette = palette;
    this.#canvas = new MemoryCanvas(element("map", HTMLCanvasElement), hello.pageSize);
    this.#measure();
    this.#level = this.#canvas.levelToFit(hello.regions);
    this.#cells = this.#look();
    this.#details = new Details(hello, map);
    const strip = element("overview", HTMLCanvasElement);
    this.#overview = new Overview(strip, hello.regions, map, (part) => {
      this.#scrollTo(part * this.#layout.rows - this.#canvas.visibleRows / 2);
    });
    this.#showLevel();
  }

  /** What the user can do. */
  readonly actions: Omit<MapActions, "togglePause"> = {
    pan: (distance) => this.#scrollTo(this.#scroll + distance / this.#canvas.rowHeight),
    zoom: (step, y) => this.#zoom(this.#level - step, y),
    hover: (x, y) => {
      this.#hovered = x === undefined || y === undefined ? -1 : this.#cellAt(x, y);
      this.#showDetails();
    },
    keep: (x, y) => {
      const cell = this.#cellAt(x, y);
      this.#keptPage = cell < 0 ? undefined : this.#cells.pageOf(cell);
      this.#showDetails();
    },
    move: (columns, rows) => this.#move(columns, rows),
    scroll: (pages) => {
      const rows = this.#layout.rows;
      this.#scrollTo(
        Number.isFinite(pages)
          ? this.#scroll + pages * Math.floor(this.#canvas.visibleRows)
          : pages > 0
          ? rows
          : 0,
      );
    },
    release: () => {
      this.#keptPage = undefined;
      this.#showDetails();
    },
    fit: () => {
      this.#scroll = 0;
      this.#zoom(this.#canvas.levelToFit(this.#hello.regions), 0);
    },
  };

  /** Takes over all that is known. */
  replace(runs: readonly DatedRun[]): void {
    this.#map.apply([{ first: 0, count: this.#hello.pages, state: 0 }], 0);
    for (const run of runs) this.#map.apply([run], run.at);
    this.#isStale = true;
    this.#details.refresh();
    this.requestDraw();
  }

  /** Takes over what is new. */
  update(runs: readonly PageRun[], at: number): void {
    this.#map.apply(runs, at);
    if (!this.#isStale) {
      this.#cells.forget(runs);
      this.#overview.update(runs);
    }
    const { page } = this.#details;
    const isShown = ({ first, count }: PageRun) =>
      page !== undefined && page >= first && page < first + count;
    if (runs.some(isShown)) this.#details.refresh();
    this.requestDraw();
  }

  /** The canvas has another size. */
  resize(): void {
    const { columns } = this.#canvas;
    this.#measure();
    if (this.#canvas.columns !== columns) this.#zoom(this.#level, 0);
    else {
      this.#canvas.stretch(this.#layout.rows);
      this.#scrollTo(this.#scroll);
    }
  }

  /** Other colours. */
  setPalette(palette: Palette): void {
    this.#palette = palette;
    this.requestDraw();
  }

  /** Draws at the next frame. */
  requestDraw(): void {
    if (this.#isDrawRequested) return;
    this.#isDrawRequested = true;
    requestAnimationFrame(() => {
      this.#isDrawRequested = false;
      this.#draw();
    });
  }

  get #layout(): MapLayout {
    return this.#cells.layout;
  }

  get #kept(): number {
    return this.#keptPage === undefined ? -1 : this.#layout.cellOf(this.#keptPage);
  }

  #draw(): void {
    if (this.#isStale) {
      this.#isStale = false;
      this.#cells = this.#look();
      this.#overview.reset();
    }
    const now = this.#now();
    const { rows } = this.#layout;
    this.#canvas.draw(this.#state(now), this.#palette);
    const end = (this.#scroll + this.#canvas.visibleRows) / rows;
    this.#overview.draw(now, this.#scroll / rows, end, this.#palette);
    this.#details.update(now, 2 ** this.#level);
  }

  #state(now: number = this.#now()): MapState {
    return {
      cells: this.#cells,
      scroll: this.#scroll,
      now,
      hovered: this.#hovered,
      kept: this.#kept,
    };
  }

  #cellAt(x: number, y: number): number {
    return this.#canvas.cellAt(x, y, this.#state());
  }

  // What is at a height stays there.
  #zoom(level: number, y?: number): void {
    const next = Math.max(0, Math.min(MOST_LEVEL, level));
    const before = this.#layout;
    const kept = this.#kept;
    const middle = this.#canvas.visibleRows / 2;
    const row = y !== undefined
      ? y / this.#canvas.rowHeight
      : kept >= 0
      ? Math.floor(kept / before.columns) - this.#scroll
      : middle;
    const at = Math.max(0, Math.min(before.rows - 1, Math.floor(this.#scroll + row)));
    const page = y === undefined && this.#keptPage !== undefined
      ? this.#keptPage
      : before.pagesOf(at * before.columns)[0];
    this.#level = next;
    this.#cells = this.#look();
    this.#hovered = -1;
    this.#showLevel();
    this.#scrollTo(Math.floor(this.#layout.cellOf(page) / this.#layout.columns) - Math.floor(row));
  }

  #move(columns: number, rows: number): void {
    const layout = this.#layout;
    const kept = this.#kept;
    const cell = kept < 0
      ? Math.ceil(this.#scroll) * layout.columns
      : kept + columns + rows * layout.columns;
    const page = cell < 0 || cell >= layout.cells ? undefined : this.#cells.pageOf(cell);
    if (page === undefined) return;
    this.#keptPage = page;
    const row = Math.floor(cell / layout.columns);
    const { visibleRows } = this.#canvas;
    if (row < this.#scroll) this.#scrollTo(row);
    else if (row + 1 > this.#scroll + visibleRows) this.#scrollTo(row + 1 - visibleRows);
    this.#showDetails();
  }

  #scrollTo(row: number): void {
    const most = Math.max(0, this.#layout.rows - this.#canvas.visibleRows);
    this.#scroll = Math.max(0, Math.min(most, row));
    this.requestDraw();
  }

  #showDetails(): void {
    const page = this.#hovered >= 0 ? this.#cells.pageOf(this.#hovered) : this.#keptPage;
    this.#details.show(page);
    this.requestDraw();
  }

  #showLevel(): void {
    setText("level", `${size(2 ** this.#level * this.#hello.pageSize)} a cell`);
    element("zoom-in", HTMLButtonElement).disabled = this.#level === 0;
    element("zoom-out", HTMLButtonElement).disabled = this.#level === MOST_LEVEL;
  }

  #look(): Cells {
    const layout = new MapLayout(this.#hello.regions, this.#canvas.columns, this.#level);
    this.#canvas.stretch(layout.rows);
    return new Cells(layout, this.#map);
  }

  // The strip beside the map takes what the map leaves.
  #measure(): void {
    const { clientWidth } = element("canvases", HTMLElement);
    this.#canvas.measure(this.#hello.regions, clientWidth - LEAST_STRIP);
  }
}
