/// <reference lib="dom" />
/**
 * The colours of the map.
 *
 * @module
 */
import { PageState } from "../page_runs.ts";
import { NOTHING } from "./cells.ts";

type Rgb = readonly [red: number, green: number, blue: number];

interface Colours {
  readonly ground: Rgb;
  /** No page of the cell is there; few; all. */
  readonly absent: Rgb;
  readonly few: Rgb;
  readonly all: Rgb;
  /** From just changed to long ago. */
  readonly guest: readonly Rgb[];
  readonly host: readonly Rgb[];
  readonly text: string;
  readonly hover: string;
  readonly kept: string;
}

const DARK: Colours = {
  ground: rgb("#0d1117"),
  absent: rgb("#161c26"),
  few: rgb("#222c3b"),
  all: rgb("#3a485c"),
  guest: ["#fff6c8", "#ffc34d", "#ff7a2f", "#d63b4e", "#8d2d6b", "#57306f"].map(rgb),
  host: ["#d8fbff", "#5fe0f0", "#26a8e0", "#2a70c8", "#2f4ba0", "#2f3b7c"].map(rgb),
  text: "#9aa7b8",
  hover: "#ffffff",
  kept: "#7cc4ff",
};

const LIGHT: Colours = {
  ground: rgb("#f6f7f9"),
  absent: rgb("#e9ecf0"),
  few: rgb("#d5dbe3"),
  all: rgb("#b3bdc9"),
  guest: ["#9d0208", "#d62818", "#f0651a", "#f59a3c", "#eebd7f", "#dccab4"].map(rgb),
  host: ["#023e7d", "#0466c8", "#2e8be0", "#66aeea", "#9cc5e8", "#b9cbdc"].map(rgb),
  text: "#54606f",
  hover: "#000000",
  kept: "#0b62c4",
};

// The age at which a colour is the last one, in ms. Between, an age counts by its logarithm.
const OLDEST = 60_000;
const YOUNGEST = 150;
const SHADES = 256;
const SPAN = Math.log(OLDEST / YOUNGEST);

/** Colours as ImageData has them: one word for each. */
export class Palette {
  readonly colours: Colours;
  readonly #guest: Uint32Array;
  readonly #host: Uint32Array;
  readonly #filled: Uint32Array;
  readonly #absent: number;
  readonly #ground: number;

  constructor(isDark: boolean) {
    const colours = isDark ? DARK : LIGHT;
    this.colours = colours;
    this.#guest = ramp(colours.guest);
    this.#host = ramp(colours.host);
    this.#filled = ramp([colours.few, colours.all]);
    this.#absent = word(colours.absent);
    this.#ground = word(colours.ground);
  }

  /** The colour behind everything. */
  get ground(): string {
    return `rgb(${this.colours.ground.join(" ")})`;
  }

  /**
   * The colour of a cell.
   *
   * @param state Its state.
   * @param age Ms since it changed.
   * @param filled How many of its pages are there, from 0 to 255.
   */
  colour(state: number, age: number, filled: number): number {
    if (state === PageState.guest) return this.#guest[shade(age)]!;
    if (state === PageState.host) return this.#host[shade(age)]!;
    if (state === PageState.present) return this.#filled[filled]!;
    return state === NOTHING ? this.#ground : this.#absent;
  }
}

function shade(age: number): number {
  if (age <= YOUNGEST) return 0;
  return Math.min(SHADES - 1, Math.floor(SHADES * Math.log(age / YOUNGEST) / SPAN));
}

/** The age of a place in the legend, from 0 to 1, in ms. */
export function ageAt(part: number): number {
  return YOUNGEST * Math.exp(SPAN * part);
}

function ramp(stops: readonly Rgb[]): Uint32Array {
  const words = new Uint32Array(SHADES);
  for (let i = 0; i < SHADES; i++) {
    const place = i / (SHADES - 1) * (stops.length - 1);
    const stop = Math.min(stops.length - 2, Math.floor(place));
    const part = place - stop;
    const [from, to] = [stops[stop]!, stops[stop + 1]!];
    words[i] = word([0, 1, 2].map((c) => from[c]! + (to[c]! - from[c]!) * part) as unknown as Rgb);
  }
  return words;
}

function word([red, green, blue]: Rgb): number {
  return (255 << 24 | Math.round(blue) << 16 | Math.round(green) << 8 | Math.round(red)) >>> 0;
}

function rgb(text: string): Rgb {
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16)) as unknown as Rgb;
}
