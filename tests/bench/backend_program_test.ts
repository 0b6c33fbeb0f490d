import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Report } from "../../src/bench/program/report.ts";
import { USAGE } from "../../src/bench/program/options.ts";
import { ensureWellFormed } from "./well_formed.ts";

const ROOT = new URL("../../", import.meta.url);
const PROGRAM = new URL("src/bench/mod.ts", ROOT).href;
const EXAMPLE = new URL("examples/my_backend.ts", ROOT).pathname;
const QUICK = ["--rounds", "1", "--time", "1", "--size", "1"];

/** What a run of the program gave. */
interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function bench(args: string[], permissions: string[] = ["--allow-all"]): Outcome {
  const { code, stdout, stderr } = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", "--no-check", ...permissions, PROGRAM, ...args],
    cwd: ROOT,
  }).outputSync();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

/** What is said of a file that is no module with a backend. */
function refusalOf(text: string): string {
  const path = Deno.makeTempFileSync({ suffix: ".ts" });
  try {
    Deno.writeTextFileSync(path, text);
    const { code, stdout, stderr } = bench(["--backend", path, ...QUICK]);
    assertEquals([code, stdout], [2, ""], stderr);
    assertMatch(stderr, /^bench: [^\n]*\n$/);
    return stderr.replaceAll(path, "FILE").trimEnd();
  } finally {
    Deno.removeSync(path);
  }
}

Deno.test("the benchmark shows a backend of a file beside those of this library", () => {
  const { code, stdout, stderr } = bench(["--backend", EXAMPLE, ...QUICK]);
  assertEquals([code, stderr], [0, ""]);
  const lines = stdout.split("\n");
  assert(lines.every((line) => line.length <= 80), stdout);
  assertMatch(lines[0]!, /^Deno .* 1 MiB each, 1 round of 1 ms$/);
  for (const name of ["bare typed array", "sparse pages", "heap ArrayBuffer", "anonymous"]) {
    assert(lines.some((line) => line.startsWith(`${name}  `)), name);
  }
  assertMatch(stdout, /^- {2}sparse pages, u64 load; u64 store: HostAddressNotAvailable: /m);
});

Deno.test("the benchmark prints JSON, and draws a chart", () => {
  const chart = Deno.makeTempFileSync({ suffix: ".svg" });
  try {
    const { code, stdout, stderr } = bench(
      ["--backend", EXAMPLE, ...QUICK, "--json", "--chart", chart],
    );
    assertEquals([code, stderr], [0, `The chart is in ${chart}\n`]);
    const report: Report = JSON.parse(stdout);
    assertEquals([report.mib, report.rounds, report.timeMs], [1, 1, 1]);
    assertEquals(report.yours, ["sparse pages"]);
    const own = report.rows.filter(({ backend }) => backend === "sparse pages");
    const { outcome, ns, bareNs, ratio } = own.find(({ access }) => access === "512 B read")!;
    assertEquals([outcome, ratio], ["measured", ns! / bareNs]);
    const svg = Deno.readTextFileSync(chart);
    ensureWellFormed(svg);
    assert(svg.includes(">sparse pages</text>"));
  } finally {
    Deno.removeSync(chart);
  }
});

Deno.test("the benchmark needs no permission but to read, and says what is missing then", () => {
  const { code, stdout, stderr } = bench(["--backend", EXAMPLE, ...QUICK], ["--allow-read"]);
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, /^sparse pages {2}/m);
  assertMatch(stdout, /^- {2}.*everything/m);
});

Deno.test("the benchmark says what a wrong backend did, and ends with 1", () => {
  const path = Deno.makeTempFileSync({ suffix: ".ts" });
  try {
    const backends = new URL("tests/bench/backends.ts", ROOT).href;
    Deno.writeTextFileSync(
      path,
      `import { ForgettingRegion, ofRegion } from ${JSON.stringify(backends)};
       export default [ofRegion("forgetting", ForgettingRegion)];`,
    );
    const { code, stdout, stderr } = bench(["--backend", path, ...QUICK]);
    assertEquals([code, stderr], [1, ""]);
    assertMatch(stdout, /^forgetting .* wrong/m);
    assertMatch(stdout, /^wrong {2}forgetting, u64 store: it left 0x/m);
  } finally {
    Deno.removeSync(path);
  }
});

Deno.test("the benchmark refuses a file without a backend in one line", () => {
  assertEquals(
    refusalOf("export const backend = 1;"),
    "bench: FILE has no default export: it should be { name, make }, or several in an array",
  );
  assertEquals(
    refusalOf("export default [];"),
    "bench: the default export of FILE is empty",
  );
  assertEquals(
    refusalOf("export default { make: () => undefined };"),
    "bench: the default export of FILE is no backend: its name is no text",
  );
  assertEquals(
    refusalOf('export default [{ name: "a", make: () => undefined }, { name: "b" }];'),
    "bench: element 1 of what FILE exports is no backend: it has no function make",
  );
  assertEquals(
    refusalOf('throw new RangeError("not today");'),
    "bench: FILE cannot be loaded: RangeError: not today",
  );
  assertMatch(refusalOf("export default {"), /^bench: FILE cannot be loaded: /);
  assertEquals(
    refusalOf('export default { name: "a", make() { throw new Error("no luck"); } };'),
    "bench: make() of a failed: no luck",
  );
});

Deno.test("the benchmark refuses bad arguments in one line", () => {
  for (
    const [args, message] of [
      [["--backend", "/no/such/file.ts"], "there is no file /no/such/file.ts"],
      [["--size", "0"], '--size needs a whole number from 1, not "0" (see --help)'],
      [["--size", "2000"], "--size is 1024 at most, not 2000 (see --help)"],
      [["--rounds", "x"], '--rounds needs a whole number from 1, not "x" (see --help)'],
    ] as const
  ) {
    assertEquals(bench([...args]), { code: 2, stdout: "", stderr: `bench: ${message}\n` });
  }
  assertMatch(
    bench(["--chart", "/no/such/folder/a.svg"]).stderr,
    /^bench: --chart cannot be writt/,
  );
  assertMatch(bench(["mine.ts"]).stderr, /^bench: .*mine\.ts.* \(see --help\)\n$/);
});

Deno.test("the benchmark's --help shows every option in 80 columns", () => {
  assertEquals(bench(["--help"], []), { code: 0, stdout: `${USAGE}\n`, stderr: "" });
  assert(USAGE.split("\n").every((line) => line.length <= 80));
});
