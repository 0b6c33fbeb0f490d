/**
 * Runs cases and prints what they took as JSON, as the Rust peer does.
 *
 *     deno run --allow-ffi --allow-read --allow-write bench/vs_rust/crate/main.ts
 *       [--copies] [--time-ms N] [--filter SUBSTRING] [--list]
 *
 * Without `--copies` the cases are those of the crate's suite.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { sunk } from "../../sink.ts";
import { crateCases } from "./cases.ts";
import { copyCases } from "./copies.ts";
import { measure, type Measurement } from "./harness.ts";

const { values } = parseArgs({
  options: {
    copies: { type: "boolean", default: false },
    "time-ms": { type: "string", default: "200" },
    filter: { type: "string", default: "" },
    list: { type: "boolean", default: false },
  },
});

const measurements: Record<string, Measurement> = {};
for (const subject of values.copies ? copyCases(values.filter) : crateCases()) {
  if (!subject.name.includes(values.filter)) continue;
  if (values.list) console.log(subject.name);
  else measurements[subject.name] = measure(subject, Number(values["time-ms"]));
}
if (!values.list) {
  const runtime = `Deno ${Deno.version.deno}`;
  console.log(JSON.stringify({ runtime, cases: measurements, sunk: sunk() }));
}
