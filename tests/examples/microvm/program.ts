/**
 * Runs the example as a user does, in a new process.
 *
 * @module
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { TemporaryFile } from "../elf_builder.ts";

const MICROVM = new URL("../../../examples/microvm.ts", import.meta.url).href;
/** What `deno task microvm` allows. */
const PERMISSIONS = ["--allow-ffi", "--allow-read", "--allow-net=127.0.0.1"];

/** How the program ended. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command line of the program. */
export function commandOf(
  args: readonly string[],
  permissions: readonly string[] = PERMISSIONS,
): string[] {
  return [Deno.execPath(), "run", "--quiet", "--no-prompt", ...permissions, MICROVM, ...args];
}

/** Starts the program, with nothing on its standard input unless `stdin` is `"piped"`. */
export function start(
  args: readonly string[],
  stdin: "null" | "piped" = "null",
  permissions?: readonly string[],
): Deno.ChildProcess {
  const [command, ...rest] = commandOf(args, permissions);
  const env = { NO_COLOR: "1" };
  return new Deno.Command(command!, { args: rest, env, stdin, stdout: "piped", stderr: "piped" })
    .spawn();
}

/** Runs the program to its end. */
export async function microvm(
  args: readonly string[],
  permissions?: readonly string[],
): Promise<Outcome> {
  const { code, stdout, stderr } = await start(args, "null", permissions).output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

/** Boots a kernel of a few bytes. */
export async function bootImage(content: Uint8Array, ...args: string[]): Promise<Outcome> {
  using file = new TemporaryFile(content);
  return await microvm(["--kernel", file.path, "--memory", "4M", ...args]);
}

/** Asserts that the program refused: one line, and code 1, or 2 for arguments that make no sense. */
export function assertRefused(
  { code, stdout, stderr }: Outcome,
  reason: string,
  expected: 1 | 2 = 1,
): void {
  assertStringIncludes(stderr, reason);
  assertMatch(stderr, /^microvm: [^\n]+\n$/);
  assertEquals([stdout, code], ["", expected]);
}

/** Asserts that a guest was started, and ended badly: a line each, and code 1. */
export function assertFailed({ code, stderr }: Outcome, ...reasons: string[]): void {
  const lines = stderr.trimEnd().split("\n");
  assertEquals([lines.length, code], [2, 1], stderr);
  for (const reason of reasons) assertStringIncludes(lines[1]!, reason);
}
