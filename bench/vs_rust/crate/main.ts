/**
 * Runs cases and prints what they took as JSON, as the Rust peer does.
 *
 * Run it with `deno run --allow-ffi --allow-read --allow-write bench/vs_rust/crate/main.ts`; `--help` shows
 * its options.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { countOf, UsageError } from "../../../src/bench/program/usage.ts";
import { sunk } from "../../../src/bench/sink.ts";
import { crateCases } from "./cases.ts";
import { copyCases } from "./copies.ts";
import { type Case, measure, type Measurement } from "../../../src/bench/harness.ts";
import { virtqueueCases } from "./virtqueue.ts";

const USAGE = `Usage: deno run -A bench/vs_rust/crate/main.ts [options]

Measures the cases of the crate's suite, and prints what they took as JSON.
--allow-ffi, --allow-read and --allow-write are enough to measure; with all
permissions it also counts the threads of its process.

Options:
  --copies            The copies that are compared with memcpy instead
  --virtqueue         The requests of a virtqueue instead
  --time-ms N         Milliseconds for each case; 200 by default
  --filter SUBSTRING  Only the cases whose names have it
  --list              Print the names of the cases
  -h, --help          Show this text`;

const values = optionsOrExit();

function optionsOrExit() {
  try {
    const { help, "time-ms": timeMs, ...options } = parse();
    if (!help) return { ...options, timeMs: countOf("--time-ms", timeMs)! };
    console.log(USAGE);
    return Deno.exit(0);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`main: ${error.message} (see --help)`);
    return Deno.exit(2);
  }
}

function parse() {
  try {
    return parseArgs({
      options: {
        copies: { type: "boolean", default: false },
        virtqueue: { type: "boolean", default: false },
        "time-ms": { type: "string", default: "200" },
        filter: { type: "string", default: "" },
        list: { type: "boolean", default: false },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message.split(". ")[0]);
  }
}

const measurements: Record<string, Measurement> = {};
for (const subject of subjects()) {
  if (!subject.name.includes(values.filter)) continue;
  if (values.list) console.log(subject.name);
  else measurements[subject.name] = measure(subject, values.timeMs);
}
if (!values.list) {
  const runtime = `Deno ${Deno.version.deno}`;
  console.log(JSON.stringify({ runtime, threads: threads(), cases: measurements, sunk: sunk() }));
}

/** The cases that were asked for. */
function subjects(): Iterable<Case> {
  if (values.copies) return copyCases(values.filter);
  return values.virtqueue ? virtqueueCases() : crateCases();
}

/** How many threads this process has; `undefined` where that is not known. */
function threads(): number | undefined {
  if (Deno.build.os !== "linux") return undefined;
  try {
    return [...Deno.readDirSync("/proc/self/task")].length;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return undefined;
    throw error;
  }
}
