/**
 * What the comparison is called with.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { countOf, UsageError } from "../../../src/bench/program/usage.ts";

/** What `--help` shows. */
export const USAGE: string = `Usage: deno task compare [options]

Measures the 62 benchmark cases of the Rust crate vm-memory, and requests of a
virtqueue, here and in Rust, and copies of 64 B to 64 MiB beside C's memcpy: in
turns, in several rounds.
Prints a table, and draws charts into target/compare/. Needs cargo for the Rust
side, and does without where there is none.

Options:
  --quick        5 rounds of 50 ms a case: about 3 minutes
  --rounds N     How many rounds; 9 by default
  --time MS      How long to measure a case in each round; 100 by default
  --json FILE    Write the figures to FILE
  --record       Draw the charts into bench/results/ instead, to be committed
  --no-charts    Draw no charts, and measure only the copies in the table
  -h, --help     Show this text`;

/** What is asked for. */
export interface Options {
  /** How often both sides take their turn. */
  readonly rounds: number;
  /** Milliseconds that each case is measured for in a round. */
  readonly timeMs: number;
  /** Where to write the figures, if anywhere. */
  readonly json: string | undefined;
  /** The folder of this project to draw charts into, if any. */
  readonly charts: string | undefined;
}

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
  if (values.record && values["no-charts"]) {
    throw new UsageError("--record and --no-charts exclude each other");
  }
  return {
    rounds: countOf("--rounds", values.rounds) ?? (values.quick ? 5 : 9),
    timeMs: countOf("--time", values.time) ?? (values.quick ? 50 : 100),
    json: values.json,
    charts: values["no-charts"] ? undefined : values.record ? "bench/results/" : "target/compare/",
  };
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        quick: { type: "boolean" },
        rounds: { type: "string" },
        time: { type: "string" },
        json: { type: "string" },
        record: { type: "boolean" },
        "no-charts": { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    // The first sentence says what is wrong.
    throw new UsageError((error as Error).message.split(". ")[0]);
  }
}
