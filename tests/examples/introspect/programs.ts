/**
 * The programs that these tests start.
 *
 * @module
 */

const FAKE = new URL("./fake_guest.ts", import.meta.url).href;
const INTROSPECT = new URL("../../../examples/introspect.ts", import.meta.url).href;

/** What Linux has in its memory. */
export const BANNER: string =
  "Linux version 6.1.0-test (builder@host) (gcc-12 (Debian 12.2.0-14) 12.2.0) #1 SMP 6.1.1 (2026-01-01)";

/** A process that was started, and its output line by line. */
export class Program implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #lines: AsyncGenerator<string>;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;

  constructor(args: readonly string[]) {
    this.#process = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-check", "--no-prompt", "--allow-all", ...args],
      env: { NO_COLOR: "1" },
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#lines = linesOf(this.#process.stdout);
    this.#input = this.#process.stdin.getWriter();
  }

  /** Its number. */
  get pid(): number {
    return this.#process.pid;
  }

  /** The next line that it prints. */
  async line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("Cannot read a line: the program has ended");
    return value;
  }

  /** Gives it a line. */
  async say(line: string): Promise<void> {
    await this.#input.write(new TextEncoder().encode(`${line}\n`));
  }

  /** Its status, once it has ended. */
  async status(): Promise<number> {
    return (await this.#process.status).code;
  }

  /** Ends it. */
  async end(signal: Deno.Signal = "SIGTERM"): Promise<void> {
    try {
      this.#process.kill(signal);
    } catch (error) {
      // It has ended by itself.
      if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
    }
    await this.status();
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
    await this.#lines.return(undefined);
    await this.#input.close().catch(() => {});
  }
}

/** A fake guest that is ready. */
export class FakeGuest extends Program {
  private constructor(size: number, words: readonly string[]) {
    super([FAKE, String(size), ...words]);
  }

  /**
   * Starts it.
   *
   * @param size Bytes of RAM.
   * @param words As of QEMU's command line.
   */
  static async start(
    size: number,
    words: readonly string[] = ["-machine", "q35"],
  ): Promise<FakeGuest> {
    const guest = new FakeGuest(size, words);
    await guest.line();
    return guest;
  }

  /** Writes a text at an offset in its RAM, and waits until it is there. */
  async write(offset: number, text: string): Promise<void> {
    await this.say(`${offset} ${text}`);
    await this.line();
  }
}

/** Starts the example. */
export function introspect(...args: string[]): Program {
  return new Program([INTROSPECT, ...args]);
}

/** How the example ended. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the example to its end. */
export async function outcomeOf(...args: string[]): Promise<Outcome> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-check", "--no-prompt", "--allow-all", INTROSPECT, ...args],
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

async function* linesOf(output: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const text = new TextDecoder();
  let rest = "";
  for await (const part of output) {
    const lines = (rest + text.decode(part, { stream: true })).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}
