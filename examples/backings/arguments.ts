/**
 * What the comparison of backings is called with.
 *
 * @module
 */
import { parse } from "../lib/arguments.ts";
import { UsageError } from "../lib/expected_error.ts";

/** What `--help` shows. */
export const USAGE: string = `Usage: deno task backings [options]

Maps memory with every backing and option, and shows what this machine grants,
what a discard gives back to the host, and how long the memory takes: to touch
a page for the first time, to touch it again after the discard, and to copy.
A mapping that is refused has the reason in place of figures.

Options:
  --size MIB    MiB of each mapping: an even number from 4; 64 by default
  --json        Print JSON in place of the table
  --chart FILE  Draw the times into FILE, an SVG picture
  -h, --help    Show this text

The JSON is { size, host, batch, copied, unseen, ok, rows }. Sizes are in bytes.
  unseen  why a figure is missing: { resident, blocks }, each a text or null
  ok      whether every discard gave its memory back
  rows    name            of the backing or option
          granted         whether it was mapped
          reason          why not; null where it was
          touch           "write" or "read": how its pages are touched
          pageSize        bytes of its pages
          mapMs           ms to map it, with the pages that are taken then
          firstTouchUs    µs for each 4 KiB touched for the first time
          againTouchUs    µs for each 4 KiB touched after a discard
          copyGibPerS     GiB/s of memory.read
          residentBefore  bytes in RAM before the discard
          residentAfter   bytes in RAM after it
          blocksNew       st_blocks of the file before it is mapped; memfd: 0
          blocksBefore    st_blocks before the discard
          blocksAfter     st_blocks after it
          discarded       bytes that discard returned
          discardRefused  why there is no discard; null where there is
          readsZero       whether all bytes were zero after the discard
          fileUnchanged   whether a private mapping left its file as it was
          problems        what is wrong with the discard: a list of texts
A figure that does not apply, or cannot be seen, is null.

Exit status: 0; 1 if a discard did not give its memory back; 2 if the arguments
make no sense or nothing can be mapped; 130 after Ctrl-C.`;

/** Bytes that are timed together. One huge page of 2 MiB, so that each batch has the same work. */
export const BATCH: number = 2 ** 21;

const MIB = 2 ** 20;
const DEFAULT_MIB = 64;
const SMALLEST_MIB = 4;

/** What is asked for. */
export interface Options {
  /** Bytes of each mapping. */
  readonly size: number;
  /** Whether to print JSON. */
  readonly json: boolean;
  /** Where to draw the chart, if anywhere. */
  readonly chart: string | undefined;
}

/**
 * What the arguments ask for.
 *
 * @param args The arguments.
 * @returns The options, or `undefined` where they ask for help.
 * @throws {UsageError} They make no sense.
 */
export function optionsOf(args: string[]): Options | undefined {
  const { help, size, json = false, chart } = parseAll(args);
  if (help) return undefined;
  if (chart !== undefined && !chart.toLowerCase().endsWith(".svg")) {
    throw new UsageError("--chart draws SVG: its FILE must end in .svg");
  }
  return { size: sizeOf(size), json, chart };
}

function parseAll(args: string[]) {
  return parse({
    args,
    options: {
      size: { type: "string" },
      json: { type: "boolean" },
      chart: { type: "string" },
      help: { type: "boolean", short: "h" },
    },
  }).values;
}

function sizeOf(text: string | undefined): number {
  if (text === undefined) return DEFAULT_MIB * MIB;
  const size = /^\d+$/.test(text) ? Number(text) * MIB : NaN;
  if (Number.isSafeInteger(size) && size >= SMALLEST_MIB * MIB && size % BATCH === 0) return size;
  throw new UsageError(
    `--size is ${JSON.stringify(text)}, not an even number of MiB from ${SMALLEST_MIB}`,
  );
}
