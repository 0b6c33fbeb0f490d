import { assert, assertEquals, assertFalse, assertMatch } from "@std/assert";
import type { BenchmarkRow } from "../../src/bench/mod.ts";
import { drawChart } from "../../src/bench/program/chart.ts";
import type { Report } from "../../src/bench/program/report.ts";
import { formatReport } from "../../src/bench/program/report_table.ts";
import { ensureWellFormed } from "./well_formed.ts";

function measured(access: string, backend: string, ns: number): BenchmarkRow {
  const figures = { ns, bareNs: 10, ratio: ns / 10, spread: 0.034 };
  return { access, backend, outcome: "measured", reason: null, ...figures };
}

function missing(
  outcome: "wrong" | "unavailable",
  access: string,
  backend: string,
  reason: string,
): BenchmarkRow {
  return { access, backend, outcome, reason, ns: null, bareNs: 10, ratio: null, spread: null };
}

const REPORT: Report = {
  ...{ runtime: "Deno 2.9.6", machine: "a machine, 2 CPUs", mib: 16, rounds: 5, timeMs: 20 },
  yours: ["mine <&>"],
  rows: [
    measured("u32 read", "mine <&>", 12_345),
    measured("u32 read", "heap", 25),
    missing("unavailable", "u64 load", "mine <&>", "no host address"),
    measured("u64 load", "heap", 7),
    missing("wrong", "512 B write, random", "mine <&>", "it left 0x0 at 0x40, not 0x1"),
    measured("512 B write, random", "heap", 10),
    missing("unavailable", "512 B read, boundary", "mine <&>", "one region"),
    missing("unavailable", "512 B read, boundary", "heap", "one region"),
  ],
};

const HEAD = [
  "Deno 2.9.6, a machine, 2 CPUs, 16 MiB each, 5 rounds of 20 ms",
  "Times as a multiple of the bare array's, with their spread: below 1 is faster",
  "",
];
const NOTES = [
  "-  mine <&>, u64 load: no host address",
  "wrong  mine <&>, 512 B write, random: it left 0x0 at 0x40, not 0x1",
  "-  mine <&>; heap, 512 B read, boundary: one region",
];

Deno.test("formatReport() has a row for each backend, and the reasons of what is missing", () => {
  assertEquals(formatReport(REPORT, 100), [
    ...HEAD,
    "                   u32 read   u64 load  512 B write  512 B read",
    "                                             random    boundary",
    "bare typed array    10.0 ns    10.0 ns      10.0 ns     10.0 ns",
    "mine <&>          1235   3%     -        wrong           -",
    "heap              2.50   3%  0.70   3%    1.00   3%      -",
    "",
    ...NOTES,
  ]);
});

Deno.test("formatReport() puts below each other what is wider than the terminal", () => {
  assertEquals(formatReport({ ...REPORT, rounds: 1 }, 78).slice(3, 8), [
    "                  u32 read  u64 load  512 B write  512 B read",
    "                                           random    boundary",
    "bare typed array   10.0 ns   10.0 ns      10.0 ns     10.0 ns",
    "mine <&>              1235         -        wrong           -",
    "heap                  2.50      0.70         1.00           -",
  ]);
  const narrow = formatReport(REPORT, 40);
  assert(narrow.every((line) => line.length <= 40), narrow.join("\n"));
  assertEquals(narrow.filter((line) => line.startsWith("mine <&>")).length, 3);
  // It is no news of this library's own memory.
  assertEquals(narrow.filter((line) => line.startsWith("heap")).length, 2);
});

Deno.test("drawChart() is a picture with a bar and a figure for each ratio", () => {
  const svg = drawChart(REPORT);
  ensureWellFormed(svg);
  for (const text of ["u32 read", "mine &lt;&amp;&gt;", "heap", "1235", "2.50", "0.70", "wrong"]) {
    assert(svg.includes(`>${text}</text>`), text);
  }
  assertEquals(svg.match(/<rect class="(bar|yours)"/g)!.length, 4);
  assertMatch(svg, /@media \(prefers-color-scheme: dark\)/);
  for (const [, x] of svg.matchAll(/ x="([^"]*)"/g)) assert(Number(x) >= 0 && Number(x) <= 960, x);
  // What a custom backend lacks is shown, and what the library's kinds lack is not.
  assertEquals(svg.match(/>not available</g)!.length, 2);
});

Deno.test("drawChart() draws a bar that begins at 1, to the left if it is faster", () => {
  const svg = drawChart({ ...REPORT, rows: [measured("a", "fast", 5), measured("a", "slow", 20)] });
  const [fast, slow] = [...svg.matchAll(/<rect class="bar" x="([\d.]+)" .* width="([\d.]+)"/g)]
    .map(([, x, width]) => [Number(x), Number(width)] as const);
  const base = fast![0] + fast![1];
  assert(Math.abs(base - slow![0]) < 0.2);
  // Half of the time is as far from 1 as twice the time.
  assert(Math.abs(fast![1] - slow![1]) < 0.2);
});

Deno.test("drawChart() shows long and hostile names in their column", () => {
  const name = `${"long ".repeat(50)}\0\x1b]]><script>`;
  const svg = drawChart({ ...REPORT, yours: [name], rows: [measured("a", name, 5)] });
  ensureWellFormed(svg);
  assertFalse(svg.includes("script>"));
  assert(svg.includes(">long long long long l…<"));
});
