/**
 * Commands over the serial line of a guest: `init.sh` is the other side.
 *
 * @module
 */
import { GuestError } from "./guest_error.ts";

/** What became of a command in the guest. */
export interface CommandResult {
  /** What it wrote to stdout and stderr. */
  readonly output: string;
  /** Its exit status. */
  readonly code: number;
}

/** The character before what the guest's first program says by itself. */
const MARK = "\x1e";
/** Lines that are longer do not pass a terminal. */
const LONGEST_LINE = 4000;
/** How much of what the guest said a message shows. */
const TAIL = 600;

/** One guest's serial line: a command at a time. */
export class SerialLine {
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  /** What the guest wrote and nobody has taken. */
  #text = "";
  #ended = false;
  #wake: () => void = () => {};
  /** Ends when the guest's output has. */
  readonly #reading: Promise<void>;

  /**
   * Takes both directions of the line.
   *
   * @param input To the guest.
   * @param output From the guest.
   */
  constructor(input: WritableStream<Uint8Array>, output: ReadableStream<Uint8Array<ArrayBuffer>>) {
    this.#input = input.getWriter();
    this.#reading = this.#read(output);
  }

  /**
   * Waits until the guest takes commands.
   *
   * @param seconds How long to wait.
   * @throws {GuestError} It does not, or has ended.
   */
  async ready(seconds: number): Promise<void> {
    await this.#take(/ready\n/, "the guest does not start", seconds);
  }

  /**
   * Runs a command in the guest's shell, where its variables and jobs stay.
   *
   * @param command One line.
   * @param seconds How long it may take.
   * @throws {GuestError} It takes longer, or the guest has ended.
   */
  async run(command: string, seconds: number): Promise<CommandResult> {
    if (command.includes("\n") || command.length > LONGEST_LINE) {
      throw new GuestError(`a command for the guest is one line of at most ${LONGEST_LINE} bytes`);
    }
    this.send(command).catch(() => {});
    return await this.result(command, seconds);
  }

  /**
   * Sends a command; its result is taken by {@linkcode result}, maybe of the line of the machine
   * where the guest is then.
   *
   * @param command One line.
   */
  async send(command: string): Promise<void> {
    await this.#input.write(new TextEncoder().encode(`${command}\n`));
  }

  /**
   * The result of the command that was sent last.
   *
   * @param command What the error names.
   * @param seconds How long it may take.
   * @throws {GuestError} It takes longer, or the guest has ended.
   */
  async result(command: string, seconds: number): Promise<CommandResult> {
    const what = `no end of ${JSON.stringify(command.slice(0, 80))}`;
    const [output, code] = await this.#take(/end (\d+)\n/, what, seconds);
    return { output: output!.replaceAll("\r\n", "\n"), code: Number(code) };
  }

  /** Ends the direction to the guest, and waits until the guest's output has ended. */
  async close(): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#reading;
  }

  async #read(output: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    try {
      for await (const text of output.pipeThrough(new TextDecoderStream())) {
        this.#text += text;
        this.#wake();
      }
    } finally {
      this.#ended = true;
      this.#wake();
    }
  }

  // The text before a message of the guest's first program, and the groups of the message.
  async #take(message: RegExp, what: string, seconds: number): Promise<string[]> {
    const end = performance.now() + seconds * 1000;
    const expression = new RegExp(`${MARK}${message.source}`);
    for (;;) {
      const match = expression.exec(this.#text);
      if (match !== null) {
        const before = this.#text.slice(0, match.index);
        this.#text = this.#text.slice(match.index + match[0].length);
        return [before, ...match.slice(1)];
      }
      const left = end - performance.now();
      const tail = JSON.stringify(this.#text.slice(-TAIL));
      if (this.#ended) throw new GuestError(`${what}: it has ended, after ${tail}`);
      if (left <= 0) throw new GuestError(`${what} within ${seconds} s; it said ${tail}`);
      await this.#more(left);
    }
  }

  async #more(milliseconds: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, milliseconds);
    this.#wake = resolve;
    await promise;
    clearTimeout(timer);
  }
}
