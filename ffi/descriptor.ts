/**
 * What all descriptors have in common.
 *
 * @module
 */
import { EINTR, fileCalls, lastError, lazily, libc } from "./libc.ts";
import { FCNTL } from "./linux.ts";

const calls = lazily(
  {
    // int dup(int fd);
    dup: { parameters: ["i32"], result: "i32" },
    // int ioctl(int fd, unsigned long request, ...);  only with requests that take no argument
    ioctl: { parameters: ["i32", "u64"], result: "i32" },
  } as const,
);

/**
 * Closes a descriptor that the caller owns, such as one that {@linkcode UnixSocket} received. A
 * mapping of it stays.
 *
 * @param fd The descriptor. Do not use the number afterwards: it is given to whatever is opened
 * next.
 * @throws {RangeError} It is not an integer from 0.
 * @throws {SystemError} The call failed: `EBADF` when `fd` is not open.
 * @throws {LibcUnavailable} FFI is not allowed, or the platform is not supported.
 *
 * @example
 * ```ts
 * import { closeDescriptor, UnixSocket } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * if (Deno.build.os === "linux") {
 *   const [a, b] = UnixSocket.pair();
 *   await a.send(Uint8Array.of(1), [a.fd]);
 *   const { fds } = await b.receive();
 *   assertEquals(fds.length, 1);
 *   for (const fd of fds) closeDescriptor(fd);
 *   a.close();
 *   b.close();
 * }
 * ```
 */
export function closeDescriptor(fd: number): void {
  if (!Number.isInteger(fd) || fd < 0 || fd >= 2 ** 31) {
    throw new RangeError(`Cannot close ${String(fd)}: not a file descriptor`);
  }
  // SAFETY: touches no memory.
  if (fileCalls().close(fd) === 0) return;
  const error = lastError("close", { fd });
  // The descriptor is closed then (close(2), "Dealing with error returns from close()").
  if (error.errno !== EINTR) throw error;
}

/**
 * Another descriptor of the same, close-on-exec.
 *
 * @throws {SystemError} The call failed.
 */
export function duplicate(fd: number): number {
  const { systemCalls, closeOnExecRequest } = libc().platform;
  return systemCalls === undefined
    ? duplicateInSteps(fd, closeOnExecRequest)
    : control(fd, FCNTL.duplicate, 0);
}

/**
 * The same, but a program that is started in between gets it too: for macOS, where the arguments of
 * `fcntl(2)` are passed in another way.
 *
 * @param request `FIOCLEX` of `ioctl(2)`.
 */
export function duplicateInSteps(fd: number, request: bigint): number {
  // SAFETY: neither call touches memory.
  const copy = calls().dup(fd);
  if (copy < 0) throw lastError("dup", { fd });
  if (calls().ioctl(copy, request) === 0) return copy;
  const error = lastError("ioctl", { fd: copy });
  closeDescriptor(copy);
  throw error;
}

/**
 * Makes a descriptor close-on-exec.
 *
 * @throws {SystemError} The call failed.
 */
export function setCloseOnExec(fd: number): void {
  control(fd, FCNTL.setFlags, control(fd, FCNTL.getFlags, 0) | FCNTL.closeOnExec);
}

/**
 * Makes a descriptor non-blocking, in every process that has it.
 *
 * @throws {SystemError} The call failed.
 */
export function setNonBlocking(fd: number): void {
  control(fd, FCNTL.setStatus, control(fd, FCNTL.getStatus, 0) | FCNTL.nonBlocking);
}

function control(fd: number, operation: number, argument: number): number {
  // SAFETY: all operations above take an integer and touch no memory.
  const result = fileCalls().control(fd, operation, argument);
  if (result < 0) throw lastError("fcntl", { fd, operation });
  return result;
}
