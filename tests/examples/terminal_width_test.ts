/** What programs print is no wider than the terminal. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { runInTerminal, terminalTest, tooWide } from "./in_terminal.ts";
import { kvmTest } from "./microvm/kvm_guest.ts";

const WIDTHS = [40, 60, 100];

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

kvmTest("microvm and clones fit a narrow terminal", async () => {
  assertStringIncludes(await assertFits(["microvm.ts"]), "\n 0x10000 ");
  await assertFits(["clones.ts", "--clones", "3", "--memory", "64M"]);
});
