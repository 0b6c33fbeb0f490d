/**
 * Commands of the host that are run to their end.
 *
 * @module
 */
import { GuestError } from "./guest_error.ts";

/** How a command is run. */
export interface CommandOptions {
  /** Its folder. */
  readonly cwd?: string;
  /** Variables of its environment, beside those of this process. */
  readonly env?: Record<string, string>;
}

/**
 * Runs a command.
 *
 * @param command The command.
 * @param args Its arguments.
 * @param options Its folder and environment.
 * @returns What it wrote to stdout.
 * @throws {GuestError} It is not installed, or failed; the message has the end of its stderr.
 */
export async function run(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const { code, stdout, stderr } = await outcomeOf(command, args, options);
  if (code === 0) return stdout;
  const lines = (stderr.trim() || stdout.trim()).split("\n").slice(-3).join("; ");
  throw new GuestError(`${command} ${args[0] ?? ""} failed (${code}): ${lines}`);
}

/** What became of a command. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a command that may fail.
 *
 * @param command The command.
 * @param args Its arguments.
 * @param options Its folder and environment.
 * @throws {GuestError} It is not installed.
 */
export async function outcomeOf(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<Outcome> {
  let output;
  try {
    output = await new Deno.Command(command, { args: [...args], stdin: "null", ...options })
      .output();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new GuestError(`cannot run ${command}: it is not installed`);
  }
  const text = new TextDecoder();
  return {
    code: output.code,
    stdout: text.decode(output.stdout),
    stderr: text.decode(output.stderr),
  };
}
