/**
 * A connection to a front-end.
 *
 * @module
 */
import { closeDescriptor, type UnixSocket } from "@vmm/guest-memory";
import { HEADER_BYTES, type MessageHead, nameOf, parseHead, reply } from "./protocol.ts";
import { ProtocolError } from "./vhost_error.ts";

// Of a table of memory, which has the most.
const MAX_FDS = 8;

/** A message of the front-end. Disposing of it closes the descriptors that nobody took. */
export interface Message extends MessageHead, Disposable {
  readonly payload: Uint8Array;
  /** The descriptors that came with it. */
  readonly fds: number[];
}

/** Receives messages, and answers them. */
export class Connection {
  readonly #socket: UnixSocket;

  /**
   * Over a socket, which stays the caller's.
   *
   * @param socket The socket.
   */
  constructor(socket: UnixSocket) {
    this.#socket = socket;
  }

  /**
   * Waits for a message.
   *
   * @returns The message; `undefined` when the front-end has closed its end.
   * @throws {ProtocolError} It is none, or ends early.
   */
  async receive(): Promise<Message | undefined> {
    const fds: number[] = [];
    try {
      const head = await this.#read(HEADER_BYTES, fds);
      if (head === undefined) return undefined;
      const parsed = parseHead(head);
      const payload = await this.#read(parsed.size, fds);
      if (payload === undefined) {
        throw new ProtocolError(`${nameOf(parsed.request)} ends before its payload`);
      }
      return { ...parsed, payload, fds, [Symbol.dispose]: () => closeAll(fds) };
    } catch (error) {
      closeAll(fds);
      throw error;
    }
  }

  // Returns undefined at the end of the stream.
  async #read(length: number, fds: number[]): Promise<Uint8Array | undefined> {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const part = await this.#socket.receive({ maxBytes: length - done });
      fds.push(...part.fds);
      if (fds.length > MAX_FDS) {
        throw new ProtocolError(
          `a message has ${fds.length} descriptors, and ${MAX_FDS} are the most`,
        );
      }
      if (part.bytes.length === 0) {
        if (done === 0) return undefined;
        throw new ProtocolError(`a message ends after ${done} bytes of ${length}`);
      }
      bytes.set(part.bytes, done);
      done += part.bytes.length;
    }
    return bytes;
  }

  /** Answers a message. */
  async reply({ request }: MessageHead, payload: Uint8Array): Promise<void> {
    await this.#socket.send(reply(request, payload));
  }
}

function closeAll(fds: number[]): void {
  for (const fd of fds.splice(0)) closeDescriptor(fd);
}
