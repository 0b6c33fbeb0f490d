/**
 * Whether the kernel has what other parts of this library need.
 *
 * @module
 */
import { fileCalls, lastError, libc, probeCalls } from "./libc.ts";
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

// linux/fs.h: PAGEMAP_SCAN, _IOWR('f', 16, struct pm_scan_arg), which has 96 bytes
const PAGEMAP_SCAN = 0xc060_6610n;
const SCAN_SIZE = 96;

/**
 * The ioctl `PAGEMAP_SCAN` on an empty range.
 *
 * @throws {SystemError} The kernel does not have it: Linux has since 6.7.
 */
export function scanPagemap(): void {
  const { open, close } = fileCalls();
  // SAFETY: the path ends with a zero byte.
  const path = new TextEncoder().encode("/proc/self/pagemap\0");
  const fd = open(path, libc().platform.closeOnExec, 0);
  if (fd < 0) throw lastError("open", { path: "/proc/self/pagemap" });
  try {
    const argument = new BigUint64Array(SCAN_SIZE / 8);
    argument[0] = BigInt(SCAN_SIZE);
    // SAFETY: the structure has as many bytes as it says. An empty range needs no vector.
    if (probeCalls().ioctl(fd, PAGEMAP_SCAN, argument) !== 0) throw lastError("ioctl", { fd });
  } finally {
    close(fd);
  }
}
