/**
 * The numbers of sockets, event counters and waiting, which only Linux has in this form.
 *
 * `asm-generic/socket.h`, `asm-generic/fcntl.h`, `linux/{net,socket,un,eventpoll,eventfd,fcntl}.h`
 * and `include/linux/socket.h` of the kernel: x86-64 and arm64 share all but the layout of
 * `struct epoll_event`.
 *
 * @module
 */
import { libc } from "./libc.ts";
import { currentRuntime } from "./runtime/current_runtime.ts";
import { LibcUnavailable } from "./system_error.ts";

/** Sockets of the local host. */
export const SOCKET = {
  /** `AF_UNIX`. */
  unix: 1,
  /** `SOCK_STREAM`. */
  stream: 1,
  /** `SOCK_NONBLOCK | SOCK_CLOEXEC`. */
  flags: 0o2004000,
  /** `SOL_SOCKET`. */
  level: 1,
  /** `SO_TYPE`. */
  type: 3,
  /** `SO_PEERCRED`. */
  peerCredentials: 17,
  /** `SO_DOMAIN`. */
  domain: 39,
  /** `SCM_RIGHTS`. */
  rights: 1,
  /** `SCM_MAX_FD` of `include/net/scm.h`: descriptors that one message takes. */
  maxDescriptors: 253,
  /** Bytes of `sun_path` of `struct sockaddr_un`. */
  pathLength: 108,
} as const;

/** `MSG_*` of `sendmsg(2)` and `recvmsg(2)`. */
export const MSG = {
  controlTruncated: 0x8,
  dontWait: 0x40,
  noSignal: 0x4000,
  closeOnExec: 0x40000000,
} as const;

/** `EPOLL*`. */
export const EPOLL = {
  closeOnExec: 0o2000000,
  add: 1,
  delete: 2,
  modify: 3,
  in: 0x1,
  out: 0x4,
  error: 0x8,
  hangUp: 0x10,
} as const;

/** `EFD_*`. */
export const EVENTFD = { semaphore: 1, nonBlocking: 0o4000, closeOnExec: 0o2000000 } as const;

/** Operations and flags of `fcntl(2)`. */
export const FCNTL = {
  getFlags: 1,
  setFlags: 2,
  closeOnExec: 1,
  getStatus: 3,
  setStatus: 4,
  nonBlocking: 0o4000,
  duplicate: 1030,
} as const;

/** Where `struct epoll_event` has its data, and its size: it is packed on x86-64 only. */
export interface EpollEvent {
  /** Bytes from the beginning to `data`. */
  readonly data: number;
  /** Bytes of the structure. */
  readonly size: number;
}

/** The layout of `struct epoll_event` on this machine. */
export function epollEvent(arch: string = libc().runtime.arch): EpollEvent {
  return arch === "x86_64" ? { data: 4, size: 12 } : { data: 8, size: 16 };
}

/**
 * Refuses other platforms.
 *
 * @param what What is asked for.
 * @throws {LibcUnavailable} This is not Linux, or FFI is not allowed.
 */
export function ensureLinux(what: string): void {
  const os = currentRuntime()?.os ?? "linux";
  if (os !== "linux") {
    throw new LibcUnavailable(`Cannot use ${what}: it needs Linux, this is ${os}`);
  }
  libc();
}
