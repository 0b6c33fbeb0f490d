/// <reference lib="dom" />
/**
 * What the colours mean.
 *
 * @module
 */
import { PageState } from "../page_runs.ts";
import { element } from "./elements.ts";
import { ageAt, type Palette } from "./palette.ts";
import { duration } from "./texts.ts";

const WIDTH = 140;
const HEIGHT = 12;

/** Fills the legend. */
export function showLegend(
  palette: Palette,
  writers: { readonly guest: string; readonly host?: string },
): void {
  const ramp = (state: number) => swatch(WIDTH, (x) => palette.colour(state, ageAt(x), 255));
  const plain = (state: number, filled: number) =>
    swatch(HEIGHT, () => palette.colour(state, 0, filled));
  const age = `just now to ${duration(Math.round(ageAt(1)))} ago`;
  element("legend", HTMLElement).replaceChildren(
    entry(ramp(PageState.guest), `${writers.guest} ${age}`),
    ...writers.host === undefined ? [] : [entry(ramp(PageState.host), `${writers.host} ${age}`)],
    entry(
      swatch(40, (x) => palette.colour(PageState.present, 0, Math.round(255 * x))),
      "there, few to all pages",
    ),
    entry(plain(PageState.absent, 0), "not there"),
  );
}

function swatch(width: number, colour: (x: number) => number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, HEIGHT];
  const context = canvas.getContext("2d")!;
  const image = context.createImageData(width, HEIGHT);
  const words = new Uint32Array(image.data.buffer);
  for (let i = 0; i < words.length; i++) words[i] = colour(i % width / Math.max(1, width - 1));
  context.putImageData(image, 0, 0);
  canvas.setAttribute("aria-hidden", "true");
  return canvas;
}

function entry(canvas: HTMLCanvasElement, text: string): HTMLElement {
  const made = document.createElement("span");
  made.append(canvas, text);
  return made;
}
