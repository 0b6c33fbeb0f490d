/**
 * Programs that run in a terminal, by `script` of util-linux.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { columnsOf } from "../../examples/lib/output.ts";

/** A test that needs a terminal: ignored, and the name says why, where there is none. */
export function terminalTest(name: string, fn: () => void | Promise<void>): void {
  const ignore = Deno.build.os !== "linux" || !hasScript();
  Deno.test({ name: ignore ? `${name} (ignored: needs util-linux's script)` : name, ignore, fn });
}

/**
 * Runs Deno in a terminal.
 *
 * @param columns Columns that the terminal has.
 * @param args What Deno is called with.
 * @param env Variables to set.
 * @returns All that the terminal got, with `␛` for each escape character.
 */
export async function runInTerminal(
  columns: number,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<string> {
  const command = [Deno.execPath(), "run", ...args].map((word) => `'${word}'`).join(" ");
  const { code, stdout } = await new Deno.Command("script", {
    args: ["-qec", `stty cols ${columns}; ${command}`, "/dev/null"],
    env,
    stdin: "null",
  }).output();
  const text = new TextDecoder().decode(stdout);
  assertEquals(code, 0, text);
  return text.replaceAll("\x1b", "␛");
}

/** The lines that are wider than a terminal, without codes, and without what was rewritten. */
export function tooWide(output: string, columns: number): string[] {
  const plain = output.replaceAll(/␛\[[\d;]*[A-Za-z]/g, "");
  return plain.split(/\r*\n|\r/).filter((line) => columnsOf(line) > columns);
}

function hasScript(): boolean {
  try {
    return new Deno.Command("script", { args: ["--version"] }).outputSync().success;
  } catch {
    return false;
  }
}
