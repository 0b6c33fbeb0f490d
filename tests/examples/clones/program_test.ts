import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { LEAST_MEMORY, morePages, PATTERN_SIZE } from "../../../examples/clones/guest.ts";
import type { Report } from "../../../examples/clones/report.ts";
import { kvmTest } from "../microvm/kvm_guest.ts";

const PROGRAM = new URL("../../../examples/clones.ts", import.meta.url).href;
const SMALL = ["--clones", "3", "--memory", "16M"];
const PAGE = 4096;
/** What the task sets. */
const FLAG = "--v8-flags=--no-incremental-marking";

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function clones(
  args: readonly string[],
  permissions: readonly string[] = ["--allow-all"],
): Promise<Outcome> {
  const command = ["run", "--no-check", "--no-prompt", FLAG, ...permissions, PROGRAM, ...args];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args: command })
    .output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

function assertRefused({ code, stdout, stderr }: Outcome, reason: string): void {
  assertStringIncludes(stderr, reason);
  assertMatch(stderr, /^clones: [^\n]+\n$/);
  assertEquals([stdout, code], ["", 2]);
}

kvmTest("clones shows times and memory of each clone, in 80 columns", async () => {
  const { code, stdout, stderr } = await clones(SMALL);
  assertEquals([stderr, code], ["", 0]);
  assert(!/[^\n\P{Cc}]/u.test(stdout), "control characters where there is no terminal");
  for (const line of stdout.split("\n")) assert(line.length <= 80, `longer than 80: ${line}`);
  assertMatch(stdout, /^A guest of 16 MiB on KVM, and 3 clones of it\n/);
  assertStringIncludes(stdout, "The guest wrote 4 MiB in ");
  assertStringIncludes(stdout, " to a file of 16 MiB of which 4.");
  for (const row of ["first access, 4 GiB \\*", "first access, clones", "first exit, clones"]) {
    assertMatch(stdout, new RegExp(`\\n  ${row}(?: +[\\d.]+ [mµ]?s){5}\\n`));
  }
  assertMatch(stdout, /\n {2}private +\d+ KiB +\d+ KiB +\d+ KiB\n/);
  assert(
    stdout.endsWith("\nAll 3 clones continued from the snapshot, each with the right result.\n"),
  );
});

kvmTest("clones prints JSON, with memory as the guest wrote it", async () => {
  const { code, stdout, stderr } = await clones([...SMALL, "--json"]);
  assertEquals([stderr, code], ["", 0]);
  const report: Report = JSON.parse(stdout);
  const usage = (await clones(["--help"], [])).stdout;
  for (const field of Object.keys(report)) assertMatch(usage, new RegExp(`\\b${field}\\b`));
  assertEquals([report.clones, report.memory, report.problems], [3, 2 ** 24, []]);
  const { bytes, written, stored } = report.snapshot;
  assertEquals(bytes, 2 ** 24);
  assert(written >= PATTERN_SIZE && written < PATTERN_SIZE + 2 ** 18, `${written}`);
  assert(stored >= PATTERN_SIZE && stored < bytes / 2, `${stored} bytes are stored`);
  // Its result, its own pages, and page tables whose bits the processor sets.
  const tables = report.own.min - (1 + morePages(0)) * PAGE;
  assert(tables >= 0 && tables <= 6 * PAGE, `${tables}`);
  const total = [0, 1, 2].reduce((sum, i) => sum + (1 + morePages(i)) * PAGE + tables, 0);
  assertEquals([report.own.max - report.own.min, report.own.total], [2 * PAGE, total]);
  assert(report.shared.min >= PATTERN_SIZE, `${report.shared.min} bytes are shared`);
  assert(report.eager.own >= PATTERN_SIZE);
  const { access, machine, load, run, exit } = report.times;
  assertEquals(report.exits.length, 3);
  assertEquals(report.exits[0], exit.first);
  const parts = access.first + machine.first + load.first + run.first;
  assert(Math.abs(parts - exit.first) < 1e-6);
  assertEquals(report.sizes.map(({ memory }) => memory), [2 ** 24, 2 ** 32, 2 ** 36]);
});

kvmTest("clones leaves no file behind", async () => {
  const folder = Deno.makeTempDirSync();
  try {
    const command = [
      "run",
      "--no-check",
      "--allow-all",
      PROGRAM,
      "--clones",
      "1",
      "--memory",
      "8M",
    ];
    const env = { TMPDIR: folder };
    const { code } = await new Deno.Command(Deno.execPath(), { args: command, env }).output();
    assertEquals([code, [...Deno.readDirSync(folder)]], [0, []]);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("clones --help says how to use it, in 80 columns", async () => {
  const { code, stdout, stderr } = await clones(["--help"], []);
  assertEquals([stderr, code], ["", 0]);
  assertMatch(stdout, /^Usage: deno task clones/);
  for (const line of stdout.split("\n")) assert(line.length <= 80, line);
});

const WRONG_ARGUMENTS: readonly (readonly [args: string[], reason: string])[] = [
  [["--nonsense"], "Unknown option '--nonsense' (see --help)"],
  [["--clones", "0"], '--clones is "0", not an integer from 1 to 1000 (see --help)'],
  [["--clones", "1001"], "not an integer from 1 to 1000"],
  [["--clones", "x"], "not an integer from 1 to 1000"],
  [["--memory", "7M"], `from ${LEAST_MEMORY / 2 ** 20}M to 1024G`],
];

for (const [args, reason] of WRONG_ARGUMENTS) {
  Deno.test(`clones ${args.join(" ")} is refused`, async () => {
    assertRefused(await clones(args, []), reason);
  });
}

Deno.test("clones without KVM says why", { ignore: Deno.build.os !== "linux" }, async () => {
  assertRefused(await clones(["--kvm", "/nonexistent/kvm"]), "there is no KVM here");
  assertRefused(await clones(["--kvm", "/dev/null"]), "it is not KVM");
  assertRefused(await clones([], []), "--allow-ffi");
});
