/**
 * A message that came with descriptors.
 *
 * @module
 */
import { closeAll } from "../../../ffi/message.ts";

/**
 * Data and descriptors that a {@linkcode UnixSocket} received.
 *
 * The receiver owns the descriptors: each stays open until someone closes it. Disposing of the
 * message closes those that are still in `fds`, so take out what is to stay.
 *
 * @example
 * ```ts
 * import { EventFd, UnixSocket } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * if (Deno.build.os === "linux") {
 *   const [a, b] = UnixSocket.pair();
 *   using event = new EventFd(7);
 *   await a.send(Uint8Array.of(1), [event.fd, event.fd]);
 *   {
 *     using message = await b.receive();
 *     using received = EventFd.fromFd(message.fds.shift()!);
 *     assertEquals(received.read(), 7n);
 *     // The end of the block closes the descriptor that nobody took.
 *   }
 *   a.close();
 *   b.close();
 * }
 * ```
 */
export class ReceivedMessage implements Disposable {
  /** The data. Empty at the end of the stream: the peer has closed its end. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The descriptors, close-on-exec, in the order in which they were sent. */
  readonly fds: number[];

  /**
   * Makes a message.
   *
   * @param bytes The data.
   * @param fds The descriptors, which the message owns.
   */
  constructor(bytes: Uint8Array<ArrayBuffer>, fds: number[]) {
    this.bytes = bytes;
    this.fds = fds;
  }

  /**
   * Closes the descriptors that are still in `fds`, and empties it.
   *
   * @throws {SystemError} One was not open. The others are closed.
   */
  close(): void {
    closeAll(this.fds.splice(0));
  }

  /** {@linkcode ReceivedMessage.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}
