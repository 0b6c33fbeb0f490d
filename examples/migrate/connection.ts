/**
 * The connection between the two sides.
 *
 * @module
 */
import {
  closeDescriptor,
  Fd,
  type GuestMemory,
  type GuestRange,
  IOError,
  PartialBuffer,
  SystemError,
  UnixSocket,
  VolatileSlice,
} from "@vmm/guest-memory";
import { MigrateError, PeerLost } from "./migrate_error.ts";
import { acceptTcp, connectTcp, listenTcp, makeBlocking } from "./sockets.ts";

/** What a connection may run over. */
export const TRANSPORTS = ["unix", "tcp"] as const;
/** What a connection runs over. */
export type Transport = typeof TRANSPORTS[number];

/** Milliseconds after which a side that is silent counts as lost. */
export const SILENCE_MS = 10_000;

/**
 * A stream of bytes between two processes. Its calls block the thread, which does nothing else: the
 * guest runs on another. Data of guest memory goes straight from there to the socket, and from the
 * socket to there.
 */
export class Connection implements Disposable {
  readonly #stream: Fd;
  readonly #silence: number;
  readonly #close: () => void;

  /**
   * Takes over a socket.
   *
   * @param fd Its descriptor.
   * @param close Closes it.
   * @param silence Milliseconds that a call may wait.
   */
  constructor(fd: number, close: () => void, silence: number = SILENCE_MS) {
    makeBlocking(fd, silence);
    this.#stream = new Fd(fd);
    this.#silence = silence;
    this.#close = close;
  }

  /**
   * Sends bytes.
   *
   * @throws {PeerLost} The other side takes no more.
   */
  send(bytes: Uint8Array): void {
    this.#transfer(() =>
      VolatileSlice.from(bytes).writeAllVolatileTo(0, this.#stream, bytes.length)
    );
  }

  /**
   * Receives bytes.
   *
   * @param length How many.
   * @throws {PeerLost} The other side sends no more.
   */
  receive(length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    this.#transfer(() => VolatileSlice.from(bytes).readExactVolatileFrom(0, this.#stream, length));
    return bytes;
  }

  /** Sends ranges of guest memory, many in a system call. */
  sendRanges(memory: GuestMemory, ranges: readonly GuestRange[]): void {
    this.#transfer(() => memory.writeAllVectoredTo(ranges, this.#stream));
  }

  /** Receives into ranges of guest memory, many in a system call. */
  receiveRanges(memory: GuestMemory, ranges: readonly GuestRange[]): void {
    this.#transfer(() => memory.readExactVectoredFrom(ranges, this.#stream));
  }

  #transfer(transfer: () => void): void {
    try {
      transfer();
    } catch (error) {
      const reason = this.#reasonOf(error);
      throw reason === undefined ? error : new PeerLost(reason, { cause: error });
    }
  }

  // Why the other side counts as lost; undefined where the error is another one.
  #reasonOf(error: unknown): string | undefined {
    const closed = "the other side closed the connection";
    if (error instanceof PartialBuffer) return closed;
    if (!(error instanceof IOError)) return undefined;
    if (error.kind === "UnexpectedEof") return closed;
    const { cause } = error;
    if (!(cause instanceof SystemError)) return undefined;
    if (cause.code === "EAGAIN") return `the other side was silent for ${this.#silence / 1000} s`;
    return ["EPIPE", "ECONNRESET"].includes(cause.code) ? closed : undefined;
  }

  /** Closes the connection. */
  [Symbol.dispose](): void {
    this.#close();
  }
}

/** A place where one side waits for the other. */
export interface Listener extends Disposable {
  /** Where it is, for {@linkcode connect}. */
  readonly address: string;
  /**
   * Waits for a connection.
   *
   * @throws {PeerLost} None came in time.
   */
  accept(): Promise<Connection>;
}

/** Listens for the other side, of this user on this host. */
export function listen(transport: Transport): Listener {
  return transport === "unix" ? listenUnix() : listenLoopback();
}

/**
 * Connects.
 *
 * @param address The address of a listener.
 * @throws {SystemError} Nobody listens there.
 */
export function connect(address: string): Connection {
  const unix = /^unix:@(.+)$/.exec(address)?.[1];
  if (unix !== undefined) return ofUnixSocket(UnixSocket.connect(`\0${unix}`));
  const port = /^tcp:127\.0\.0\.1:(\d+)$/.exec(address)?.[1];
  if (port === undefined) throw new MigrateError(`nothing can be reached at ${address}`);
  return ofDescriptor(connectTcp(Number(port)));
}

function listenUnix(): Listener {
  // An abstract name leaves no file behind, however the process ends.
  const name = `guest-memory-migrate-${Deno.pid}`;
  const listener = UnixSocket.listen(`\0${name}`);
  return {
    address: `unix:@${name}`,
    async accept() {
      const timer = setTimeout(() => listener.close(), SILENCE_MS);
      try {
        const socket = await listener.accept();
        // Such a name has no permissions: anybody may connect.
        if (socket.peer.uid === Deno.uid()) return ofUnixSocket(socket);
        socket.close();
        throw new MigrateError("another user has connected");
      } catch (error) {
        throw listener.closed ? new PeerLost("nobody has connected", { cause: error }) : error;
      } finally {
        clearTimeout(timer);
      }
    },
    [Symbol.dispose]: () => listener.close(),
  };
}

function listenLoopback(): Listener {
  const { fd, port } = listenTcp();
  return {
    address: `tcp:127.0.0.1:${port}`,
    // deno-lint-ignore require-await
    async accept() {
      makeBlocking(fd, SILENCE_MS);
      try {
        return ofDescriptor(acceptTcp(fd));
      } catch (error) {
        const isLate = error instanceof SystemError && error.code === "EAGAIN";
        throw isLate ? new PeerLost("nobody has connected", { cause: error }) : error;
      }
    },
    [Symbol.dispose]: () => closeDescriptor(fd),
  };
}

function ofUnixSocket(socket: UnixSocket): Connection {
  return new Connection(socket.fd, () => socket.close());
}

function ofDescriptor(fd: number): Connection {
  let isOpen = true;
  return new Connection(fd, () => {
    if (isOpen) closeDescriptor(fd);
    isOpen = false;
  });
}
