import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { candidates } from "../../examples/backings/candidates.ts";
import type { Row } from "../../examples/backings/measure.ts";
import type { Report } from "../../examples/backings/report.ts";
import { runInTerminal, terminalTest } from "./in_terminal.ts";

const PROGRAM = new URL("../../examples/backings.ts", import.meta.url).href;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;
const IS_LINUX = Deno.build.os === "linux";
const SMALL = ["--size", "8"];
const CLOSING = "every discard gave its memory back";

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function backings(
  args: readonly string[],
  permissions: readonly string[] = ["--allow-all"],
  options: Deno.CommandOptions = {},
): Outcome {
  const command = ["run", "--no-check", "--no-prompt", ...permissions, PROGRAM, ...args];
  return run(Deno.execPath(), { args: command, ...options });
}

function run(program: string, options: Deno.CommandOptions): Outcome {
  const { code, stdout, stderr } = new Deno.Command(program, options).outputSync();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

function assertRefused({ code, stdout, stderr }: Outcome, reason: string): void {
  assertStringIncludes(stderr, reason);
  assertMatch(stderr, /^backings: [^\n]+\n$/);
  assertEquals(stdout, "");
  assertEquals(code, 2);
}

// What a row of the table says after its name.
function cellsOf(stdout: string, name: string): string {
  const line = stdout.split("\n").find((line) => line.startsWith(`${name}  `));
  assert(line !== undefined, `no row ${name} in ${stdout}`);
  return line.slice(name.length).trim();
}

function assertWellFormed({ stdout, stderr }: Outcome): void {
  assertEquals(stderr, "");
  assert(!/[^\n\P{Cc}]/u.test(stdout), "control characters where there is no terminal");
  for (const line of stdout.split("\n")) assert(line.length <= 120, `longer than 120: ${line}`);
}

function leftovers(): string[] {
  const folders = [Deno.env.get("TMPDIR") || "/tmp", "/var/tmp", "/dev/shm"];
  return folders.flatMap((folder) =>
    [...Deno.readDirSync(folder)].map(({ name }) => name)
      .filter((name) => name.startsWith("guest-memory-backings-"))
  );
}

Deno.test("backings has a row for every backing and option", { ignore: !IS_LINUX }, () => {
  const outcome = backings(SMALL);
  assertWellFormed(outcome);
  const { stdout, code } = outcome;
  assertEquals(code, 0);
  assertMatch(stdout, /^8 MiB in each backing on linux [^\n]+\n/);
  for (const { name } of candidates()) {
    const isRow = /^(refused: \S|[\d.]+ m?s +[\d.]+ +([\d.]+|–) +[\d.]+ )/;
    assertMatch(cellsOf(stdout, name), isRow);
  }
  const figures = String.raw`^\S+ ms +\S+ +\S+ +\S+  8 MiB → 0 B`;
  assertMatch(cellsOf(stdout, "anonymous, private"), new RegExp(`${figures} +–$`));
  assertMatch(cellsOf(stdout, "memfd, sealed"), new RegExp(`${figures} +16384 → 0$`));
  assertMatch(
    cellsOf(stdout, "foreign mapping"),
    /discard refused: the mapping is somebody else's/,
  );
  assert(stdout.endsWith(`\n\n${CLOSING}\n`), stdout);
  assertEquals(leftovers(), []);
});

Deno.test("backings prints JSON with the fields that --help names", { ignore: !IS_LINUX }, () => {
  const { stdout, stderr, code } = backings([...SMALL, "--json"]);
  assertEquals([stderr, code], ["", 0]);
  const report: Report = JSON.parse(stdout);
  assertEquals(report.rows.map(({ name }) => name), candidates().map(({ name }) => name));
  const usage = backings(["--help"], []).stdout;
  const fields = [...usage.matchAll(/^ {2}(?:rows)? +(\w+) {2,}\S/gm)].map(([, field]) => field!);
  const described = fields.filter((field) => !["unseen", "ok", "rows"].includes(field));
  assert(described.length > 15, `fields of --help: ${described}`);
  for (const row of report.rows) {
    for (const field of described) assert(field in row, `${row.name} has no ${field}`);
    assertEquals(Object.keys(row).length, described.length);
    if (row.granted) assertGranted(row, report.size);
    else assert(row.reason !== null && row.reason.length > 0 && row.mapMs === null);
  }
  assertEquals(report.ok, true);
  assertEquals(report.unseen, { resident: null, blocks: null });
});

function assertGranted(row: Row, size: number): void {
  const { name, mapMs, firstTouchUs, againTouchUs, copyGibPerS, residentBefore } = row;
  assertEquals([row.reason, residentBefore], [null, size], name);
  for (const time of [mapMs, firstTouchUs, copyGibPerS]) assert(time! > 0, name);
  if (row.discardRefused === null) {
    assertEquals([row.discarded, row.residentAfter, row.readsZero], [size, 0, true], name);
    assert(againTouchUs! > 0, name);
  } else {
    assertEquals([row.discarded, row.residentAfter, againTouchUs], [null, size, null], name);
  }
  assert(row.fileUnchanged !== false, name);
  if (/private/.test(name) && /file/.test(name)) assertEquals(row.fileUnchanged, true, name);
}

Deno.test("backings draws a chart with the name of every row", { ignore: !IS_LINUX }, () => {
  const folder = Deno.makeTempDirSync();
  try {
    const chart = `${folder}/times.svg`;
    const { stdout, code } = backings([...SMALL, "--chart", chart]);
    assertEquals(code, 0);
    assertStringIncludes(stdout, `The chart is in ${chart}\n`);
    assert(stdout.endsWith(`${CLOSING}\n`));
    const svg = Deno.readTextFileSync(chart);
    assert(svg.startsWith("<svg"));
    for (const { name } of candidates()) assertStringIncludes(svg, `>${name}</text>`);
    assertRefused(backings([...SMALL, "--chart", `${folder}/none/times.svg`]), "No such file");
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("backings shows its usage", () => {
  for (const flag of ["--help", "-h"]) {
    const outcome = backings([flag], []);
    assertWellFormed(outcome);
    assertEquals(outcome.code, 0);
    assertMatch(outcome.stdout, /^Usage: deno task backings \[options\]\n/);
    for (const line of outcome.stdout.split("\n")) assert(line.length <= 80, line);
  }
});

Deno.test("backings refuses arguments that make no sense", () => {
  for (const size of ["7", "2", "0", "x", "1e3", "9007199254740992"]) {
    assertRefused(backings(["--size", size]), `--size is "${size}", not an even number of MiB`);
  }
  assertRefused(backings(["--size", "8000000000"]), "3/4 of what is available");
  assertRefused(backings(["--chart", "times.png"]), "must end in .svg");
  assertRefused(backings(["--fast"]), "Unknown option '--fast' (see --help)");
  assertRefused(backings(["all"]), "(see --help)");
});

Deno.test("backings says which permission it lacks", { ignore: !IS_LINUX }, async (t) => {
  await t.step("to see how much memory there is", () => {
    assertRefused(backings(SMALL, ["--allow-ffi"]), "--allow-sys");
  });
  await t.step("to map anything", () => {
    assertRefused(backings(SMALL, ["--allow-sys", "--allow-read"]), "--allow-ffi");
  });
  await t.step("to make files, and to see what is resident", () => {
    const outcome = backings(SMALL, ["--allow-ffi", "--allow-sys"]);
    assertWellFormed(outcome);
    const { stdout, code } = outcome;
    assertEquals(code, 0);
    assertMatch(cellsOf(stdout, "file on disk, shared"), /^refused: .*--allow-env/);
    assertMatch(cellsOf(stdout, "anonymous, private"), /^\S+ ms +\S+ +\S+ +\S+ +–$/);
    assertMatch(stdout, /\nresident is not shown: .*--allow-read/);
    assertMatch(
      stdout,
      /\nevery discard reads zero; not all of what it gave back could be seen\n$/,
    );
  });
});

Deno.test("backings of a user without rights names the limit", { ignore: !IS_LINUX }, () => {
  if (Deno.uid() !== 0) return console.log("not tried: only root can be another user");
  const folder = Deno.makeTempDirSync();
  try {
    Deno.chmodSync(folder, 0o777);
    const other = { uid: 65534, gid: 65534, env: { DENO_DIR: folder, HOME: folder } };
    const reason = whyNotAs(other);
    if (reason !== undefined) return console.log(`not tried as another user: ${reason}`);
    // More than may be locked by default, which is 8 MiB.
    const outcome = backings(["--size", "16"], ["--allow-all"], other);
    assertWellFormed(outcome);
    assertEquals(outcome.code, 0);
    assertMatch(cellsOf(outcome.stdout, "locked, anonymous"), /RLIMIT_MEMLOCK/);
    assert(outcome.stdout.endsWith(`${CLOSING}\n`));
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

// Why a user cannot run this program: its own folder may be closed to others.
function whyNotAs(user: Deno.CommandOptions): string | undefined {
  try {
    const { code, stderr } = run(Deno.execPath(), { args: ["info", "--config", CONFIG], ...user });
    return code === 0 ? undefined : stderr;
  } catch (error) {
    return (error as Error).message;
  }
}

Deno.test("backings leaves no file behind after Ctrl-C", { ignore: !IS_LINUX }, async () => {
  for (const wait of [900, 1500]) {
    const args = ["run", "--no-check", "--allow-all", PROGRAM, "--size", "128"];
    const child = new Deno.Command(Deno.execPath(), { args, stdout: "piped" }).spawn();
    await new Promise((resolve) => setTimeout(resolve, wait));
    child.kill("SIGINT");
    const { code, stdout } = await child.output();
    assertEquals([code, stdout.length], [130, 0]);
    assertEquals(leftovers(), []);
  }
});

terminalTest("backings shows progress and colours on a terminal", async () => {
  const inTerminal = (env: Record<string, string>) =>
    runInTerminal(60, ["--no-check", "-A", PROGRAM, "--size", "4"], env);
  const coloured = await inTerminal({ NO_COLOR: "" });
  assertMatch(coloured, /\r[█░]+ +0% {2}anonymous, private␛\[K/);
  assertStringIncludes(coloured, `␛[32m${CLOSING}␛[39m`);
  const plain = await inTerminal({ NO_COLOR: "1" });
  assertMatch(plain, /\r[█░]+ +0% {2}anonymous, private␛\[K/);
  assert(!/␛\[\d+m/.test(plain), "colours in spite of NO_COLOR");
});
