/**
 * The two programs that are compared: the cases on this library under Deno, and those of the crate in
 * Rust.
 *
 * @module
 */
import type { Measurement } from "../../../src/bench/harness.ts";

/** What a program measured. */
export interface Measurements {
  /** The program: the runtime, or the crate, and its version. */
  readonly by: string;
  /** What each case took, by the cases' names, in their order. */
  readonly cases: Readonly<Record<string, Measurement>>;
  /** How many threads its process had, if known. */
  readonly threads?: number | undefined;
}

/** A side could not be measured. */
export class PeerError extends Error {
  override name = "PeerError";
}

const DENO_MAIN = new URL("../crate/main.ts", import.meta.url).href;
const MANIFEST = decodeURIComponent(new URL("../rust/Cargo.toml", import.meta.url).pathname);

/**
 * Measures on this library.
 *
 * @param args Arguments of `bench/vs_rust/crate/main.ts`.
 */
export function measureDeno(args: readonly string[]): Promise<Measurements> {
  // Counting its threads takes every permission.
  return measure(Deno.execPath(), ["run", "--allow-all", DENO_MAIN, ...args]);
}

/** A program of the Rust side. */
export type RustProgram = typeof RUST_PROGRAMS[number];

const RUST_PROGRAMS = [
  "guest-memory-bench",
  "virtqueue-bench",
  "virtqueue-by-descriptor-bench",
] as const;

/** The Rust side, built. */
export interface RustPeer {
  /**
   * Measures in Rust.
   *
   * @param program Which of its programs.
   * @param args The program's arguments.
   * @throws {PeerError} It failed.
   */
  measure(program: RustProgram, args: readonly string[]): Promise<Measurements>;
}

/**
 * Builds the Rust side.
 *
 * @returns It, or `undefined` where there is no cargo.
 * @throws {PeerError} Building it failed.
 */
export async function buildRustPeer(): Promise<RustPeer | undefined> {
  const args = ["build", "--release", "--locked", "--manifest-path", MANIFEST];
  let stdout: string;
  try {
    stdout = await run("cargo", [...args, "--message-format", "json-render-diagnostics"]);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const paths = executablesIn(stdout);
  const missing = RUST_PROGRAMS.find((name) => !paths.has(name));
  if (missing !== undefined) throw new PeerError(`cargo does not say where ${missing} is`);
  return { measure: (program, args) => measure(paths.get(program)!, args) };
}

interface CargoMessage {
  readonly target?: { readonly name: string };
  readonly executable?: string | null;
}

// Where cargo puts a program is for its own settings to say.
function executablesIn(messages: string): Map<string, string> {
  return new Map(
    messages.split("\n").filter((line) => line !== "").flatMap((line) => {
      const { target, executable } = JSON.parse(line) as CargoMessage;
      return target && executable ? [[target.name, executable] as const] : [];
    }),
  );
}

async function measure(command: string, args: readonly string[]): Promise<Measurements> {
  const { runtime, crate, cases, threads } = JSON.parse(await run(command, args)) as {
    readonly runtime?: string;
    readonly crate?: string;
    readonly cases: Measurements["cases"];
    readonly threads?: number;
  };
  return { by: runtime ?? crate ?? command, cases, threads };
}

async function run(command: string, args: readonly string[]): Promise<string> {
  const process = new Deno.Command(command, {
    args: [...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
  const { success, code, signal, stdout, stderr } = await process.output();
  const text = new TextDecoder();
  if (success) return text.decode(stdout);
  const ending = signal === null ? `ended with ${code}` : `was ended by ${signal}`;
  throw new PeerError(
    `${[command, args[0]].join(" ")} ${ending}:\n${text.decode(stderr).trimEnd()}`,
  );
}
