/**
 * The recorded traces, replayed.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { DIFFERENCES } from "./differences.ts";
import { MARKS_BEHIND_AN_IOMMU } from "./physical_marks.ts";
import { describe, replay, type Report } from "./replay.ts";
import type { Backend } from "./world.ts";

const ALL = [...DIFFERENCES, MARKS_BEHIND_AN_IOMMU];
const TRACES = new URL("traces/", import.meta.url);

const traces = Array.from(Deno.readDirSync(TRACES), ({ name }) => name)
  .filter((name) => name.endsWith(".jsonl.gz"))
  .sort();

// What was replayed, and how often each difference was met in all of it.
const replayed: string[] = [];
const met = new Map<string, number>();

for (const trace of traces) test(trace, "mmap");
test(traces[0]!, "heap");

Deno.test({
  name: "conformance: every chosen difference is met",
  // Descriptors to read from and write to are made with Linux's C library.
  ignore: Deno.build.os !== "linux",
  fn() {
    for (const { id, reason } of ALL) console.log(`${met.get(id) ?? 0} ${id}: ${reason}`);
    // Run by itself, with --filter, this test has nothing to judge by.
    if (replayed.length < traces.length + 1) return;
    assertEquals(ALL.map(({ id }) => id).filter((id) => !met.has(id)), []);
  },
});

function test(trace: string, backend: Backend): void {
  Deno.test({
    name: `conformance: ${trace} on ${backend}`,
    ignore: Deno.build.os !== "linux",
    async fn() {
      const report = await replay(new URL(trace, TRACES), backend);
      replayed.push(trace);
      count(report);
      const divergences = report.divergences.map((divergence) => describe(trace, divergence));
      if (divergences.length > 0) throw new Error(divergences.join("\n"));
    },
  });
}

function count({ differences }: Report): void {
  for (const [id, times] of differences) met.set(id, (met.get(id) ?? 0) + times);
}
