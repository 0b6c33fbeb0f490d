/**
 * Waits that block the thread: `poll(2)`. Those that do not are in ./readiness.ts.
 *
 * @module
 */
import { EINTR, lazily, libc, systemError } from "./libc.ts";

const calls = lazily(
  {
    // int poll(struct pollfd *fds, nfds_t nfds, int timeout);
    poll: { parameters: ["buffer", "u64", "i32"], result: "i32" },
  } as const,
);

// poll.h
const POLLIN = 1;

/**
 * Blocks this thread until one of the descriptors can be read, or a signal interrupts.
 *
 * @param fds The descriptors.
 * @param timeout Milliseconds at most; -1 for no end.
 * @throws {SystemError} The call failed.
 */
export function waitForInput(fds: readonly number[], timeout: number): void {
  // struct pollfd: int fd, short events, short revents.
  const polled = Int32Array.from(fds.flatMap((fd) => [fd, POLLIN]));
  const count = BigInt(fds.length);
  const { errno } = libc();
  const { poll } = calls();
  // SAFETY: the array has as many structures as the call is given.
  const ready = poll(polled, count, timeout);
  // Before any other function is called: see systemError().
  const failure = errno[0]!;
  if (ready >= 0 || failure === EINTR) return;
  throw systemError("poll", failure, { fds });
}
