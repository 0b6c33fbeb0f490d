/**
 * Page faults that this process handles or has recorded: `userfaultfd(2)`. Linux only.
 *
 * Here are the descriptors and what is registered with them; ./page_faults.ts answers the faults.
 *
 * @module
 */
import { closeDescriptor } from "./descriptor.ts";
import { fileCalls, lastError, lazily, libc } from "./libc.ts";
import { FCNTL } from "./linux.ts";
import { wakePages } from "./page_faults.ts";
import { LibcUnavailable, type SystemError } from "./system_error.ts";

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
// _IOWR(0xaa, 0x3f, struct uffdio_api), _IOWR(0xaa, 0, struct uffdio_register),
// _IOR(0xaa, 1, struct uffdio_range)
const UFFDIO_API = 0xc018_aa3fn;
const UFFDIO_REGISTER = 0xc020_aa00n;
const UFFDIO_UNREGISTER = 0x8010_aa01n;
// _IOWR(0xaa, 6, struct uffdio_writeprotect)
const UFFDIO_WRITEPROTECT = 0xc018_aa06n;
const UFFDIO_WRITEPROTECT_MODE_WP = 1n;
// UFFD_FEATURE_*
const PAGEFAULT_FLAG_WP = 0x1n;
const EVENT_REMOVE = 0x8n;
const MISSING_SHMEM = 0x20n;
const WP_HUGETLBFS_SHMEM = 0x1000n;
const WP_UNPOPULATED = 0x2000n;
const WP_ASYNC = 0x8000n;

const WRITE_PROTECTION = WP_HUGETLBFS_SHMEM | WP_UNPOPULATED | WP_ASYNC;
const MISSING_PAGES = EVENT_REMOVE | MISSING_SHMEM;
const WRITE_FAULTS = PAGEFAULT_FLAG_WP | WP_HUGETLBFS_SHMEM;

/** `UFFDIO_REGISTER_MODE_*`: which accesses of registered memory count. */
export const FAULTS_OF = {
  /** Those to pages that are not there. */
  missing: 1,
  /** Writes to pages that are protected. */
  write: 2,
} as const;

/**
 * `userfaultfd(2)`, or its device where the call is not allowed. It does not block.
 *
 * @param userModeOnly Whether faults of this program's own code alone are handled, which takes no
 * privilege: system calls that access the memory then fail with `EFAULT`.
 * @returns A descriptor, close-on-exec.
 * @throws {SystemError} The kernel refuses the call: `EPERM` without the privilege.
 * @throws {LibcUnavailable} The platform has no such call.
 */
export function openUserfaultfd(userModeOnly: boolean): number {
  const { systemCalls, closeOnExec } = libc().platform;
  if (systemCalls === undefined) {
    throw new LibcUnavailable("Cannot handle page faults: userfaultfd(2) is Linux's own");
  }
  const flags = closeOnExec | FCNTL.nonBlocking | (userModeOnly ? UFFD_USER_MODE_ONLY : 0);
  const fd = Number(calls().userfaultfd(systemCalls.userfaultfd, flags));
  if (fd >= 0) return fd;
  const error = lastError("userfaultfd");
  const created = openByDevice(closeOnExec, flags);
  if (created < 0) throw error;
  return created;
}

// For who may use the device though the call is forbidden.
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
  return openWith(true, WRITE_PROTECTION).fd;
}

/**
 * A descriptor that gets the faults of missing pages, and the ranges that are discarded.
 *
 * @param userModeOnly See {@linkcode openUserfaultfd}.
 * @returns The descriptor, close-on-exec, and whether its memory can be protected too, as that of
 * {@linkcode openWriteProtection}.
 * @throws {SystemError} The kernel refuses.
 * @throws {LibcUnavailable} The platform has no such call.
 */
export function openMissingPages(userModeOnly: boolean): { fd: number; canProtect: boolean } {
  const { fd, choice } = openWith(userModeOnly, MISSING_PAGES | WRITE_PROTECTION, MISSING_PAGES);
  return { fd, canProtect: choice === 0 };
}

/**
 * A descriptor that gets the writes to protected pages. Holes of private memory are not protected.
 *
 * @param userModeOnly See {@linkcode openUserfaultfd}.
 * @returns A descriptor, close-on-exec. Closing it ends the protection, and wakes the writers.
 * @throws {SystemError} The kernel refuses: `ioctl` with `EINVAL` before Linux 5.19.
 * @throws {LibcUnavailable} The platform has no such call.
 */
export function openWriteFaults(userModeOnly: boolean): number {
  return openWith(userModeOnly, WRITE_FAULTS).fd;
}

// With the first of some sets of features that the kernel has.
function openWith(userModeOnly: boolean, ...choices: bigint[]): { fd: number; choice: number } {
  const fd = openUserfaultfd(userModeOnly);
  let error: SystemError | undefined;
  for (const [choice, features] of choices.entries()) {
    const argument = BigUint64Array.of(UFFD_API, features, 0n);
    // SAFETY: struct uffdio_api has three 64-bit numbers: api, features and ioctls.
    if (calls().ioctl(fd, UFFDIO_API, argument) === 0) return { fd, choice };
    error = lastError("ioctl", { fd, request: "UFFDIO_API" });
  }
  closeDescriptor(fd);
  throw error;
}

/**
 * Makes memory part of what a descriptor handles. None of it is protected yet. Memory that is part of
 * it stays so, with what was asked for before too.
 *
 * @param fd The descriptor.
 * @param address Where the memory begins in the host: a multiple of the page size.
 * @param length Bytes, a multiple of the page size.
 * @param faults Bits of {@linkcode FAULTS_OF}.
 * @throws {SystemError} The kernel refuses: `EBUSY` where another descriptor has the memory.
 */
export function registerMemory(fd: number, address: number, length: number, faults: number): void {
  const argument = BigUint64Array.from([address, length, faults, 0], BigInt);
  // SAFETY: struct uffdio_register has four 64-bit numbers: start, len, mode and ioctls. The kernel
  // checks the range.
  if (calls().ioctl(fd, UFFDIO_REGISTER, argument) !== 0) {
    throw lastError("ioctl", { fd, request: "UFFDIO_REGISTER", length });
  }
}

/**
 * Ends what {@linkcode registerMemory} began. Wakes the threads that wait: missing pages read zero.
 *
 * @param fd The descriptor.
 * @param address Where the memory begins in the host.
 * @param length Bytes.
 * @throws {SystemError} The kernel refuses.
 */
export function unregisterMemory(fd: number, address: number, length: number): void {
  const argument = BigUint64Array.from([address, length], BigInt);
  // SAFETY: struct uffdio_range has two 64-bit numbers: start and len. The kernel checks the range.
  if (calls().ioctl(fd, UFFDIO_UNREGISTER, argument) !== 0) {
    throw lastError("ioctl", { fd, request: "UFFDIO_UNREGISTER", length });
  }
  // The kernel wakes those that wait for missing pages, and not those that write to protected ones.
  wakePages(fd, address, length);
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
  setProtection(fd, address, length, UFFDIO_WRITEPROTECT_MODE_WP);
}

/** Ends the protection of {@linkcode protectRegistered}, and wakes the writers that wait. */
export function unprotectRegistered(fd: number, address: number, length: number): void {
  setProtection(fd, address, length, 0n);
}

function setProtection(fd: number, address: number, length: number, mode: bigint): void {
  const argument = BigUint64Array.of(BigInt(address), BigInt(length), mode);
  // SAFETY: struct uffdio_writeprotect has three 64-bit numbers: start, len and mode. The kernel
  // checks the range.
  if (calls().ioctl(fd, UFFDIO_WRITEPROTECT, argument) !== 0) {
    throw lastError("ioctl", { fd, request: "UFFDIO_WRITEPROTECT", length });
  }
}
