/**
 * The few C functions that the library does not have: sockets of TCP, and sockets that block.
 *
 * Neither Deno nor its `node:net` gives the descriptor of a connection, and without one each byte
 * would go through a buffer. {@linkcode UnixSocket} gives it, but one that does not block.
 *
 * @module
 */
import { closeDescriptor, SystemError } from "@vmm/guest-memory";
import { getSystemErrorName } from "node:util";

const SYMBOLS = {
  // int socket(int domain, int type, int protocol);
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // int bind(int fd, const struct sockaddr *address, socklen_t length);
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // int listen(int fd, int backlog);
  listen: { parameters: ["i32", "i32"], result: "i32" },
  // int getsockname(int fd, struct sockaddr *address, socklen_t *length);
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  // int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
  accept4: { parameters: ["i32", "pointer", "pointer", "i32"], result: "i32" },
  // int connect(int fd, const struct sockaddr *address, socklen_t length);
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // int setsockopt(int fd, int level, int option, const void *value, socklen_t length);
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  // int fcntl(int fd, int command, ...);
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // int *__errno_location(void);
  __errno_location: { parameters: [], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

type Symbols = Deno.StaticForeignLibraryInterface<typeof SYMBOLS>;

let opened: { readonly symbols: Symbols; readonly errno: Int32Array } | undefined;

function libc(): { readonly symbols: Symbols; readonly errno: Int32Array } {
  if (opened !== undefined) return opened;
  const { symbols } = Deno.dlopen("libc.so.6", SYMBOLS);
  // SAFETY: a thread's errno stays where it is.
  const errno = Deno.UnsafePointerView.getArrayBuffer(symbols.__errno_location()!, 4);
  return opened = { symbols, errno: new Int32Array(errno) };
}

// bits/socket.h, bits/socket_type.h, netinet/in.h, netinet/tcp.h; asm-generic/socket.h and fcntl.h,
// which are those of x86-64 and arm64.
const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
const F_SETFL = 4;
// struct sockaddr_in: family u16, port u16 and address u32 in network order, 8 bytes of zeros.
const ADDRESS_LENGTH = 16;
const LOOPBACK = 0x7f00_0001;

// SAFETY, for all calls here: the kernel reads and writes the buffers during the call only, and no
// more than the length that is passed with them.

/** Listens on a free port of this host, for connections of this host. */
export function listenTcp(): { readonly fd: number; readonly port: number } {
  const fd = makeSocket();
  try {
    const { symbols } = libc();
    ensure("bind", symbols.bind(fd, addressOf(0), ADDRESS_LENGTH), { fd });
    ensure("listen", symbols.listen(fd, 1), { fd });
    const address = addressOf(0);
    const length = Uint32Array.of(ADDRESS_LENGTH);
    ensure("getsockname", symbols.getsockname(fd, address, length), { fd });
    return { fd, port: new DataView(address.buffer).getUint16(2) };
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

/** Waits for a connection, as long as the timeout of the descriptor says. */
export function acceptTcp(listener: number): number {
  const { symbols } = libc();
  const fd = symbols.accept4(listener, null, null, SOCK_CLOEXEC);
  return withoutDelay(ensure("accept4", fd, { fd: listener }));
}

/** Connects to a port of this host. */
export function connectTcp(port: number): number {
  const fd = makeSocket();
  try {
    ensure("connect", libc().symbols.connect(fd, addressOf(port), ADDRESS_LENGTH), { fd, port });
    return withoutDelay(fd);
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

/**
 * Lets the calls on a socket block, but not for ever: after the timeout they fail with `EAGAIN`.
 *
 * @param fd The descriptor of the socket.
 * @param timeout Milliseconds.
 */
export function makeBlocking(fd: number, timeout: number): void {
  const { symbols } = libc();
  // A socket has no other flag that this could clear.
  ensure("fcntl", symbols.fcntl(fd, F_SETFL, 0), { fd });
  // struct timeval: seconds and microseconds, 8 bytes each.
  const seconds = Math.floor(timeout / 1000);
  const time = BigInt64Array.of(BigInt(seconds), BigInt(timeout - seconds * 1000) * 1000n);
  for (const option of [SO_RCVTIMEO, SO_SNDTIMEO]) {
    const result = symbols.setsockopt(fd, SOL_SOCKET, option, time, time.byteLength);
    ensure("setsockopt", result, { fd, option });
  }
}

function makeSocket(): number {
  return ensure("socket", libc().symbols.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

// A small frame must not wait for the acknowledgement of the one before.
function withoutDelay(fd: number): number {
  const on = Int32Array.of(1);
  const result = libc().symbols.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, on, on.byteLength);
  ensure("setsockopt", result, { fd, option: "TCP_NODELAY" });
  return fd;
}

function addressOf(port: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(ADDRESS_LENGTH);
  const view = new DataView(bytes.buffer);
  new Uint16Array(bytes.buffer)[0] = AF_INET;
  view.setUint16(2, port);
  view.setUint32(4, LOOPBACK);
  return bytes;
}

function ensure(call: string, result: number, args: Record<string, unknown> = {}): number {
  if (result >= 0) return result;
  const errno = libc().errno[0]!;
  throw new SystemError(call, errno, getSystemErrorName(-errno), args);
}
