/** How a program ended. */
export interface Ending {
  /** Exit code: 128 plus the signal's number where a signal ended it. */
  readonly code: number;
  /** The signal that ended it, or `null`. */
  readonly signal: string | null;
  /** What it printed. */
  readonly stdout: string;
  /** What it complained of. */
  readonly stderr: string;
}

/**
 * Runs one of the programs of this folder in a new process.
 *
 * @param name Its file's name, without `.ts`.
 * @param args Its arguments.
 */
export function runProgram(name: string, ...args: string[]): Promise<Ending> {
  const url = new URL(`./${name}.ts`, import.meta.url);
  return runDeno(["--allow-all", "--v8-flags=--expose-gc", url.href, ...args]);
}

/**
 * Runs Deno.
 *
 * @param args What follows `deno run`.
 * @param source The program, if it is to be read from standard input (`-`).
 */
export async function runDeno(args: readonly string[], source: string = ""): Promise<Ending> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", ...args],
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const input = child.stdin.getWriter();
  // A program that ends early does not read its input.
  await input.write(new TextEncoder().encode(source)).then(() => input.close()).catch(() => {});
  const { code, signal, stdout, stderr } = await child.output();
  const text = new TextDecoder();
  return { code, signal, stdout: text.decode(stdout).trim(), stderr: text.decode(stderr).trim() };
}
