/** What programs print is no wider than the terminal. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { runInTerminal, terminalTest, tooWide } from "./in_terminal.ts";
import { BANNER, FakeGuest } from "./introspect/programs.ts";
import { kvmTest } from "./microvm/kvm_guest.ts";

const WIDTHS = [40, 72];

/** Runs a program at several widths, and returns what it printed at the narrowest. */
async function assertFits(args: readonly string[]): Promise<string> {
  const [program, ...rest] = args;
  const path = new URL(`../../examples/${program}`, import.meta.url).pathname;
  const outputs: string[] = [];
  for (const columns of WIDTHS) {
    const output = await runInTerminal(columns, ["-A", "--no-check", path, ...rest]);
    assertEquals(tooWide(output, columns), [], `${program} in ${columns} columns`);
    outputs.push(output.replaceAll(/␛\[[\d;]*m/g, ""));
  }
  return outputs[0]!;
}

terminalTest("demo draws a smaller map in a narrow terminal", async () => {
  const output = await assertFits(["demo.ts"]);
  assertStringIncludes(output, `┌${"─".repeat(3)}┬`);
  assert(/\n {2}┌[─┴]{29}┐\r/.test(output), output);
});

terminalTest("snapshot-story draws fewer pages in a line of a narrow terminal", async () => {
  const output = await assertFits(["snapshot_story.ts", "--guest", "worker", "--clones", "2"]);
  const counted = `·${"▒▒▒○".repeat(6)}`;
  assertStringIncludes(output, `\n 0x40000 ${counted.slice(0, 16)}\r\n 0x50000 `);
  assertStringIncludes(output, `\n  1 →42 ··▀${"·".repeat(13)}\r\n        ${"·".repeat(9)}`);
});

terminalTest("backings puts figures below the names in a narrow terminal", async () => {
  const output = await assertFits(["backings.ts", "--size", "4"]);
  assert(/\nanonymous, private\r\n +[\d.]+ ms/.test(output), output);
});

terminalTest("migrate fits a narrow terminal", async () => {
  assertStringIncludes(await assertFits(["migrate.ts", "--size", "8"]), "the memory is the same");
});

terminalTest("introspect draws fewer pages in a line of a narrow terminal", async () => {
  // A process that maps a memfd stands in for QEMU, and its kernel for one on x86-64.
  if (Deno.build.arch !== "x86_64") return console.log("skipped: needs x86-64");
  await using guest = await FakeGuest.start(2 ** 22);
  await guest.write(2 ** 21, `${BANNER}§`);
  const args = ["introspect.ts", "--pid", String(guest.pid), "--seconds", "0.2"];
  const output = await assertFits(args);
  assert(/\n {9}0x0 {2}[█▓▒░·]{16}\r/.test(output), output);
});

kvmTest("microvm and clones fit a narrow terminal", async () => {
  assertStringIncludes(await assertFits(["microvm.ts"]), "\n 0x10000 ");
  await assertFits(["clones.ts", "--clones", "3", "--memory", "64M"]);
});
