/**
 * Memory of the kernel with a descriptor.
 *
 * @module
 */
import { closeDescriptor } from "./descriptor.ts";
import { fileCalls, lastError } from "./libc.ts";
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

/** Whether a descriptor is of a memfd, by the name that the kernel shows: Linux only. */
export function isMemfd(fd: number): boolean {
  // SAFETY: the path ends with a zero byte, and the buffer has as many bytes as the call is told.
  const path = new TextEncoder().encode(`/proc/self/fd/${fd}\0`);
  const name = new Uint8Array(MEMFD_NAME.length);
  const length = fileCalls().readlink(path, name, BigInt(name.length));
  return Number(length) === name.length && new TextDecoder().decode(name) === MEMFD_NAME;
}

// mm/memfd.c: the name of the file begins so.
const MEMFD_NAME = "/memfd:";
