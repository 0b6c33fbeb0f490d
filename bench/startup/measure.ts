/**
 * What importing the module and the first mapping take, beyond Deno's own start.
 *
 * @module
 */

/** What a program can do for the first time. */
export type FirstStep = "nothing" | "import" | "map";

const CHILD = new URL("./child.ts", import.meta.url).href;

/** A program that has started and waits for a command. */
export class WaitingProgram implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;

  private constructor(step: FirstStep) {
    this.#process = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", "--allow-ffi", CHILD, step],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#reader = this.#process.stdout.getReader();
    this.#writer = this.#process.stdin.getWriter();
  }

  /** Starts a program and waits until it waits. */
  static async start(step: FirstStep): Promise<WaitingProgram> {
    const program = new WaitingProgram(step);
    await program.#answer();
    return program;
  }

  /** Has it do what it was started for. */
  async go(): Promise<void> {
    await this.#writer.write(new Uint8Array(1));
    await this.#answer();
  }

  /** Waits for its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close();
    await this.#reader.cancel();
    await this.#process.status;
  }

  async #answer(): Promise<void> {
    const { done } = await this.#reader.read();
    if (done) throw new Error("Cannot measure the start: the program ended early");
  }
}
