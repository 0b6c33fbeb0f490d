/**
 * What the program is called with.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { countOf, UsageError } from "./usage.ts";

/** What `--help` shows. */
export const USAGE: string =
  `Usage: deno run --allow-ffi --allow-read jsr:@vmm/guest-memory/bench [options]

Measures the same accesses on memory of your own and on the kinds of memory of
this library, beside a bare typed array. Every access is tried and its result
looked at before it is measured. With one backend it takes about a minute.

Options:
  --backend FILE    A module whose default export is a backend, { name, make },
                    or several in an array; may be given several times
  --size MIB        The size of each memory; 16 by default, 1,024 at most
  --rounds N        How often each takes its turn; 5 by default
  --time MS         How long a turn is; 20 by default
  --chart FILE.svg  Draw the ratios (needs --allow-write)
  --json            Print the figures as JSON, with times in nanoseconds
  -h, --help        Show this text

It ends with 1 if an access was wrong, and with 2 if a backend could not be
used. Mappings need --allow-ffi, and those of files --allow-write.`;

/** What is asked for. */
export interface Options {
  /** The files with backends. */
  readonly files: readonly string[];
  /** The size of each memory, in MiB. */
  readonly mib: number;
  /** How often each takes its turn. */
  readonly rounds: number;
  /** Milliseconds of a turn. */
  readonly timeMs: number;
  /** The file to draw a chart into, if any. */
  readonly chart: string | undefined;
  /** Whether to print JSON. */
  readonly json: boolean;
}

const LARGEST_MIB = 1024;

/**
 * What the arguments ask for.
 *
 * @param args The arguments.
 * @returns The options, or `undefined` where they ask for help.
 * @throws {UsageError} They make no sense.
 */
export function parseOptions(args: string[]): Options | undefined {
  const values = parse(args);
  if (values.help) return undefined;
  const mib = countOf("--size", values.size) ?? 16;
  if (mib > LARGEST_MIB) throw new UsageError(`--size is ${LARGEST_MIB} at most, not ${mib}`);
  return {
    files: values.backend ?? [],
    mib,
    rounds: countOf("--rounds", values.rounds) ?? 5,
    timeMs: countOf("--time", values.time) ?? 20,
    chart: values.chart,
    json: values.json === true,
  };
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        backend: { type: "string", multiple: true },
        size: { type: "string" },
        rounds: { type: "string" },
        time: { type: "string" },
        chart: { type: "string" },
        json: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    // The first sentence says what is wrong.
    throw new UsageError((error as Error).message.split(". ")[0]);
  }
}
