/**
 * Descriptors that this library makes: memfds and duplicates.
 *
 * @module
 */
import { fileCalls, lastError, libc } from "./libc.ts";
import { LibcUnavailable } from "./system_error.ts";

// linux/memfd.h
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const MFD_HUGETLB = 4;
const MFD_HUGE_SHIFT = 26;

/** What {@linkcode createMemfd} makes. */
export interface MemfdRequest {
  /** The name that `/proc` shows. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Bytes of huge pages; `undefined` for ordinary pages. */
  readonly hugePages: number | undefined;
  /** Whether its size is sealed. */
  readonly seal: boolean;
}

/**
 * `memfd_create(2)`, with a size. The descriptor is close-on-exec.
 *
 * @returns The descriptor.
 * @throws {SystemError} A call failed. Nothing is left open.
 * @throws {LibcUnavailable} The platform has no such call.
 */
export function createMemfd({ name, size, hugePages, seal }: MemfdRequest): number {
  const { memfd_create, ftruncate, control } = fileCalls();
  if (memfd_create === null) {
    throw new LibcUnavailable("Cannot make a memfd: memfd_create(2) is Linux's own");
  }
  const huge = hugePages === undefined
    ? 0
    : MFD_HUGETLB + Math.log2(hugePages) * 2 ** MFD_HUGE_SHIFT;
  const flags = MFD_CLOEXEC + (seal ? MFD_ALLOW_SEALING : 0) + huge;
  // SAFETY: the name ends with a zero byte.
  const fd = memfd_create(new TextEncoder().encode(`${name}\0`), flags);
  if (fd < 0) throw lastError("memfd_create", { name, hugePages });
  try {
    if (ftruncate(fd, BigInt(size)) !== 0) throw lastError("ftruncate", { size });
    if (seal && control(fd, F_ADD_SEALS, SEAL_SIZE) !== 0) throw lastError("fcntl", { fd });
    return fd;
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

// linux/fcntl.h: F_SEAL_SEAL, F_SEAL_SHRINK and F_SEAL_GROW
const F_ADD_SEALS = 1033;
const SEAL_SIZE = 1 | 2 | 4;

/**
 * `fcntl(2)` with `F_DUPFD_CLOEXEC`: another descriptor of the same open file.
 *
 * @throws {SystemError} The call failed: `EBADF`, or `EMFILE` with too many descriptors.
 */
export function duplicateDescriptor(fd: number): number {
  const copy = fileCalls().control(fd, libc().platform.duplicate, 0);
  if (copy < 0) throw lastError("fcntl", { fd });
  return copy;
}

/** `close(2)`. */
export function closeDescriptor(fd: number): void {
  fileCalls().close(fd);
}

// linux/falloc.h
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;

/**
 * `fallocate(2)`: takes the room that a part of a file needs.
 *
 * @throws {SystemError} The call failed: `ENOSPC` where there is too little room.
 */
export function allocateFile(fd: number, offset: number, length: number): void {
  changeFile(fd, 0, offset, length);
}

/**
 * `fallocate(2)` with `FALLOC_FL_PUNCH_HOLE`: gives back the room of a part of a file, which then
 * reads zero.
 *
 * @throws {SystemError} The call failed.
 */
export function punchHole(fd: number, offset: number, length: number): void {
  changeFile(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}

function changeFile(fd: number, mode: number, offset: number, length: number): void {
  const { fallocate } = fileCalls();
  if (fallocate === null) {
    throw new LibcUnavailable("Cannot change the room of a file: fallocate(2) is Linux's own");
  }
  if (fallocate(fd, mode, BigInt(offset), BigInt(length)) !== 0) {
    throw lastError("fallocate", { fd, mode, offset, length });
  }
}

// linux/fcntl.h
const F_SETLEASE = 1024;
const F_GETLEASE = 1025;
const F_RDLCK = 0;
const F_UNLCK = 2;

/**
 * Takes a read lease of a file: whoever opens it for writing or truncates it then waits, up
 * to `/proc/sys/fs/lease-break-time` seconds, and this process gets `SIGIO`.
 *
 * @throws {SystemError} The call failed: `EAGAIN` where the file is open for writing, `EACCES`
 * where it is somebody else's.
 */
export function leaseFile(fd: number): void {
  if (fileCalls().control(fd, F_SETLEASE, F_RDLCK) !== 0) throw lastError("fcntl", { fd });
}

/** Ends a lease, if there is one. */
export function endLease(fd: number): void {
  fileCalls().control(fd, F_SETLEASE, F_UNLCK);
}

/** Whether somebody waits for the end of a lease: the kernel shows what it is to become. */
export function isLeaseBreaking(fd: number): boolean {
  return fileCalls().control(fd, F_GETLEASE, 0) === F_UNLCK;
}
