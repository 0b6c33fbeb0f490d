/**
 * Runs the benchmarks of this library, each file in a new process: see `bench/README.md`.
 *
 * Run it with `deno task bench`.
 *
 * @module
 */
import { type Options, parseOptions, USAGE } from "./options.ts";
import { machine } from "../src/bench/program/machine.ts";
import { UsageError } from "../src/bench/program/usage.ts";

async function main(args: string[]): Promise<number> {
  let options: Options | undefined;
  try {
    options = parseOptions(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`bench: ${error.message} (see --help)`);
    return 2;
  }
  if (options === undefined) {
    console.log(USAGE);
    return 0;
  }
  const { names, rounds, timeMs, json } = options;
  if (!json) {
    const times = `${rounds} round${rounds === 1 ? "" : "s"} of ${timeMs} ms a row`;
    console.log(`Deno ${Deno.version.deno}, ${machine()}, ${times}\n`);
  }
  for (const name of names) {
    const file = new URL(`${name}_bench.ts`, import.meta.url).href;
    const { code } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--allow-all", file, ...args],
      stdin: "null",
    }).spawn().status;
    if (code !== 0) return code;
  }
  return 0;
}

Deno.exitCode = await main(Deno.args);
