/**
 * What the benchmarks are called with.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { countOf, UsageError } from "../src/bench/program/usage.ts";

/** The benchmarks, each in a file that ends in `_bench.ts`. */
export const NAMES = [
  "accesses",
  "copies",
  "dirty",
  "streams",
  "backends",
  "start",
  "snapshot",
  "vhost",
] as const;

// What is measured without a name: not what downloads a virtual machine.
const DEFAULT_NAMES = NAMES.filter((name) => name !== "vhost");

/** What `--help` shows. */
export const USAGE: string = `Usage: deno task bench [options] [NAME ...]

Measures this library beside what a program could use instead, and prints what
one access takes. All benchmarks take about 2.5 minutes. Their names:

  accesses       Values, atomics, look-ups of regions, codecs, sizes of memory
  copies         Copies by size, by the way they are made, by their pattern
  dirty          What dirty tracking adds to a write; reading the marks
  streams        Buffers and files as streams
  backends       The same accesses on every kind of memory
  start          Import and first mapping; prefault and discard (needs cc for C)
  snapshot       What was written, and snapshots, beside the same calls in C
  vhost          Disks of a guest in QEMU, beside QEMU's own (downloads them);
                 only by its name

Options:
  --filter TEXT  Measure only rows with TEXT in their name or their title
  --rounds N     How many rounds; 5 by default
  --time MS      How long to measure a row in each round; 20 by default
  --gib N        What "start" prefaults and "snapshot" takes; 1 GiB by default
  --chart        Draw the ratios of "snapshot" and "vhost" into target/bench/
  --record       Draw them into bench/results/ instead, to be committed
  --json         Print times in nanoseconds as JSON, one table in each line
  -h, --help     Show this text`;

/** What is asked for. */
export interface Options {
  /** The benchmarks to run. */
  readonly names: readonly string[];
  /** What a row's name or title contains. */
  readonly filter: string;
  /** How often each row takes its turn. */
  readonly rounds: number;
  /** Milliseconds that a row is measured for in a round. */
  readonly timeMs: number;
  /** The memory that is prefaulted or tracked, in GiB. */
  readonly gib: number;
  /** The folder of this project to draw charts into, if any. */
  readonly charts: string | undefined;
  /** Whether to print JSON. */
  readonly json: boolean;
}

/**
 * What the arguments ask for.
 *
 * @param args The arguments.
 * @returns The options, or `undefined` where they ask for help.
 * @throws {UsageError} They make no sense.
 */
export function parseOptions(args: string[]): Options | undefined {
  const { values, positionals } = parse(args);
  if (values.help) return undefined;
  const unknown = positionals.find((name) => !(NAMES as readonly string[]).includes(name));
  if (unknown !== undefined) throw new UsageError(`there is no benchmark ${unknown}`);
  return {
    names: positionals.length > 0 ? positionals : DEFAULT_NAMES,
    filter: values.filter,
    rounds: countOf("--rounds", values.rounds) ?? 5,
    timeMs: countOf("--time", values.time) ?? 20,
    gib: countOf("--gib", values.gib) ?? 1,
    charts: values.record ? "bench/results/" : values.chart ? "target/bench/" : undefined,
    json: values.json,
  };
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        filter: { type: "string", default: "" },
        rounds: { type: "string" },
        time: { type: "string" },
        gib: { type: "string" },
        chart: { type: "boolean" },
        record: { type: "boolean" },
        json: { type: "boolean", default: false },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    // The first sentence says what is wrong.
    throw new UsageError((error as Error).message.split(". ")[0]);
  }
}
