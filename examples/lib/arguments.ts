/**
 * What programs are called with.
 *
 * @module
 */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { UsageError } from "./expected_error.ts";
import { quoted } from "./quoted.ts";

/**
 * Parses arguments as `node:util` does.
 *
 * @param config The arguments, and what they may be.
 * @returns What they are.
 * @throws {UsageError} They are something else.
 */
export function parse<const T extends ParseArgsConfig>(config: T): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    // The first sentence says what is wrong; more of them explain how to begin a value with a dash.
    throw new UsageError((error as Error).message.split(". ")[0]!);
  }
}

/**
 * The integer that an option has.
 *
 * @param option Its name.
 * @param text Its value.
 * @param least The least that makes sense.
 * @param most The most.
 * @throws {UsageError} It is another one, or none.
 */
export function integerOf(option: string, text: string, least: number, most: number): number {
  const number = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (number >= least && number <= most) return number;
  throw new UsageError(`${option} is ${quoted(text)}, not an integer from ${least} to ${most}`);
}

/**
 * The name that an option has.
 *
 * @param option The option.
 * @param text Its value.
 * @param names All names, at least two.
 * @throws {UsageError} It is none of them.
 */
export function oneOf<T extends string>(option: string, text: string, names: readonly T[]): T {
  const name = names.find((name) => name === text);
  if (name !== undefined) return name;
  const choice = names.join(", ").replace(/, (\w+)$/, " or $1");
  throw new UsageError(`${option} is ${quoted(text)}, not ${choice}`);
}
