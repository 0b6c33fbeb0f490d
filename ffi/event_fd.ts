/**
 * Counters that wake: `eventfd(2)`.
 *
 * @module
 */
import { EINTR, lastError, lazily, libc, systemError } from "./libc.ts";
import { ensureLinux, EVENTFD } from "./linux.ts";

const calls = lazily(
  {
    // int eventfd(unsigned int initval, int flags);
    eventfd: { parameters: ["u32", "i32"], result: "i32" },
    // ssize_t read(int fd, void *buf, size_t count);
    read: { parameters: ["i32", "buffer", "usize"], result: "i32" },
    // ssize_t write(int fd, const void *buf, size_t count);
    write: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  } as const,
);

// One value, in the host's order of bytes.
const value = new BigUint64Array(1);

/**
 * Makes a counter: close-on-exec, non-blocking.
 *
 * @param initial Its value, below 2^32.
 * @param semaphore Whether a read takes 1 instead of all.
 * @throws {SystemError} The call failed.
 * @throws {LibcUnavailable} This is not Linux, or FFI is not allowed.
 */
export function makeEventFd(initial: number, semaphore: boolean): number {
  ensureLinux("EventFd");
  const flags = EVENTFD.closeOnExec | EVENTFD.nonBlocking | (semaphore ? EVENTFD.semaphore : 0);
  // SAFETY: touches no memory.
  const fd = calls().eventfd(initial, flags);
  if (fd < 0) throw lastError("eventfd", { initial });
  return fd;
}

/**
 * Adds to a counter.
 *
 * @param fd The counter.
 * @param count What to add, below 2^64 - 1.
 * @throws {SystemError} The call failed: `EAGAIN` where the sum would pass 2^64 - 2.
 */
export function addToEvent(fd: number, count: bigint): void {
  value[0] = count;
  transfer("write", fd);
}

/**
 * Takes from a counter.
 *
 * @param fd The counter.
 * @returns Its value, or 1 of a semaphore; `undefined` if it is 0.
 * @throws {SystemError} The call failed.
 */
export function takeFromEvent(fd: number): bigint | undefined {
  try {
    transfer("read", fd);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EAGAIN") return undefined;
    throw error;
  }
  return value[0];
}

function transfer(call: "read" | "write", fd: number): void {
  const { errno } = libc();
  const { [call]: run } = calls();
  for (;;) {
    // SAFETY: the buffer has the 8 bytes, and nothing else uses it during the call.
    const done = run(fd, value, 8n);
    const failure = errno[0]!;
    if (done >= 0) return;
    if (failure !== EINTR) throw systemError(call, failure, { fd });
  }
}
