/**
 * Programs that the check of the runtimes runs.
 *
 * @module
 */

/** What a program said. */
export interface Output {
  /** Its exit code; 127 where there is no such program. */
  readonly code: number;
  /** Both of its outputs. */
  readonly text: string;
}

/** Runs a program to its end. */
export async function output(
  command: string,
  args: readonly string[],
  cwd?: string,
): Promise<Output> {
  try {
    const { code, stdout, stderr } = await new Deno.Command(command, {
      args: [...args],
      ...cwd === undefined ? {} : { cwd },
      env: { NO_COLOR: "1" },
      stdin: "null",
    }).output();
    const decoder = new TextDecoder();
    return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return { code: 127, text: `there is no ${command} on the PATH` };
  }
}

/**
 * Runs npm.
 *
 * @returns Why it failed; `undefined` if it did not.
 */
export async function npm(folder: string, ...args: string[]): Promise<string | undefined> {
  const quiet = ["--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts"];
  const { code, text } = await output("npm", [...args, ...quiet], folder);
  return code === 0 ? undefined : text.trim().split("\n").slice(0, 3).join(" ");
}
