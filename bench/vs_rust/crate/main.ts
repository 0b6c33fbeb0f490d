/**
 * Runs cases and prints what they took as JSON, as the Rust peer does.
 *
 *     deno run --allow-ffi --allow-read --allow-write bench/vs_rust/crate/main.ts
 *       [--copies | --virtqueue] [--time-ms N] [--filter SUBSTRING] [--list]
 *
 * Without `--copies` and `--virtqueue` the cases are those of the crate's suite. With `--allow-all` it also counts the
 * threads of its process.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { sunk } from "../../../src/bench/sink.ts";
import { crateCases } from "./cases.ts";
import { copyCases } from "./copies.ts";
import { type Case, measure, type Measurement } from "../../../src/bench/harness.ts";
import { virtqueueCases } from "./virtqueue.ts";

const { values } = parseArgs({
  options: {
    copies: { type: "boolean", default: false },
    virtqueue: { type: "boolean", default: false },
    "time-ms": { type: "string", default: "200" },
    filter: { type: "string", default: "" },
    list: { type: "boolean", default: false },
  },
});

const measurements: Record<string, Measurement> = {};
for (const subject of subjects()) {
  if (!subject.name.includes(values.filter)) continue;
  if (values.list) console.log(subject.name);
  else measurements[subject.name] = measure(subject, Number(values["time-ms"]));
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
