/**
 * Sockets that carry descriptors between processes.
 *
 * @module
 */
import { duplicate, setCloseOnExec } from "../../../ffi/descriptor.ts";
import { SOCKET } from "../../../ffi/linux.ts";
import { closeAll, receiveMessage, sendMessage } from "../../../ffi/message.ts";
import {
  connectSocket,
  isUnixStream,
  listenSocket,
  makeSocketPair,
  type PeerCredentials,
  peerCredentials,
} from "../../../ffi/socket.ts";
import { byteLength, bytesOf } from "../../host/bytes.ts";
import { checkCount, checkNumber, shown } from "../../text/argument.ts";
import { InOrder } from "./in_order.ts";
import { checkDescriptor, checkOwned, OwnedDescriptor } from "./owned_descriptor.ts";
import { ReceivedMessage } from "./received_message.ts";
import { makeListener, type UnixListener, type UnixListenOptions } from "./unix_listener.ts";

/** How much to receive. */
export interface ReceiveOptions {
  /** Bytes of data at most: 65,536 by default. More stay for the next call. */
  readonly maxBytes?: number;
}

/**
 * A stream socket of the local host (`unix(7)`, `SOCK_STREAM`), which carries descriptors beside
 * data: the memory of a guest as a memfd, the events of its queues as eventfds. Linux only.
 *
 * Calls never block the thread, and waiting takes no thread for each socket. What waits keeps the
 * program running until the socket is closed. All descriptors are close-on-exec. The crate has no
 * such item: it is `ScmSocket` of `vmm-sys-util`.
 *
 * @example
 * ```ts
 * import { UnixSocket } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * if (Deno.build.os === "linux") {
 *   const [device, frontend] = UnixSocket.pair();
 *   await frontend.send(new TextEncoder().encode("here"), [frontend.fd]);
 *   using message = await device.receive();
 *   assertEquals([message.bytes.length, message.fds.length], [4, 1]);
 *   frontend.close();
 *   device.close();
 * }
 * ```
 */
export class UnixSocket implements Disposable {
  readonly #descriptor: OwnedDescriptor;
  readonly #sends = new InOrder();
  readonly #receives = new InOrder();

  private constructor(descriptor: OwnedDescriptor) {
    this.#descriptor = checkOwned(descriptor, "UnixSocket.connect, listen, pair or fromFd");
  }

  static #of(fd: number): UnixSocket {
    return new UnixSocket(new OwnedDescriptor(fd, "UnixSocket"));
  }

  /**
   * Connects to a listener. It does not wait: a listener accepts later.
   *
   * @param path The path of the listener's file, of at most 107 bytes; or an abstract name after a
   * zero character.
   * @throws {RangeError} It is no such path.
   * @throws {SystemError} The call failed: `ENOENT` or `ECONNREFUSED` where nobody listens, `EAGAIN`
   * where too many connections wait to be accepted.
   * @throws {LibcUnavailable} This is not Linux, or FFI is not allowed.
   */
  static connect(path: string): UnixSocket {
    return UnixSocket.#of(connectSocket(checkPath(path)));
  }

  /**
   * Listens for connections.
   *
   * @param path Where to make the file of the listener, as for {@linkcode UnixSocket.connect}.
   * @param options How many connections may wait.
   * @returns The listener, which removes that file when it is closed.
   * @throws {RangeError} It is no such path, or `backlog` is no number of connections.
   * @throws {SystemError} The call failed: `EADDRINUSE` where there is a file.
   * @throws {LibcUnavailable} This is not Linux, or FFI is not allowed.
   */
  static listen(path: string, { backlog = 128 }: UnixListenOptions = {}): UnixListener {
    checkCount(backlog, "backlog");
    const fd = listenSocket(checkPath(path), Math.min(backlog, 2 ** 31 - 1));
    const descriptor = new OwnedDescriptor(fd, "UnixListener");
    try {
      return makeListener(descriptor, path, UnixSocket.#of);
    } catch (error) {
      descriptor.close();
      throw error;
    }
  }

  /**
   * Two sockets that are connected with each other.
   *
   * @throws {SystemError} The call failed.
   * @throws {LibcUnavailable} This is not Linux, or FFI is not allowed.
   */
  static pair(): [UnixSocket, UnixSocket] {
    const [a, b] = makeSocketPair();
    return [UnixSocket.#of(a), UnixSocket.#of(b)];
  }

  /**
   * Takes over a connected socket, such as one that the process inherited. It is made close-on-exec.
   *
   * @param fd Its descriptor. If this throws, it is still the caller's.
   * @throws {RangeError} It is not an integer from 0.
   * @throws {TypeError} It is a socket of another kind.
   * @throws {SystemError} It is no socket (`ENOTSOCK`), or not open (`EBADF`).
   * @throws {LibcUnavailable} This is not Linux, or FFI is not allowed.
   */
  static fromFd(fd: number): UnixSocket {
    checkDescriptor(fd);
    if (!isUnixStream(fd)) {
      throw new TypeError(`Cannot use fd ${fd} as a UnixSocket: it is a socket of another kind`);
    }
    setCloseOnExec(fd);
    return UnixSocket.#of(fd);
  }

  /**
   * The descriptor, which stays the socket's. It does not block, unless it came by
   * {@linkcode UnixSocket.fromFd}.
   *
   * @throws {DescriptorClosed} The socket is closed.
   */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /** Whether the socket is closed on this side. */
  get closed(): boolean {
    return this.#descriptor.closed;
  }

  /**
   * Who is at the other end, as the kernel noted it when the connection was made (`SO_PEERCRED`). A
   * process may have passed its socket on since.
   *
   * @throws {DescriptorClosed} The socket is closed.
   * @throws {SystemError} The call failed.
   */
  get peer(): PeerCredentials {
    return peerCredentials(this.fd);
  }

  /**
   * Sends all of some data, and descriptors with its first byte. Messages are sent in the order of
   * the calls. The first attempt is made before this returns; what the peer has no room for yet is
   * copied, descriptors too, so both may be changed or closed without waiting for the promise.
   *
   * @param bytes The data: at least one byte with descriptors.
   * @param fds The descriptors, at most 253. The peer gets descriptors of its own.
   * @throws {RangeError} There are more descriptors, one is no descriptor, or there is no data with
   * them. Nothing is sent.
   * @throws {DescriptorClosed} The socket is closed. If it is closed meanwhile, a part may be sent.
   * @throws {SystemError} The call failed: `EPIPE` where the peer has closed its end, `EBADF` where a
   * descriptor is not open, `ETOOMANYREFS` where too many are on the way.
   */
  async send(bytes: Uint8Array, fds: readonly number[] = []): Promise<void> {
    const descriptors = checkDescriptors(fds);
    const data = bytesOf(bytes, 0, byteLength(bytes));
    if (descriptors.length > 0 && data.length === 0) {
      throw new RangeError("Cannot send descriptors without data: at least one byte is needed");
    }
    const { fd } = this;
    if (data.length === 0) return;
    const sent = this.#sends.busy ? 0 : sendMessage(fd, data, descriptors) ?? 0;
    if (sent === data.length) return;
    const rest = data.slice(sent);
    const copies = sent > 0 ? [] : duplicateAll(descriptors);
    await this.#sends.run(() => this.#sendRest(rest, copies));
  }

  async #sendRest(data: Uint8Array<ArrayBuffer>, fds: readonly number[]): Promise<void> {
    try {
      for (let done = 0; done < data.length;) {
        const sent = sendMessage(this.fd, data.subarray(done), done === 0 ? fds : []);
        if (sent === undefined) await this.#descriptor.untilReady("writable");
        else done += sent;
      }
    } finally {
      closeAll(fds);
    }
  }

  /**
   * Waits for data and receives it once: at most what one call gives, and never data of two messages
   * with descriptors. Calls receive in their order.
   *
   * @param options How much.
   * @returns The data, and the descriptors, which the caller owns. Empty at the end of the stream.
   * @throws {RangeError} `maxBytes` is not an integer in [1, 2^30].
   * @throws {DescriptorClosed} The socket is closed, or closed meanwhile.
   * @throws {DescriptorsLost} The process has too many open files. All descriptors that came are
   * closed.
   * @throws {SystemError} The call failed: `ECONNRESET` where the peer closed with data unread.
   */
  async receive(options: ReceiveOptions = {}): Promise<ReceivedMessage> {
    const maxBytes = checkMaxBytes(options);
    return await this.#receives.run(async () => {
      for (;;) {
        const message = this.#receiveOnce(maxBytes);
        if (message !== undefined) return message;
        await this.#descriptor.untilReady("readable");
      }
    });
  }

  /**
   * Receives as {@linkcode UnixSocket.receive} does, without waiting: before calls that wait.
   *
   * @param options How much.
   * @returns The message; `undefined` where there is nothing yet.
   */
  receiveSync(options: ReceiveOptions = {}): ReceivedMessage | undefined {
    return this.#receiveOnce(checkMaxBytes(options));
  }

  #receiveOnce(maxBytes: number): ReceivedMessage | undefined {
    const message = receiveMessage(this.fd, maxBytes);
    return message && new ReceivedMessage(message.bytes, message.fds);
  }

  /** Closes the socket. What waits ends with {@linkcode DescriptorClosed}. Again does nothing. */
  close(): void {
    this.#descriptor.close();
  }

  /** {@linkcode UnixSocket.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}

function checkPath(path: string): string {
  if (typeof path === "string") return path;
  throw new TypeError(`Cannot use ${shown(path)} as the path of a socket: it must be a string`);
}

function checkMaxBytes({ maxBytes = 65_536 }: ReceiveOptions): number {
  checkNumber("maxBytes", maxBytes);
  if (Number.isInteger(maxBytes) && maxBytes >= 1 && maxBytes <= 2 ** 30) return maxBytes;
  throw new RangeError(`Cannot receive ${maxBytes} bytes: not an integer in [1, 2^30]`);
}

// Read once: the caller's array may answer differently each time.
function checkDescriptors(fds: readonly number[]): number[] {
  const { length } = fds;
  if (!(length <= SOCKET.maxDescriptors)) {
    throw new RangeError(`Cannot send ${shown(length)} descriptors in one message: 253 at most`);
  }
  return Array.from({ length }, (_, i) => checkDescriptor(fds[i]!));
}

function duplicateAll(fds: readonly number[]): number[] {
  const copies: number[] = [];
  try {
    for (const fd of fds) copies.push(duplicate(fd));
    return copies;
  } catch (error) {
    closeAll(copies);
    throw error;
  }
}
