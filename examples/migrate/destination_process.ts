/**
 * The process of the destination, as the source sees it.
 *
 * @module
 */
import type { Transport } from "./connection.ts";
import { MigrateError } from "./migrate_error.ts";

const PROGRAM = import.meta.resolve("../migrate.ts");
const GREETING = "listening on ";

/** Says where the destination listens, on the line that {@linkcode DestinationProcess} reads. */
export function announce(address: string): void {
  console.log(`${GREETING}${address}`);
}

/** Another process, which runs this program as a destination. Its errors are on stderr. */
export class DestinationProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;

  /**
   * Starts the process.
   *
   * @param transport Over what it takes a guest in.
   */
  constructor(transport: Transport) {
    const args = ["run", "--allow-all", "--no-check", "--no-prompt", PROGRAM];
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [...args, "--incoming", transport],
      stdin: "null",
      stdout: "piped",
    }).spawn();
  }

  /**
   * Where it listens. It is read once.
   *
   * @throws {MigrateError} It ended before it did.
   */
  async address(): Promise<string> {
    let text = "";
    for await (const part of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      text += part;
      const line = text.split("\n")[0]!;
      if (line.length < text.length && line.startsWith(GREETING)) {
        return line.slice(GREETING.length);
      }
    }
    throw new MigrateError("the destination did not start");
  }

  /** Ends the process, so that nothing can run there any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch (error) {
      // It has ended already.
      if (!(error instanceof TypeError)) throw error;
    }
    await this.#child.status;
  }
}
