/// <reference lib="dom" />
/**
 * All of the memory in a strip, and which part of it is visible.
 *
 * @module
 */
import type { PageMap } from "../page_map.ts";
import type { PageRun } from "../page_runs.ts";
import { Cells } from "./cells.ts";
import { fitCanvas } from "./elements.ts";
import { MapLayout, type Region } from "./map_layout.ts";
import type { Palette } from "./palette.ts";

// More than the screen has lines, so that none is of a mixture.
const MOST_CELLS = 4096;

/** The strip. */
export class Overview {
  readonly #canvas: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  readonly #line = document.createElement("canvas");
  readonly #regions: readonly Region[];
  readonly #map: PageMap;
  #cells: Cells;

  /**
   * Makes the strip.
   *
   * @param jump Called with the part of the memory that is pointed at, from 0 to 1.
   */
  constructor(
    canvas: HTMLCanvasElement,
    regions: readonly Region[],
    map: PageMap,
    jump: (part: number) => void,
  ) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d", { alpha: false })!;
    this.#regions = regions;
    this.#map = map;
    this.#cells = this.#lookAtAll();
    const onPointer = (event: PointerEvent) => {
      if (event.buttons === 0) return;
      canvas.setPointerCapture(event.pointerId);
      jump(event.offsetY / canvas.clientHeight);
    };
    canvas.onpointerdown = onPointer;
    canvas.onpointermove = onPointer;
  }

  /** Looks at all of the memory again. */
  reset(): void {
    this.#cells = this.#lookAtAll();
  }

  /** Looks again at some pages. */
  update(runs: readonly PageRun[]): void {
    this.#cells.forget(runs);
  }

  /**
   * Draws.
   *
   * @param from Where the visible part begins, from 0 to 1.
   * @param to Where it ends.
   */
  draw(now: number, from: number, to: number, palette: Palette): void {
    const ratio = fitCanvas(this.#canvas);
    const { width, height } = this.#canvas;
    if (width === 0 || height === 0) return;
    const { states, changedAt, filled, layout } = this.#cells;
    this.#cells.look(0, layout.cells);
    const image = this.#context.createImageData(1, height);
    const words = new Uint32Array(image.data.buffer);
    for (let y = 0; y < height; y++) {
      // Of the cells at this height, the one that changed last.
      const first = Math.floor(y * layout.cells / height);
      const end = Math.max(first + 1, Math.floor((y + 1) * layout.cells / height));
      let best = first;
      for (let cell = first + 1; cell < end; cell++) {
        const isNewer = states[cell]! > states[best]! ||
          states[cell] === states[best] && changedAt[cell]! > changedAt[best]!;
        if (isNewer) best = cell;
      }
      words[y] = palette.colour(states[best]!, now - changedAt[best]!, filled[best]!);
    }
    this.#draw(image, from, to, ratio, palette);
  }

  #draw(image: ImageData, from: number, to: number, ratio: number, palette: Palette): void {
    const { width, height } = this.#canvas;
    const context = this.#context;
    if (this.#line.height !== height) [this.#line.width, this.#line.height] = [1, height];
    this.#line.getContext("2d")!.putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.#line, 0, 0, 1, height, 0, 0, width, height);
    if (from <= 0 && to >= 1) return;
    const line = 2 * ratio;
    context.strokeStyle = palette.colours.hover;
    context.lineWidth = line;
    const tall = Math.max(3 * line, (to - from) * height);
    const top = Math.min(from * height, height - tall);
    context.strokeRect(line / 2, top + line / 2, width - line, tall - line);
  }

  #lookAtAll(): Cells {
    const pages = this.#map.states.length;
    const level = Math.max(0, Math.ceil(Math.log2(pages / MOST_CELLS)));
    return new Cells(new MapLayout(this.#regions, 1, level), this.#map);
  }
}
