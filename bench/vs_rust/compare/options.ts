/**
 * What the comparison is called with.
 *
 * @module
 */
import { parseArgs } from "node:util";

/** What `--help` shows. */
export const USAGE: string = `Usage: deno task compare [options]

Measures the 62 benchmark cases of the Rust crate vm-memory, here and in Rust,
and copies of 64 B to 64 MiB beside C's memcpy: in turns, in several rounds.
Prints a table, and draws charts into bench/results/. Needs cargo for the Rust
side, and does without where there is none.

Options:
  --quick        5 rounds of 50 ms a case: about 3 minutes
  --rounds N     How many rounds; 9 by default
  --time MS      How long to measure a case in each round; 100 by default
  --json FILE    Write the figures to FILE
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
  /** Whether to draw charts. */
  readonly charts: boolean;
}

/** The arguments make no sense. */
export class UsageError extends Error {
  override name = "UsageError";
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
  return {
    rounds: countOf("--rounds", values.rounds) ?? (values.quick ? 5 : 9),
    timeMs: countOf("--time", values.time) ?? (values.quick ? 50 : 100),
    json: values.json,
    charts: !values["no-charts"],
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
        "no-charts": { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    // The first sentence says what is wrong.
    throw new UsageError((error as Error).message.split(". ")[0]);
  }
}

function countOf(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= 1 && count <= 1_000_000) return count;
  throw new UsageError(`${option} needs a whole number from 1, not ${JSON.stringify(text)}`);
}
