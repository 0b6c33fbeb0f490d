/**
 * Sockets of the local host that carry descriptors: `unix(7)`.
 *
 * All descriptors that are made here are close-on-exec and non-blocking.
 *
 * @module
 */
import { closeDescriptor } from "./descriptor.ts";
import { lastError, lazily } from "./libc.ts";
import { ensureLinux, SOCKET } from "./linux.ts";

const calls = lazily(
  {
    // int socket(int domain, int type, int protocol);
    socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
    // int socketpair(int domain, int type, int protocol, int sv[2]);
    socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
    // int connect(int sockfd, const struct sockaddr *addr, socklen_t addrlen);
    connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
    // int bind(int sockfd, const struct sockaddr *addr, socklen_t addrlen);
    bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
    // int listen(int sockfd, int backlog);
    listen: { parameters: ["i32", "i32"], result: "i32" },
    // int accept4(int sockfd, struct sockaddr *addr, socklen_t *addrlen, int flags);
    accept4: { parameters: ["i32", "usize", "usize", "i32"], result: "i32" },
    // int getsockopt(int sockfd, int level, int optname, void *optval, socklen_t *optlen);
    getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
    // int unlink(const char *pathname);
    unlink: { parameters: ["buffer"], result: "i32" },
  } as const,
);

/** Who is at the other end of a socket, as it was when the connection was made. */
export interface PeerCredentials {
  /** Process id, in the caller's namespace; 0 where it has none there. */
  readonly pid: number;
  /** User id. */
  readonly uid: number;
  /** Group id. */
  readonly gid: number;
}

/**
 * Makes two sockets that are connected with each other.
 *
 * @throws {SystemError} The call failed.
 * @throws {LibcUnavailable} This is not Linux, or FFI is not allowed.
 */
export function makeSocketPair(): [number, number] {
  ensureLinux("UnixSocket");
  const fds = new Int32Array(2);
  // SAFETY: the array has the two numbers that the call writes.
  if (calls().socketpair(SOCKET.unix, SOCKET.stream | SOCKET.flags, 0, fds) !== 0) {
    throw lastError("socketpair");
  }
  return [fds[0]!, fds[1]!];
}

/**
 * Connects to a listener.
 *
 * @param path Its path; an abstract name after a zero character.
 * @throws {RangeError} The path is empty, too long, or has a zero character elsewhere.
 * @throws {SystemError} The call failed.
 * @throws {LibcUnavailable} This is not Linux, or FFI is not allowed.
 */
export function connectSocket(path: string): number {
  const address = socketAddress(path);
  return openSocket((fd) => {
    // SAFETY: the address has as many bytes, which the kernel copies.
    if (calls().connect(fd, address, address.length) !== 0) throw lastError("connect", { path });
  });
}

/**
 * Listens for connections.
 *
 * @param path Where, as for {@linkcode connectSocket}: there is no file yet.
 * @param backlog How many connections may wait to be accepted.
 */
export function listenSocket(path: string, backlog: number): number {
  const address = socketAddress(path);
  return openSocket((fd) => {
    // SAFETY: the address has as many bytes, which the kernel copies.
    if (calls().bind(fd, address, address.length) !== 0) throw lastError("bind", { path });
    // SAFETY: touches no memory.
    if (calls().listen(fd, backlog) !== 0) {
      const error = lastError("listen", { path });
      if (!isAbstract(path)) removeSocketFile(path);
      throw error;
    }
  });
}

// A new socket, closed again where it cannot be prepared.
function openSocket(prepare: (fd: number) => void): number {
  ensureLinux("UnixSocket");
  // SAFETY: touches no memory.
  const fd = calls().socket(SOCKET.unix, SOCKET.stream | SOCKET.flags, 0);
  if (fd < 0) throw lastError("socket");
  try {
    prepare(fd);
    return fd;
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

/** Whether a name is no path of a file. */
export function isAbstract(path: string): boolean {
  return path.startsWith("\0");
}

// struct sockaddr_un of linux/un.h: sun_family u16 at 0, sun_path at 2. An abstract name ends with
// the address, a path with a zero byte.
function socketAddress(path: string): Uint8Array<ArrayBuffer> {
  const name = new TextEncoder().encode(isAbstract(path) ? path : `${path}\0`);
  if (path === "" || name.length > SOCKET.pathLength || path.includes("\0", 1)) {
    throw new RangeError(
      `Cannot use ${JSON.stringify(path)} as the path of a socket: it must have 1 to ` +
        `${SOCKET.pathLength - 1} bytes, and a zero at most at the beginning`,
    );
  }
  const address = new Uint8Array(2 + name.length);
  address[0] = SOCKET.unix;
  address.set(name, 2);
  return address;
}

/**
 * Removes a file.
 *
 * @throws {SystemError} The call failed.
 */
export function removeSocketFile(path: string): void {
  // SAFETY: the path ends with a zero byte.
  if (calls().unlink(new TextEncoder().encode(`${path}\0`)) !== 0) {
    throw lastError("unlink", { path });
  }
}

/**
 * Accepts a connection, without waiting.
 *
 * @param fd The listener, non-blocking.
 * @returns The connection; `undefined` where there is none.
 * @throws {SystemError} The call failed.
 */
export function acceptSocket(fd: number): number | undefined {
  for (;;) {
    // SAFETY: the null pointers ask for no address.
    const accepted = calls().accept4(fd, 0n, 0n, SOCKET.flags);
    if (accepted >= 0) return accepted;
    const error = lastError("accept4", { fd });
    if (error.code === "EAGAIN") return undefined;
    // ECONNABORTED: the peer gave up before.
    if (error.code !== "EINTR" && error.code !== "ECONNABORTED") throw error;
  }
}

/**
 * Who is at the other end.
 *
 * @throws {SystemError} The call failed.
 */
export function peerCredentials(fd: number): PeerCredentials {
  // struct ucred of linux/socket.h: pid, uid and gid of 32 bits each.
  const ucred = new Int32Array(3);
  readOption(fd, SOCKET.peerCredentials, ucred);
  return { pid: ucred[0]!, uid: ucred[1]! >>> 0, gid: ucred[2]! >>> 0 };
}

/**
 * Whether a socket is a stream of the local host.
 *
 * @throws {SystemError} The call failed: `ENOTSOCK` for another kind of descriptor.
 * @throws {LibcUnavailable} This is not Linux, or FFI is not allowed.
 */
export function isUnixStream(fd: number): boolean {
  ensureLinux("UnixSocket");
  const [domain, type] = [new Int32Array(1), new Int32Array(1)];
  readOption(fd, SOCKET.domain, domain);
  readOption(fd, SOCKET.type, type);
  return domain[0] === SOCKET.unix && type[0] === SOCKET.stream;
}

function readOption(fd: number, option: number, value: Int32Array<ArrayBuffer>): void {
  const length = Uint32Array.of(value.byteLength);
  // SAFETY: the call writes at most as many bytes as the array has.
  if (calls().getsockopt(fd, SOCKET.level, option, value, length) !== 0) {
    throw lastError("getsockopt", { fd, option });
  }
}
