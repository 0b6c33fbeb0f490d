/**
 * Page faults that this process handles or has recorded: `userfaultfd(2)`. Linux only.
 *
 * @module
 */
import { closeDescriptor } from "./descriptor.ts";
import { fileCalls, lastError, lazily, libc } from "./libc.ts";
import { LibcUnavailable } from "./system_error.ts";

const calls = lazily(
  {
    // long syscall(long number, int flags);
    userfaultfd: { name: "syscall", parameters: ["i64", "i32"], result: "i64" },
    // int ioctl(int fd, unsigned long op, ...);
    create: { name: "ioctl", parameters: ["i32", "u64", "u64"], result: "i32" },
    ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
  } as const,
);

// linux/userfaultfd.h
const UFFD_USER_MODE_ONLY = 1;
const UFFD_API = 0xaan;
const USERFAULTFD_IOC_NEW = 0xaa00n;
// _IOWR(0xaa, 0x3f, struct uffdio_api), _IOWR(0xaa, 0, struct uffdio_register)
const UFFDIO_API = 0xc018_aa3fn;
const UFFDIO_REGISTER = 0xc020_aa00n;
const UFFDIO_REGISTER_MODE_WP = 2n;
// _IOWR(0xaa, 6, struct uffdio_writeprotect)
const UFFDIO_WRITEPROTECT = 0xc018_aa06n;
const UFFDIO_WRITEPROTECT_MODE_WP = 1n;
// UFFD_FEATURE_WP_HUGETLBFS_SHMEM, WP_UNPOPULATED and WP_ASYNC
const WRITE_PROTECTION = 0x1000n | 0x2000n | 0x8000n;

/**
 * `userfaultfd(2)`, or its device where the call is not allowed: for faults of this program only,
 * which takes no privilege.
 *
 * @returns A descriptor, close-on-exec.
 * @throws {SystemError} The kernel refuses the call.
 * @throws {LibcUnavailable} The platform has no such call.
 */
export function openUserfaultfd(): number {
  const { systemCalls, closeOnExec } = libc().platform;
  if (systemCalls === undefined) {
    throw new LibcUnavailable("Cannot handle page faults: userfaultfd(2) is Linux's own");
  }
  const flags = closeOnExec | UFFD_USER_MODE_ONLY;
  const fd = Number(calls().userfaultfd(systemCalls.userfaultfd, flags));
  if (fd >= 0) return fd;
  const error = lastError("userfaultfd");
  const created = openByDevice(closeOnExec, flags);
  if (created < 0) throw error;
  return created;
}

// For who may use the device though a filter of system calls forbids the other way.
function openByDevice(closeOnExec: number, flags: number): number {
  // SAFETY: the path ends with a zero byte.
  const device = fileCalls().open(new TextEncoder().encode("/dev/userfaultfd\0"), closeOnExec, 0);
  if (device < 0) return device;
  try {
    // SAFETY: the argument is a number.
    return calls().create(device, USERFAULTFD_IOC_NEW, BigInt(flags));
  } finally {
    closeDescriptor(device);
  }
}

/**
 * A descriptor whose memory the kernel protects against writes and unprotects by itself, page by
 * page, at the first write: only a scan of the pages shows it.
 *
 * @returns A descriptor, close-on-exec. Closing it ends the protection.
 * @throws {SystemError} The kernel refuses: `ioctl` with `EINVAL` before Linux 6.7.
 * @throws {LibcUnavailable} The platform has no such call.
 */
export function openWriteProtection(): number {
  const fd = openUserfaultfd();
  const argument = BigUint64Array.of(UFFD_API, WRITE_PROTECTION, 0n);
  // SAFETY: struct uffdio_api has three 64-bit numbers: api, features and ioctls.
  if (calls().ioctl(fd, UFFDIO_API, argument) === 0) return fd;
  const error = lastError("ioctl", { fd, request: "UFFDIO_API" });
  closeDescriptor(fd);
  throw error;
}

/**
 * Makes memory part of what {@linkcode openWriteProtection} protects. None of it is protected yet.
 * Memory that is part of it stays as it is.
 *
 * @param fd The descriptor.
 * @param address Where the memory begins in the host: a multiple of the page size.
 * @param length Bytes, a multiple of the page size.
 * @throws {SystemError} The kernel refuses: `EBUSY` where another descriptor has the memory.
 */
export function registerMemory(fd: number, address: number, length: number): void {
  const argument = BigUint64Array.of(
    BigInt(address),
    BigInt(length),
    UFFDIO_REGISTER_MODE_WP,
    0n,
  );
  // SAFETY: struct uffdio_register has four 64-bit numbers: start, len, mode and ioctls. The kernel
  // checks the range.
  if (calls().ioctl(fd, UFFDIO_REGISTER, argument) !== 0) {
    throw lastError("ioctl", { fd, request: "UFFDIO_REGISTER", length });
  }
}

/**
 * Protects registered memory against writes: shared memory and files in single pages, also where huge
 * ones are mapped. A scan that protects leaves these whole.
 *
 * @param fd The descriptor.
 * @param address Where the memory begins in the host: a multiple of the page size.
 * @param length Bytes, a multiple of the page size.
 * @throws {SystemError} The kernel refuses: `ENOENT` where memory is not registered.
 */
export function protectRegistered(fd: number, address: number, length: number): void {
  const argument = BigUint64Array.of(
    BigInt(address),
    BigInt(length),
    UFFDIO_WRITEPROTECT_MODE_WP,
  );
  // SAFETY: struct uffdio_writeprotect has three 64-bit numbers: start, len and mode. The kernel
  // checks the range.
  if (calls().ioctl(fd, UFFDIO_WRITEPROTECT, argument) !== 0) {
    throw lastError("ioctl", { fd, request: "UFFDIO_WRITEPROTECT", length });
  }
}
