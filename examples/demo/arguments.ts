/**
 * What the demo is called with.
 *
 * @module
 */
import { parse } from "../lib/arguments.ts";
import { UsageError } from "../lib/expected_error.ts";
import { DemoError } from "./demo_error.ts";

/** What `--help` shows. */
export const USAGE: string = `Usage: deno task demo [FILE]

Loads the 64-bit ELF file FILE (by default: Deno itself) into the memory of an
x86-64 guest, verifies every byte of it, and draws the map of that memory.
From "deno task", FILE counts from the folder of deno.json.

Options:
  -h, --help  Show this text`;

/**
 * The file that the arguments ask for.
 *
 * @param args The arguments.
 * @returns Its path, or `undefined` where they ask for help.
 * @throws {UsageError} They make no sense.
 */
export function pathOf(args: string[]): string | undefined {
  const { values, positionals } = parse({
    args,
    options: { help: { type: "boolean", short: "h" } },
    allowPositionals: true,
  });
  if (values.help) return undefined;
  if (positionals.length > 1) {
    throw new UsageError(`expected one FILE, found ${positionals.length}`);
  }
  return positionals[0] ?? pathOfDeno();
}

function pathOfDeno(): string {
  try {
    return Deno.execPath();
  } catch (error) {
    throw new DemoError("cannot find Deno's own file: run with --allow-read", { cause: error });
  }
}
