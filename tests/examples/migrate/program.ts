/**
 * Runs the example as a user does, in a new process.
 *
 * @module
 */

const MIGRATE = new URL("../../../examples/migrate.ts", import.meta.url).href;

/** How the program ended. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts the program. */
export function start(args: readonly string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-check", "--no-prompt", "--allow-all", MIGRATE, ...args],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Runs the program to its end. */
export async function migrate(...args: string[]): Promise<Outcome> {
  const { code, stdout, stderr } = await start(args).output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

/** The lines of an output, one by one. */
export async function* linesOf(output: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const part of output) {
    const lines = (rest + new TextDecoder().decode(part)).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}
