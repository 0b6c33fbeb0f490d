import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { createHash } from "node:crypto";
import { runInTerminal, terminalTest } from "./in_terminal.ts";
import { makeElf, noise, type SegmentToMake, TemporaryFile } from "./elf_builder.ts";

const DEMO = new URL("../../examples/demo.ts", import.meta.url).href;
const PERMISSIONS = ["--allow-ffi", "--allow-read"];
const MIB = 2 ** 20;
const GIB = 2 ** 30;

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function demo(args: readonly string[], permissions: readonly string[] = PERMISSIONS): Outcome {
  return run(Deno.execPath(), ["run", "--no-prompt", ...permissions, DEMO, ...args]);
}

function run(command: string, args: readonly string[], env: Record<string, string> = {}): Outcome {
  const { code, stdout, stderr } = new Deno.Command(command, { args: [...args], env }).outputSync();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

function demoOf(content: Uint8Array): Outcome {
  using file = new TemporaryFile(content);
  return demo([file.path]);
}

function shownHash(data: Uint8Array): string {
  return `✓ ${createHash("sha256").update(data).digest("hex").slice(0, 12)}`;
}

function assertWellFormed({ code, stdout, stderr }: Outcome): void {
  assertEquals(stderr, "");
  assertEquals(code, 0);
  for (const line of stdout.split("\n")) assert(line.length <= 80, `longer than 80: ${line}`);
  assert(!/[^\n\P{Cc}]/u.test(stdout), "control characters where there is no terminal");
}

function assertRefused({ code, stdout, stderr }: Outcome, reason: string, expected = 1): void {
  assertStringIncludes(stderr, reason);
  assertMatch(stderr, /^demo: [^\n]+\n$/);
  assertEquals([stdout, code], ["", expected]);
}

Deno.test("demo loads Deno itself by default", { ignore: Deno.build.os !== "linux" }, () => {
  const outcome = demo([]);
  assertWellFormed(outcome);
  const { stdout } = outcome;
  assertStringIncludes(stdout, "6 GiB of RAM in 3 regions");
  assertStringIncludes(stdout, "0x0-0x3fffffff");
  assertStringIncludes(stdout, "0x100000000-0x1bfffffff");
  assertMatch(stdout, /hole +0xc0000000-0xffffffff +1 GiB/);
  assertMatch(stdout, /0x100000: 1 MiB is added to addresses that count from 0x0/);
  assertMatch(stdout, /r-x +0x[0-9a-f]+-0x[0-9a-f]+ .* ✓ [0-9a-f]{12}\n/);
  assertStringIncludes(stdout, "= 64: 32 + 32 bytes, 2 host mappings");
  assertStringIncludes(stdout, "throws InvalidGuestAddress");
  assertStringIncludes(stdout, "Cannot access guest address 0xc0000000: no region contains it");
  assertStringIncludes(stdout, "= 32: short, it ends where the hole begins");
  assertStringIncludes(stdout, "points to: 7f 45 4c 46 02 01 01");
  assertMatch(stdout, /plain read +━+ +[\d,]+ MB\/s/);
  assertMatch(stdout, /Total time: [\d.]+ m?s\n$/);
});

Deno.test("demo places segments at their physical addresses, also over a boundary", () => {
  const code = noise(3 * MIB, 1);
  const data = noise(5000, 2);
  const high = noise(10 * MIB, 3);
  const outcome = demoOf(makeElf([
    { data: code, paddr: 0x20_0000n, flags: 5 },
    { data, paddr: BigInt(GIB - 1000), flags: 6, memsz: 9096n },
    { data: high, paddr: BigInt(4 * GIB), flags: 4 },
    { paddr: BigInt(2 * GIB), flags: 7, memsz: BigInt(MIB) },
  ]));
  assertWellFormed(outcome);
  const { stdout } = outcome;
  assertStringIncludes(stdout, "none: segments lie at their physical addresses");
  assertStringIncludes(stdout, "Entry point   0x200000");
  const table = (pattern: string) => assertMatch(stdout, new RegExp(pattern));
  table(`█ 0  r-x  0x200000-0x4fffff +3 MiB +0 B +${shownHash(code)}`);
  table(`▓ 1  rw-  0x3ffffc18-0x40001f9f +4.9 KiB +4 KiB +${shownHash(data)}`);
  table(`▒ 2  r--  0x100000000-0x1009fffff +10 MiB +0 B +${shownHash(high)}`);
  table("▚ 3  rwx  0x80000000-0x800fffff +0 B +1 MiB\n");
  table("RAM 1 +0x40000000-0xbfffffff +2 GiB +3.9 KiB");
});

Deno.test("demo moves what wants to be in low memory by 1 MiB", () => {
  const data = noise(100, 4);
  const outcome = demoOf(makeElf([{ data, paddr: 0xf_ffffn }]));
  assertWellFormed(outcome);
  assertStringIncludes(outcome.stdout, "1 MiB is added to addresses that count from 0xfffff");
  assertMatch(outcome.stdout, new RegExp(`0x1fffff-0x200062 .*${shownHash(data)}`));
});

Deno.test("demo loads a file whose segments have no bytes in it", () => {
  const outcome = demoOf(makeElf([{ paddr: 0x20_0000n, memsz: 0x1000n, offset: 2n ** 64n - 1n }]));
  assertWellFormed(outcome);
  assertStringIncludes(outcome.stdout, "0 B in 1 segment\n");
});

Deno.test("demo draws segments that end where the memory does", () => {
  const one = Uint8Array.of(1);
  const outcome = demoOf(makeElf([
    { data: one, paddr: BigInt(7 * GIB - 1) },
    { data: one, paddr: BigInt(3 * GIB - 1) },
    { data: one, paddr: 0x10_0000n },
  ]));
  assertWellFormed(outcome);
  assertStringIncludes(outcome.stdout, "0x1bfffffff-0x1bfffffff");
});

Deno.test("demo lists the first of very many segments", () => {
  const outcome = demoOf(makeElf(
    Array.from({ length: 65_534 }, (_, i) => ({ paddr: BigInt(MIB + i), memsz: 1n })),
  ));
  assertWellFormed(outcome);
  assertStringIncludes(outcome.stdout, "… and 65,518 more segments");
});

Deno.test("demo shows what is resident", () => {
  using file = new TemporaryFile(makeElf([{ data: noise(3 * MIB, 5), paddr: 0x20_0000n }]));
  const { stdout, code } = demo([file.path]);
  assertEquals(code, 0);
  assertMatch(stdout, /RAM 0 +0x0-0x3fffffff +1 GiB +3 MiB +[34](\.\d)? MiB +0x/);
  assertMatch(stdout, /RAM 2 +0x100000000-0x1bfffffff +3 GiB +0 B +0 B +0x/);
});

Deno.test("demo shows its usage", () => {
  for (const flag of ["--help", "-h"]) {
    const outcome = demo([flag], []);
    assertWellFormed(outcome);
    assertMatch(outcome.stdout, /^Usage: deno task demo \[FILE\]\n/);
  }
});

Deno.test("demo refuses arguments that make no sense", () => {
  assertRefused(demo(["a", "b"]), "expected one FILE, found 2 (see --help)", 2);
  assertRefused(demo(["--verbose"]), "Unknown option '--verbose' (see --help)", 2);
});

Deno.test("demo refuses what is no readable file", async (t) => {
  const cases: [string, string, string][] = [
    ["a missing file", "/no/such/file", 'cannot read "/no/such/file": there is no such file'],
    ["a name with control characters", "/no\n\x1b[31m\x9b", '"/no\\n\\u001b[31m\\u{9b}"'],
    ["a directory", Deno.cwd(), "it is a directory"],
  ];
  if (Deno.build.os !== "windows") cases.push(["a device", "/dev/null", "not a regular file"]);
  for (const [what, path, reason] of cases) {
    await t.step(what, () => assertRefused(demo([path]), reason));
  }
});

Deno.test("demo refuses a file that it may not read", () => {
  using file = new TemporaryFile(makeElf([]));
  Deno.chmodSync(file.path, 0);
  // Root may read it all the same.
  const reason = Deno.uid() === 0 ? "nothing to load" : "permission denied";
  assertRefused(demo([file.path]), reason);
});

Deno.test("demo says which permission it lacks", () => {
  using file = new TemporaryFile(makeElf([]));
  assertRefused(demo([file.path], ["--allow-read"]), "--allow-ffi");
  assertRefused(demo([file.path], ["--allow-ffi"]), "--allow-read");
  assertRefused(demo([], ["--allow-ffi"]), "--allow-read");
});

Deno.test("demo says why its output is not written", { ignore: Deno.build.os !== "linux" }, () => {
  const command = `"${Deno.execPath()}" run ${PERMISSIONS.join(" ")} ${DEMO} >/dev/full`;
  assertRefused(run("sh", ["-c", command]), "No space left on device");
});

Deno.test("demo refuses a file that it cannot load", async (t) => {
  const data = noise(100, 6);
  const at = (paddr: bigint, more: Partial<SegmentToMake> = {}) => ({ data, paddr, ...more });
  const good = makeElf([at(0x20_0000n)]);
  const cases: [string, Uint8Array, string][] = [
    ["empty", new Uint8Array(), "not an ELF file: it is empty"],
    ["text", new TextEncoder().encode("hello, world\n"), "not an ELF file"],
    ["ELF32", makeElf([at(0n)], { class: 1 }), "a 32-bit ELF file"],
    ["big-endian", makeElf([at(0n)], { data: 2 }), "big-endian"],
    ["cut in its header", good.subarray(0, 63), "it ends before its header does"],
    ["cut in its program headers", good.subarray(0, 119), "table of 1 program headers at 0x40"],
    ["cut in a segment", good.subarray(0, 219), "segment 0 has 100 B at offset 0x78"],
    ["without segments", makeElf([]), "nothing to load"],
    ["without PT_LOAD", makeElf([at(0n, { type: 4 })]), "nothing to load"],
    ["table beyond 2^53", makeElf([at(0n)], { phoff: 2n ** 64n - 1n }), "0xffffffffffffffff"],
    ["other header size", makeElf([at(0n)], { phentsize: 32 }), "program headers have 32 bytes"],
    ["too many headers", makeElf([at(0n)], { phnum: 0xffff }), "too many"],
    ["offset beyond 2^53", makeElf([at(0n, { offset: 2n ** 63n })]), "truncated ELF file"],
    ["more in the file", makeElf([at(0n, { memsz: 99n })]), "only 99 B in memory"],
    [
      "in the hole",
      makeElf([at(0x20_0000n), at(0xc000_0000n, { flags: 6 })]),
      "segment 1 does not fit in guest memory: 100 B (rw-) at 0xc0000000, " +
      "RAM is at 0x0-0xbfffffff and 0x100000000-0x1bfffffff",
    ],
    ["runs into the hole", makeElf([at(0xbfff_ffffn)]), "100 B (r-x) at 0xbfffffff"],
    ["larger than RAM", makeElf([at(0x20_0000n, { memsz: 2n ** 40n })]), "1 TiB (r-x) at 0x200000"],
    ["at the end of RAM", makeElf([at(BigInt(7 * GIB - 99))]), "does not fit"],
    ["beyond 2^53", makeElf([at(2n ** 53n)]), "at 0x20000000000000"],
    ["wraps around 2^64", makeElf([at(2n ** 64n - 50n)]), "at 0xffffffffffffffce"],
    ["overlapping", makeElf([at(0x20_0063n), at(0x20_0000n)]), "segments 1 and 0 overlap"],
  ];
  for (const [what, content, reason] of cases) {
    await t.step(what, () => assertRefused(demoOf(content), reason));
  }
});

terminalTest("demo shows progress and colours on a terminal", async () => {
  const inTerminal = (env: Record<string, string>) =>
    runInTerminal(60, [...PERMISSIONS, DEMO], env);
  const coloured = await inTerminal({ NO_COLOR: "" });
  assertMatch(coloured, /\r[█░]+ +\d+% {2}Loading: [\d.]+ MiB of [\d.]+ MiB␛\[K/);
  assertMatch(coloured, /\r[█░]+ +\d+% {2}Verifying: /);
  assertStringIncludes(coloured, "␛[32m✓␛[39m A pattern");
  for (const [, line] of coloured.matchAll(/\r([^\r\n␛]*%[^\r\n␛]*)/g)) {
    assert(line!.length < 60, `would wrap: ${line}`);
  }
  const plain = await inTerminal({ NO_COLOR: "1" });
  assertStringIncludes(plain, "Loading: ");
  assert(!/␛\[\d+m/.test(plain), "colours in spite of NO_COLOR");
});
