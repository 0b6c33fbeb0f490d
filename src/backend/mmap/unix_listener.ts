/**
 * Listeners for connections of the local host.
 *
 * @module
 */
import { pathStatus } from "../../../ffi/file.ts";
import { acceptSocket, isAbstract, removeSocketFile } from "../../../ffi/socket.ts";
import { SystemError } from "../../../ffi/system_error.ts";
import { InOrder } from "./in_order.ts";
import { checkOwned, type OwnedDescriptor } from "./owned_descriptor.ts";
import type { UnixSocket } from "./unix_socket.ts";

/** How a listener is made. */
export interface UnixListenOptions {
  /** How many connections may wait to be accepted: 128 by default. The kernel may allow fewer. */
  readonly backlog?: number;
}

/**
 * Makes the listener of a socket that listens, non-blocking.
 *
 * @param descriptor The socket.
 * @param path Where it listens: its file is the listener's.
 * @param accepted Makes a socket of a connection.
 */
export let makeListener: (
  descriptor: OwnedDescriptor,
  path: string,
  accepted: (fd: number) => UnixSocket,
) => UnixListener;

/**
 * A listener for connections, made by {@linkcode UnixSocket.listen}.
 *
 * @example
 * ```ts
 * import { UnixSocket } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * if (Deno.build.os === "linux") {
 *   using folder = new DisposableStack();
 *   const path = folder.adopt(Deno.makeTempDirSync(), Deno.removeSync) + "/socket";
 *   using listener = UnixSocket.listen(path);
 *   using client = UnixSocket.connect(path);
 *   using server = await listener.accept();
 *   await client.send(Uint8Array.of(1, 2));
 *   assertEquals((await server.receive()).bytes, Uint8Array.of(1, 2));
 *   assertEquals(server.peer.pid, Deno.pid);
 * }
 * ```
 */
export class UnixListener implements Disposable {
  /** Where it listens. */
  readonly path: string;
  readonly #descriptor: OwnedDescriptor;
  readonly #file: string | undefined;
  readonly #identity: string | undefined;
  readonly #accepted: (fd: number) => UnixSocket;
  readonly #accepts = new InOrder();

  static {
    makeListener = (descriptor, path, accepted) => new UnixListener(descriptor, path, accepted);
  }

  private constructor(
    descriptor: OwnedDescriptor,
    path: string,
    accepted: (fd: number) => UnixSocket,
  ) {
    this.#descriptor = checkOwned(descriptor, "UnixSocket.listen");
    this.path = path;
    this.#file = isAbstract(path) ? undefined : path;
    this.#identity = this.#file && identityOf(this.#file);
    this.#accepted = accepted;
  }

  /**
   * The descriptor, which stays the listener's. It does not block.
   *
   * @throws {DescriptorClosed} The listener is closed.
   */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /** Whether the listener is closed. */
  get closed(): boolean {
    return this.#descriptor.closed;
  }

  /**
   * Waits for a connection. Calls get connections in their order.
   *
   * @returns The connection, which the caller owns.
   * @throws {DescriptorClosed} The listener is closed, or closed meanwhile.
   * @throws {SystemError} The call failed: `EMFILE` where the process has too many open files. The
   * connection waits then.
   */
  async accept(): Promise<UnixSocket> {
    return await this.#accepts.run(async () => {
      for (;;) {
        const fd = acceptSocket(this.fd);
        if (fd !== undefined) return this.#accepted(fd);
        await this.#descriptor.untilReady("readable");
      }
    });
  }

  /**
   * Ends listening, and removes the listener's file, unless another has taken its place. What waits
   * ends with {@linkcode DescriptorClosed}. Again does nothing.
   *
   * @throws {SystemError} The file cannot be removed. The listener is closed.
   */
  close(): void {
    if (this.closed) return;
    try {
      // While the socket is open, no other file can have its inode.
      const file = this.#file;
      if (file !== undefined && this.#identity !== undefined) {
        if (identityOf(file) === this.#identity) removeSocketFile(file);
      }
    } finally {
      this.#descriptor.close();
    }
  }

  /** {@linkcode UnixListener.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}

// What is at a path; undefined where nothing is.
function identityOf(path: string): string | undefined {
  try {
    const { device, inode } = pathStatus(path);
    return `${device} ${inode}`;
  } catch (error) {
    if (error instanceof SystemError && ["ENOENT", "ENOTDIR"].includes(error.code)) {
      return undefined;
    }
    throw error;
  }
}
