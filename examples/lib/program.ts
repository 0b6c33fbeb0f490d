/**
 * How a program begins and ends.
 *
 * @module
 */
import { reasonToStop, UsageError } from "./expected_error.ts";

/** A program with options. */
export interface Program<O> {
  /** Its name, as it begins the line that says why it stopped. */
  readonly name: string;
  /** What `--help` shows. */
  readonly usage: string;
  /** Reads the arguments; `undefined` where they ask for help. */
  readonly optionsOf: (args: string[]) => O | undefined | Promise<O | undefined>;
  /** Does the work. Returns the exit status, 0 without one. */
  readonly run: (options: O) => number | void | Promise<number | void>;
  /** In a line, why it stopped; `undefined` for a defect. {@linkcode reasonToStop} by default. */
  readonly reasonOf?: (error: unknown) => string | undefined;
  /** The exit status when it stopped: 2 for wrong arguments and 1 for the rest by default. */
  readonly statusOf?: (error: unknown) => number;
}

/**
 * Runs a program.
 *
 * @param program The program.
 * @param args Its arguments.
 * @returns The exit status.
 */
export async function runProgram<O>(program: Program<O>, args: string[]): Promise<number> {
  const { name, usage, optionsOf, run, reasonOf = reasonToStop, statusOf = usualStatus } = program;
  try {
    const options = await optionsOf(args);
    if (options !== undefined) return await run(options) ?? 0;
    console.log(usage);
    return 0;
  } catch (error) {
    const reason = reasonOf(error);
    if (reason === undefined) throw error;
    console.error(`${name}: ${reason}`);
    return statusOf(error);
  }
}

function usualStatus(error: unknown): number {
  return error instanceof UsageError ? 2 : 1;
}
