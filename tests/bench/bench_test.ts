import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { NAMES, parseOptions, USAGE } from "../../bench/options.ts";
import { ratiosChart } from "../../bench/ratio_chart.ts";
import { formatTable } from "../../bench/table.ts";
import { makeRow, type Row } from "../../src/bench/row.ts";
import { formatTime } from "../../src/bench/time_text.ts";
import { UsageError } from "../../src/bench/program/usage.ts";

const BENCH = new URL("../../bench/bench.ts", import.meta.url).href;

function bench(...args: string[]): { code: number; stdout: string; stderr: string } {
  const { code, stdout, stderr } = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--allow-all", BENCH, ...args],
  }).outputSync();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

/** The tables that a short run of benchmarks prints. */
function tablesOf(...args: string[]): { readonly title: string; readonly rows: readonly Row[] }[] {
  const { code, stdout, stderr } = bench("--rounds", "1", "--time", "1", "--json", ...args);
  assertEquals([code, stderr], [0, ""]);
  return stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
}

Deno.test("formatTime() has the unit that suits, and three digits from a microsecond on", () => {
  assertEquals(formatTime(0.54), "0.5 ns");
  assertEquals(formatTime(99.94), "99.9 ns");
  assertEquals(formatTime(99.96), "100 ns");
  assertEquals(formatTime(999.4), "999 ns");
  assertEquals(formatTime(999.6), "1.00 µs");
  assertEquals(formatTime(12_345), "12.3 µs");
  assertEquals(formatTime(999_400), "999 µs");
  assertEquals(formatTime(999_600), "1.00 ms");
  assertEquals(formatTime(123_456_789), "123 ms");
});

Deno.test("makeRow() compares medians, and says how far the rounds are apart", () => {
  assertEquals(
    makeRow({ name: "a", times: [10, 30, 20] }, { name: "b", times: [5, 15, 10] }),
    { name: "a", ns: 20, rival: "b", rivalNs: 10, ratio: 2, spread: 0 },
  );
  assertEquals(makeRow({ name: "a", times: [1, 2, 3, 4, 5] }), {
    name: "a",
    ns: 3,
    rival: null,
    rivalNs: null,
    ratio: null,
    spread: 2 / 3,
  });
  const best = (times: readonly number[]) => Math.min(...times);
  const row = makeRow({ name: "a", times: [8, 9] }, { name: "b", times: [5, 4] }, best);
  assertEquals([row.ns, row.rivalNs, row.ratio], [8, 4, 2]);
});

Deno.test("formatTable() aligns names to the left and figures to the right", () => {
  const rows = [
    makeRow({ name: "read", times: [9.04] }, { name: "set of a view", times: [4.52] }),
    makeRow({ name: "written, 1 MiB", times: [22_300] }),
  ];
  assertEquals(formatTable("A copy", rows), [
    "A copy             time  beside         its time  ratio  spread",
    "read             9.0 ns  set of a view    4.5 ns   2.00      0%",
    "written, 1 MiB  22.3 µs                                      0%",
  ]);
});

Deno.test("parseOptions() has defaults for all that is not said", () => {
  assertEquals(parseOptions([]), {
    names: NAMES.filter((name) => name !== "vhost"),
    filter: "",
    rounds: 5,
    timeMs: 20,
    gib: 1,
    charts: undefined,
    json: false,
  });
  assertEquals(
    parseOptions("copies --rounds 2 --time 3 --gib 4 --json --filter set start".split(" ")),
    {
      names: ["copies", "start"],
      filter: "set",
      rounds: 2,
      timeMs: 3,
      gib: 4,
      charts: undefined,
      json: true,
    },
  );
  assertEquals(parseOptions(["--chart"])!.charts, "target/bench/");
  assertEquals(parseOptions(["--record", "--chart"])!.charts, "bench/results/");
  assertEquals(parseOptions(["-h"]), undefined);
});

Deno.test("parseOptions() refuses what makes no sense", () => {
  for (const args of [["speed"], ["--rounds", "0"], ["--time", ""], ["--gib", "x"], ["--fast"]]) {
    assertThrows(() => parseOptions(args), UsageError, "", args.join(" "));
  }
});

Deno.test("bench --help shows the options, and every benchmark by its name", () => {
  assertEquals(bench("--help"), { code: 0, stdout: `${USAGE}\n`, stderr: "" });
  for (const name of NAMES) assertMatch(USAGE, new RegExp(`^  ${name} `, "m"));
  assert(USAGE.split("\n").every((line) => line.length <= 80));
});

Deno.test("bench refuses bad arguments in one line", () => {
  assertEquals(bench("speed"), {
    code: 2,
    stdout: "",
    stderr: "bench: there is no benchmark speed (see --help)\n",
  });
});

Deno.test("there is a file for each benchmark, and a benchmark for each file", () => {
  const files = [...Deno.readDirSync(new URL(".", BENCH))]
    .flatMap(({ name }) => /^(.*)_bench\.ts$/.exec(name)?.[1] ?? []);
  assertEquals(files.sort(), [...NAMES].sort());
});

Deno.test("bench prints a header, and a table with a time, its rival's and their ratio", () => {
  const { code, stdout, stderr } = bench(
    ...["dirty", "--rounds", "1", "--time", "1", "--filter", "u32 written"],
  );
  assertEquals([code, stderr], [0, ""]);
  const [header, , title, row, end] = stdout.split("\n");
  assertMatch(header!, /^Deno [\d.]+, .+, \d+ CPUs?, 1 round of 1 ms a row$/);
  assertMatch(title!, /^A tracked write +time +beside +its time +ratio +spread$/);
  assertMatch(
    row!,
    /^u32 written, page dirty +[\d.]+ [nµ]s {2}not tracked +[\d.]+ [nµ]s +[\d.]+ +\d+%$/,
  );
  assertEquals(end, "");
});

Deno.test("every benchmark of accesses, copies, streams and backends measures", () => {
  const tables = tablesOf("accesses", "copies", "streams", "backends");
  const titles = tables.map(({ title }) => title);
  for (const title of ["An atomic access", "A copy, mapped memory", "512 B read"]) {
    assert(titles.includes(title), `${title} is not among ${titles.join(", ")}`);
  }
  for (const { title, rows } of tables) {
    for (const { name, ns, rivalNs, ratio } of rows) {
      assert(ns > 0 && ns < 1e9, `${title}, ${name}: ${ns}`);
      if (rivalNs !== null) assertEquals(ratio, ns / rivalNs);
    }
    assertEquals(new Set(rows.map(({ name }) => name)).size, rows.length, title);
  }
});

Deno.test("the start is measured in new processes", () => {
  const [median, best, ...others] = tablesOf("start", "--filter", "import");
  assertEquals(others, []);
  const [{ ns: typical }, { ns: least }] = [median!.rows[0]!, best!.rows[0]!];
  // Reading and compiling the module takes milliseconds; its second import takes microseconds.
  assert(least > 1e6 && typical >= least, `${least}, ${typical}`);
});

Deno.test("ratiosChart() draws each row that has a rival, with its ratio", async () => {
  const rows = [
    makeRow({ name: "slow", times: [30] }, { name: "C", times: [2] }),
    makeRow({ name: "fast", times: [5] }, { name: "C", times: [10] }),
    makeRow({ name: "alone", times: [5] }),
  ];
  const tables = [{ title: "Some", rows }, { title: "None", rows: rows.slice(2) }];
  const svg = await ratiosChart("All", "here", tables, new Map([["fast", 1.25]]));
  for (const text of ["All", "here", "Some", "slow  (C)", "fast  (C)", "15.00", "0.50"]) {
    assertEquals(svg.includes(`>${text}<`), true, text);
  }
  for (const text of ["alone", "None"]) assertEquals(svg.includes(text), false, text);
});
