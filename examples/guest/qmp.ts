/**
 * A client of QEMU's monitor, on a Unix socket.
 *
 * @module
 */
import { GuestError } from "./guest_error.ts";
import { Lines, type QmpMessage, qmpMessageOf } from "./qmp_messages.ts";

const LIMIT_SECONDS = 20;

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

interface WaitingForEvent extends Waiting {
  readonly matches: (message: QmpMessage & { kind: "event" }) => boolean;
}

/** A connection to the monitor of a running QEMU. */
export class Qmp implements Disposable {
  readonly #connection: Deno.UnixConn;
  readonly #calls = new Map<number, Waiting>();
  readonly #events = new Set<WaitingForEvent>();
  #next = 1;
  #ended = false;

  private constructor(connection: Deno.UnixConn) {
    this.#connection = connection;
    this.#read();
  }

  /**
   * Connects, and makes the monitor accept commands.
   *
   * @param path The socket.
   * @throws {GuestError} The monitor refuses.
   */
  static async connect(path: string): Promise<Qmp> {
    const qmp = new Qmp(await Deno.connect({ transport: "unix", path }));
    try {
      await qmp.execute("qmp_capabilities");
    } catch (error) {
      qmp[Symbol.dispose]();
      throw error;
    }
    return qmp;
  }

  /**
   * Executes a command.
   *
   * @param command Its name, such as `query-status`.
   * @param args Its arguments.
   * @returns What QEMU answers.
   * @throws {GuestError} QEMU refuses it, or the connection has ended.
   */
  async execute(command: string, args: Record<string, unknown> = {}): Promise<unknown> {
    const id = this.#next++;
    const answer = this.#wait(command, LIMIT_SECONDS, (waiting) => {
      this.#calls.set(id, waiting);
      return () => this.#calls.delete(id);
    });
    const line = `${JSON.stringify({ execute: command, arguments: args, id })}\n`;
    this.#send(new TextEncoder().encode(line)).catch((error) =>
      this.#calls.get(id)?.reject(new GuestError(`cannot execute ${command}: ${error.message}`))
    );
    return await answer;
  }

  /**
   * Waits for an event that has not arrived yet: call it before what leads to the event.
   *
   * @param event Its name, such as `DEVICE_DELETED`.
   * @param has What its data has to contain.
   * @param seconds How long to wait.
   */
  async event(
    event: string,
    has: Record<string, unknown> = {},
    seconds: number = LIMIT_SECONDS,
  ): Promise<void> {
    await this.#wait(event, seconds, (waiting) => {
      const entry: WaitingForEvent = {
        ...waiting,
        matches: (message) =>
          message.event === event &&
          Object.entries(has).every(([key, value]) => message.data[key] === value),
      };
      this.#events.add(entry);
      return () => this.#events.delete(entry);
    });
  }

  /** Ends the connection. */
  [Symbol.dispose](): void {
    if (!this.#ended) this.#connection.close();
    this.#ended = true;
  }

  #wait(
    what: string,
    seconds: number,
    register: (waiting: Waiting) => () => void,
  ): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    if (this.#ended) return Promise.reject(new GuestError(`no ${what}: QEMU has ended`));
    const unregister = register({ resolve, reject });
    const timer = setTimeout(
      () => reject(new GuestError(`no ${what} of QEMU within ${seconds} s`)),
      seconds * 1000,
    );
    return promise.finally(() => {
      clearTimeout(timer);
      unregister();
    });
  }

  async #send(bytes: Uint8Array): Promise<void> {
    for (let sent = 0; sent < bytes.length;) {
      sent += await this.#connection.write(bytes.subarray(sent));
    }
  }

  async #read(): Promise<void> {
    const lines = new Lines();
    const decoder = new TextDecoder();
    const buffer = new Uint8Array(2 ** 16);
    let reason = "QEMU has ended";
    try {
      for (;;) {
        const length = await this.#connection.read(buffer);
        if (length === null) break;
        const text = decoder.decode(buffer.subarray(0, length), { stream: true });
        for (const line of lines.take(text)) this.#dispatch(qmpMessageOf(line));
      }
    } catch (error) {
      reason = (error as Error).message;
    }
    this[Symbol.dispose]();
    for (const { reject } of [...this.#calls.values(), ...this.#events]) {
      reject(new GuestError(`no answer of QEMU: ${reason}`));
    }
  }

  #dispatch(message: QmpMessage): void {
    if (message.kind === "return") this.#calls.get(message.id)?.resolve(message.value);
    if (message.kind === "error" && message.id !== undefined) {
      this.#calls.get(message.id)?.reject(new GuestError(`QEMU refuses: ${message.reason}`));
    }
    if (message.kind !== "event") return;
    for (const entry of this.#events) if (entry.matches(message)) entry.resolve(undefined);
  }
}
