import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { parseCaseName } from "../../bench/vs_rust/compare/case_name.ts";
import { ratioChart, throughputChart } from "../../bench/vs_rust/compare/charts.ts";
import { parseOptions, USAGE } from "../../bench/vs_rust/compare/options.ts";
import { UsageError } from "../../src/bench/program/usage.ts";
import { type Measurements, PeerError } from "../../bench/vs_rust/compare/peers.ts";
import { countAhead, makeReport, type Report } from "../../bench/vs_rust/compare/report.ts";
import { takeTurns } from "../../src/bench/turns.ts";
import { geometricMean, median, spread } from "../../src/bench/statistics.ts";
import { formatReport } from "../../bench/vs_rust/compare/table.ts";
import { BACKENDS } from "../../src/bench/built_in.ts";
import { COPY_SIZES, copyName, memcpyName } from "../../bench/vs_rust/crate/copies.ts";

const COMPARE = new URL("../../bench/vs_rust/compare.ts", import.meta.url).href;
const PERMISSIONS = ["--allow-read", "--allow-write", "--allow-run"];

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function compare(args: readonly string[], path?: string): Outcome {
  const { code, stdout, stderr } = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", ...PERMISSIONS, COMPARE, ...args],
    ...(path === undefined ? {} : { env: { PATH: path } }),
  }).outputSync();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

class TemporaryDirectory implements Disposable {
  readonly path: string = Deno.makeTempDirSync();

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

function measured(by: string, times: Readonly<Record<string, number>>): Measurements {
  const cases = Object.entries(times).map(([name, time]) =>
    [name, { median: time, p25: time, p75: time, mean: time * 1.5, iterations: 1 }] as const
  );
  return { by, cases: Object.fromEntries(cases) };
}

const REQUEST = "virtqueue/request/0";
const TRACKED = "virtqueue/tracked/0";
const ONLY_IN_RUST = "virtqueue/tracked/4096";
const ONLY_IN_DENO = "virtqueue/request/1";
const BY_DESCRIPTOR = "virtqueue/request/0/by_descriptor";

const NOT_MEASURED = {
  rust: undefined,
  denoVirtqueue: undefined,
  rustVirtqueue: undefined,
  rustByDescriptor: undefined,
  systemCalls: undefined,
  memcpy: undefined,
};

/**
 * Two rounds of a few cases, in which Deno takes half of Rust's time, a quarter of it for a virtqueue,
 * as long as memcpy, and one and a half times as long as a system call in C.
 */
function smallReport(): Report {
  const names = ["read_from_file_0x0", "write_to_0x0", "read_from_0x7FFFFF00", "find_region"];
  const times = (time: number) => Object.fromEntries(names.map((name) => [name, time]));
  const copies = BACKENDS.flatMap(({ name }) =>
    COPY_SIZES.flatMap((size) => [
      [copyName("read", name, size), size],
      [copyName("write", name, size), size],
    ])
  );
  const memcpy = Object.fromEntries(COPY_SIZES.map((size) => [memcpyName(size), size]));
  const slice = "VolatileSlice::copy_to_u8";
  return makeReport(
    {
      deno: [5, 10].map((time) =>
        measured("Deno 1", { ...times(time), [slice]: 12, "set::copy_to_u8": 10 })
      ),
      rust: [10, 20].map((time) => measured("vm-memory 2", { ...times(time), [slice]: 6 })),
      denoVirtqueue: [1, 2].map((time) =>
        measured("Deno 1", {
          ...{ [REQUEST]: time, [TRACKED]: time, [ONLY_IN_DENO]: time, [BY_DESCRIPTOR]: time },
        })
      ),
      rustVirtqueue: [4, 8].map((time) =>
        measured("virtio-queue 3", { [REQUEST]: time, [TRACKED]: time, [ONLY_IN_RUST]: time })
      ),
      rustByDescriptor: [2, 4].map((time) => measured("virtio-queue 3", { [BY_DESCRIPTOR]: time })),
      systemCalls: [4, 6].map((time) => ({
        ...measured("vm-memory 2", { read_from_file: time, write_to_file: time }),
        threads: 6,
      })),
      denoCopies: [1, 2].map(() => measured("Deno 1", Object.fromEntries(copies))),
      memcpy: [1, 2].map(() => measured("vm-memory 2", memcpy)),
    },
    "a test",
  );
}

function assertAlmostEquals(actual: number, expected: number): void {
  assert(Math.abs(actual - expected) < 1e-9, `${actual} is not ${expected}`);
}

Deno.test("median() takes the middle, or the middle of the two in the middle", () => {
  assertEquals(median([3, 1, 2]), 2);
  assertEquals(median([4, 1, 3, 2]), 2.5);
  assertEquals(median([7]), 7);
  assert(Number.isNaN(median([])));
});

Deno.test("geometricMean() of a ratio and its inverse is 1", () => {
  assertEquals(geometricMean([0.5, 2]), 1);
  assertAlmostEquals(geometricMean([8]), 8);
  assertAlmostEquals(geometricMean([1, 2, 4]), 2);
  assert(Number.isNaN(geometricMean([])));
});

Deno.test("spread() is the distance of the quartiles over the median", () => {
  assertEquals(spread([1, 2, 3, 4, 5]), 2 / 3);
  assertEquals(spread([5, 5, 5]), 0);
  assertEquals(spread([3]), 0);
});

Deno.test("takeTurns() goes through every second round in reverse", async () => {
  const order: string[] = [];
  const turns = ["a", "b", "c"].map((name) => ({
    name,
    take: () => Promise.resolve(order.push(name)),
  }));
  const results = await takeTurns(3, turns, () => {});
  assertEquals(order.join(""), "abccbaabc");
  assertEquals(results, [[1, 6, 7], [2, 5, 8], [3, 4, 9]]);
});

Deno.test("parseCaseName() puts the cases of one boundary at one place", () => {
  const places = ["write_to_0x7FFFFF00", "read_big_obj_from_0x7FFFFFD0", "a_0x7FFFFFFC"]
    .map((name) => parseCaseName(name).place);
  assertEquals(new Set(places), new Set(["over regions 0 and 1"]));
  assertEquals(parseCaseName("read_from_0x0"), { operation: "read_from", place: "in region 0" });
  assertEquals(parseCaseName("read_from_0x380000000").place, "in region 7");
  assertEquals(parseCaseName("read_from_0x37FFFFF00").place, "over regions 6 and 7");
  assertEquals(parseCaseName("VolatileSlice::copy_to_u8"), {
    operation: "copy_to_u8",
    place: undefined,
  });
});

Deno.test("parseOptions() has defaults, short ones for --quick, and explicit ones before both", () => {
  assertEquals(parseOptions([]), {
    rounds: 9,
    timeMs: 100,
    json: undefined,
    charts: "target/compare/",
  });
  assertEquals(
    parseOptions(["--quick", "--rounds", "2", "--json", "x.json", "--no-charts"]),
    { rounds: 2, timeMs: 50, json: "x.json", charts: undefined },
  );
  assertEquals(parseOptions(["--time", "7", "-h"]), undefined);
});

Deno.test("parseOptions() has charts among the recorded results only with --record", () => {
  assertEquals(parseOptions(["--quick"])!.charts, "target/compare/");
  assertEquals(parseOptions(["--quick", "--record"])!.charts, "bench/results/");
});

Deno.test("parseOptions() refuses what makes no sense", () => {
  for (
    const args of [
      ["--rounds", "0"],
      ["--rounds", "-1"],
      ["--rounds", "1.5"],
      ["--rounds", "many"],
      ["--rounds"],
      ["--time", ""],
      ["--time", "1e3"],
      ["--json"],
      ["--fast"],
      ["quick"],
      ["--record", "--no-charts"],
    ]
  ) {
    assertThrows(() => parseOptions(args), UsageError, "", args.join(" "));
  }
});

Deno.test("makeReport() compares medians over rounds", () => {
  const { rows, geomean, geomeanOfMeans, set, copies, conditions } = smallReport();
  assertEquals(rows[0], {
    name: "read_from_file_0x0",
    deno: 7.5,
    rust: 15,
    ratio: 0.5,
    spread: 0,
  });
  assertEquals(rows.at(-1)!.name, "VolatileSlice::copy_to_u8");
  assertEquals(rows.length, 5);
  assertEquals(countAhead(rows), 4);
  const expected = (0.5 ** 4 * 2) ** (1 / 5);
  assertAlmostEquals(geomean!, expected);
  assertAlmostEquals(geomeanOfMeans!, expected);
  assertEquals(set, { "VolatileSlice::copy_to_u8": 1.2 });
  assertEquals(copies.length, BACKENDS.length * COPY_SIZES.length * 2);
  assertEquals(new Set(copies.map(({ ratio }) => ratio)), new Set([1]));
  assertEquals(conditions, "Deno 1, vm-memory 2, virtio-queue 3, a test");
});

Deno.test("makeReport() keeps the virtqueue out of the crate's mean, and what one side lacks", () => {
  const { rows, virtqueue, byDescriptor } = smallReport();
  const alike = { deno: 1.5, rust: 6, ratio: 0.25, spread: 0 };
  assertEquals(virtqueue, {
    rows: [
      { name: REQUEST, ...alike },
      { name: TRACKED, ...alike },
      { name: ONLY_IN_RUST, deno: null, rust: 6, ratio: null, spread: null },
      { name: ONLY_IN_DENO, deno: 1.5, rust: null, ratio: null, spread: null },
    ],
    geomean: 0.25,
    geomeanOfMeans: 0.25,
  });
  assertEquals(byDescriptor, {
    rows: [{ name: BY_DESCRIPTOR, deno: 1.5, rust: 3, ratio: 0.5, spread: 0 }],
    geomean: 0.5,
    geomeanOfMeans: 0.5,
  });
  assert(rows.every(({ name }) => !name.startsWith("virtqueue/")));
});

Deno.test("makeReport() refuses a case that is missing in a round", () => {
  const deno = [measured("Deno 1", {})];
  const rustVirtqueue = [{ [REQUEST]: 1 }, {}].map((times) => measured("virtio-queue 3", times));
  assertThrows(
    () => makeReport({ ...NOT_MEASURED, deno, denoCopies: deno, rustVirtqueue }, ""),
    PeerError,
    `${REQUEST} was not measured in every round`,
  );
});

Deno.test("makeReport() compares the cases that are a system call with C", () => {
  assertEquals(smallReport().systemCalls, {
    threads: 6,
    cases: { read_from_file_0x0: { c: 5, ratio: 1.5 } },
  });
});

Deno.test("makeReport() without the Rust side has no ratios", () => {
  const deno = [measured("Deno 1", { find_region: 4 })];
  const report = makeReport(
    { ...NOT_MEASURED, deno, denoCopies: [measured("Deno 1", {})] },
    "a test",
  );
  assertEquals(report.rows, [
    { name: "find_region", deno: 4, rust: null, ratio: null, spread: null },
  ]);
  assertEquals([report.geomean, report.geomeanOfMeans], [null, null]);
  assertEquals(report.virtqueue, { rows: [], geomean: null, geomeanOfMeans: null });
  assertEquals(report.systemCalls, null);
});

Deno.test("makeReport() refuses to compare different cases", () => {
  const rounds = {
    ...NOT_MEASURED,
    deno: [measured("Deno 1", { a: 1, b: 1 })],
    rust: [measured("vm-memory 2", { b: 1, c: 1 })],
    denoCopies: [measured("Deno 1", {})],
  };
  assertThrows(() => makeReport(rounds, ""), PeerError, "only one side has measured a, c");
});

Deno.test("formatReport() has a line for each case, aligned, groups apart, and sums up", () => {
  const lines = formatReport(smallReport(), (_colour, text) => text);
  const at = (name: string) => lines.find((line) => line.startsWith(`${name} `))!;
  const endOf = (column: string) => at("case").indexOf(column) + column.length;
  assertMatch(at("write_to_0x0"), /^write_to_0x0 +7\.5 +15\.0 +0\.50 +0%$/);
  assertMatch(at("read_from_file_0x0"), / 7\.5 +15\.0 +0\.50 +0% +5\.0 +1\.50$/);
  assertEquals(endOf("to C"), at("read_from_file_0x0").length);
  assertEquals(endOf("C, 6 threads"), at("read_from_file_0x0").indexOf(" 5.0") + 4);
  assertMatch(at(REQUEST), / 1\.5 +6\.0 +0\.25 +0%$/);
  assertMatch(at(ONLY_IN_RUST), /4096 +- +6\.0$/);
  assertMatch(at(ONLY_IN_DENO), /1 +1\.5 +-$/);
  assertEquals(lines.indexOf(at(TRACKED)) - lines.indexOf(at(REQUEST)), 1);
  assertEquals(lines.indexOf(at(REQUEST)) - lines.indexOf(at("VolatileSlice::copy_to_u8")), 2);
  assertMatch(at("VolatileSlice::copy_to_u8"), / 12\.0 +6\.0 +2\.00 +0% +1\.20$/);
  assertEquals(lines.indexOf(at("read_from_0x7FFFFF00")) - lines.indexOf(at("write_to_0x0")), 2);
  assertEquals(endOf("ratio"), at("write_to_0x0").indexOf("0.50") + 4);
  assertMatch(at("64 MiB"), /^64 MiB +67,108,864 +67,108,864 +1\.00 +67,108,864 +1\.00$/);
  const text = lines.join("\n");
  assertStringIncludes(text, "Deno takes 0.66 of Rust's time in the geometric mean");
  assertStringIncludes(text, "ahead in 4 of 5 cases");
  assertStringIncludes(
    text,
    "Requests of a virtqueue take 0.25 of Rust's time in the geometric mean, ahead in 2 of 4.",
  );
  assertStringIncludes(
    text,
    "Beside Rust that takes descriptor after descriptor and checks none, they take 0.50.",
  );
  assertStringIncludes(
    text,
    "System calls take 1.50 to 1.50 of C's time in a process with 6 threads.",
  );
  assertStringIncludes(text, "Slices take 1.20 to 1.20 of what a bare TypedArray.set takes");
  assertStringIncludes(text, "Copies from 1 MiB take 1.00 of memcpy's time");
  assert(lines.every((line) => line.length <= 100));
});

Deno.test("formatReport() has no column for C where C was not measured", () => {
  const lines = formatReport({ ...smallReport(), systemCalls: null }, (_colour, text) => text);
  assertMatch(lines[0]!, /^case .* to set$/);
  assert(lines.every((line) => !line.includes("System calls")));
});

Deno.test("formatReport() colours what is ahead and what is behind", () => {
  const lines = formatReport(smallReport(), (colour, text) => `<${colour}>${text}`);
  assert(lines.some((line) => line.startsWith("<ahead>read_from_file_0x0")));
  assert(lines.some((line) => line.startsWith("<behind>VolatileSlice::copy_to_u8")));
});

Deno.test("ratioChart() says what was found, and draws every case", async () => {
  const svg = await ratioChart(smallReport());
  assertMatch(svg, /^<svg [^]*<\/svg>\n$/);
  assertStringIncludes(svg, "Deno takes 0.66 times as long as Rust, and is ahead in 4 of 5 cases");
  for (
    const text of ["in region 0", "over regions 0 and 1", "find_region", "copy_to_u8", ">2.00<"]
  ) {
    assertStringIncludes(svg, text);
  }
  assert(!svg.includes("NaN"));
});

Deno.test("throughputChart() says what was found, and draws every kind of memory", async () => {
  const svg = await throughputChart(smallReport());
  assertStringIncludes(svg, "copies through guest memory reach 100% of memcpy");
  for (const { name } of BACKENDS) assertStringIncludes(svg, `>${name}<`);
  assert(!svg.includes("NaN"));
});

Deno.test("compare --help shows the options", () => {
  assertEquals(compare(["--help"]), { code: 0, stdout: `${USAGE}\n`, stderr: "" });
  assert(USAGE.split("\n").every((line) => line.length <= 80));
});

Deno.test("compare refuses bad arguments in one line", () => {
  assertEquals(compare(["--rounds", "0"]), {
    code: 2,
    stdout: "",
    stderr: 'compare: --rounds needs a whole number from 1, not "0" (see --help)\n',
  });
  const { code, stderr } = compare(["--fast"]);
  assertEquals(code, 2);
  assertMatch(stderr, /^compare: [^\n]*'--fast'[^\n]* \(see --help\)\n$/);
});

Deno.test("compare without cargo says so, and measures the Deno side", () => {
  using directory = new TemporaryDirectory();
  const json = `${directory.path}/report.json`;
  const { code, stdout, stderr } = compare(
    ["--rounds", "1", "--time", "1", "--no-charts", "--json", json],
    directory.path,
  );
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, /^There is no cargo, so this is the Deno side alone\.\n\n/);
  assertMatch(stdout, /\nread_from_file_0x37FFFFF00 +[\d.,]+ +-\n/);
  assertMatch(stdout, /\n64 KiB +[\d.,]+ +[\d.,]+\n/);
  const { rows, geomean, systemCalls } = JSON.parse(Deno.readTextFileSync(json)) as Report;
  assertEquals(systemCalls, null);
  assertEquals(rows.length, 62);
  assertEquals(new Set(rows.map(({ name }) => name)).size, 62);
  assertEquals(geomean, null);
  for (const row of rows) {
    assertEquals(Object.keys(row), ["name", "deno", "rust", "ratio", "spread"]);
    assert(row.deno! > 0);
    assertEquals([row.rust, row.ratio, row.spread], [null, null, null]);
  }
});

const hasShell = Deno.build.os !== "windows";

Deno.test("compare shows why cargo failed", { ignore: !hasShell }, () => {
  using directory = new TemporaryDirectory();
  const cargo = `${directory.path}/cargo`;
  Deno.writeTextFileSync(cargo, "#!/bin/sh\necho 'error: no such crate' >&2\nexit 101\n", {
    mode: 0o755,
  });
  assertEquals(compare(["--rounds", "1", "--time", "1"], directory.path), {
    code: 1,
    stdout: "",
    stderr: "compare: cargo build ended with 101:\nerror: no such crate\n",
  });
});

Deno.test("compare refuses a program that cargo has not built", { ignore: !hasShell }, () => {
  using directory = new TemporaryDirectory();
  const built = JSON.stringify({ target: { name: "guest-memory-bench" }, executable: "/bin/true" });
  Deno.writeTextFileSync(`${directory.path}/cargo`, `#!/bin/sh\necho '${built}'\n`, {
    mode: 0o755,
  });
  assertEquals(compare(["--rounds", "1", "--time", "1"], directory.path), {
    code: 1,
    stdout: "",
    stderr: "compare: cargo does not say where virtqueue-bench is\n",
  });
});

Deno.test("compare runs what cargo has built, and writes both sides", { ignore: !hasShell }, () => {
  using directory = new TemporaryDirectory();
  const { path } = directory;
  const json = `${path}/report.json`;
  // Stand in for the Rust side: any name that is asked for is measured, as 100 ns.
  const names = compare(["--rounds", "1", "--time", "1", "--no-charts", "--json", json], path);
  assertEquals(names.code, 0);
  const { rows } = JSON.parse(Deno.readTextFileSync(json)) as Report;
  const write = (name: string, text: string, mode = 0o644) =>
    Deno.writeTextFileSync(`${path}/${name}`, `${text}\n`, { mode });
  const writeCases = (name: string, crate: string, cases: readonly string[]) => {
    const times = Object.fromEntries(cases.map((name) => [name, 100]));
    write(name, JSON.stringify({ crate, ...measured("", times) }));
  };
  writeCases("cases.json", "vm-memory 0", rows.map(({ name }) => name));
  writeCases("limits.json", "vm-memory 0", COPY_SIZES.map((size) => memcpyName(size)));
  writeCases("calls.json", "vm-memory 0", ["read_from_file", "write_to_file"]);
  writeCases("virtqueue.json", "virtio-queue 0", [REQUEST]);
  writeCases("descriptors.json", "virtio-queue 0", [BY_DESCRIPTOR]);
  const print = (file: string) => `while read -r l; do echo "$l"; done < ${path}/${file}.json`;
  const program = (name: string, lines: string) => write(name, `#!/bin/sh\n${lines}`, 0o755);
  const built = (name: string, executable: string | null) =>
    `echo '${JSON.stringify({ reason: "compiler-artifact", target: { name }, executable })}'\n`;
  program(
    "cargo",
    built("vm-memory", null) + built("guest-memory-bench", `${path}/cases`) +
      built("virtqueue-bench", `${path}/virtqueue`) +
      built("virtqueue-by-descriptor-bench", `${path}/descriptors`) +
      `echo '{"reason":"build-finished","success":true}'`,
  );
  program(
    "cases",
    `case "$*" in\n*--limits*) ${print("limits")};;\n` +
      `*--system-calls*) echo "$*" >> ${path}/calls.txt; ${print("calls")};;\n` +
      `*) ${print("cases")};;\nesac`,
  );
  program("virtqueue", print("virtqueue"));
  program("descriptors", print("descriptors"));

  const { code, stdout, stderr } = compare(
    ["--rounds", "2", "--time", "1", "--no-charts", "--json", json],
    path,
  );
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, /\nfind_region +[\d.,]+ +100\.0 +[\d.]+ +\d+%\n/);
  assertMatch(stdout, /is ahead in \d+ of 62 cases\.\n/);
  const report = JSON.parse(Deno.readTextFileSync(json)) as Report;
  for (const row of report.rows) {
    assertEquals(row.rust, 100);
    assertEquals(row.ratio, row.deno! / 100);
    assert(row.spread! >= 0);
  }
  assertEquals(report.geomean, geometricMean(report.rows.map(({ ratio }) => ratio!)));
  assertEquals(Object.keys(report.set).length, 5);
  assertEquals(report.virtqueue.rows.length, 4);
  for (const { rows } of [report.virtqueue, report.byDescriptor]) {
    assertEquals(rows[0]!.ratio, rows[0]!.deno! / 100);
  }
  const { threads, cases } = report.systemCalls!;
  assertEquals(Object.keys(cases).length, 8);
  for (const { name, deno } of report.rows.filter(({ name }) => name.includes("_file_"))) {
    assertEquals(cases[name], { c: 100, ratio: deno! / 100 });
  }
  const asked = Deno.readTextFileSync(`${path}/calls.txt`).trimEnd().split("\n");
  assertEquals(asked, Array(2).fill(`--time-ms 1 --system-calls --threads ${threads}`));
  // V8 has threads of its own in any process.
  if (Deno.build.os === "linux") assert(threads > 1);
  assertMatch(stdout, new RegExp(`^case .* C, ${threads} threads? +to C\n`));
});
