/**
 * Whether the kernel has what other parts of this library need.
 *
 * @module
 */
import { lastError, libc, probeCalls } from "./libc.ts";
import { LibcUnavailable } from "./system_error.ts";

// linux/userfaultfd.h
const UFFD_USER_MODE_ONLY = 1;

/**
 * `userfaultfd(2)`, for faults of this program only, which takes no privilege.
 *
 * @returns A descriptor, close-on-exec.
 * @throws {SystemError} The kernel refuses.
 * @throws {LibcUnavailable} The platform has no such call.
 */
export function openUserfaultfd(): number {
  const { systemCalls, closeOnExec } = libc().platform;
  if (systemCalls === undefined) {
    throw new LibcUnavailable("Cannot handle page faults: userfaultfd(2) is Linux's own");
  }
  const fd = Number(
    probeCalls().userfaultfd(systemCalls.userfaultfd, closeOnExec | UFFD_USER_MODE_ONLY),
  );
  if (fd < 0) throw lastError("userfaultfd");
  return fd;
}
