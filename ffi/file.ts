/**
 * What mappings and streams need to know of an open file.
 *
 * @module
 */
import { fileCalls, lastError, libc } from "./libc.ts";

/** What the kernel reports of an open file. */
export interface FileStatus {
  /** Whether it is a regular file: only then is `size` the end of what can be mapped. */
  readonly isRegular: boolean;
  /** Whether it has a type, as all files with a path do. Without, its inode is not its own. */
  readonly hasType: boolean;
  /** Bytes. */
  readonly size: number;
  /** Bytes that are stored: fewer where it has holes. */
  readonly stored: number;
  /** The device that the file is on, as `st_dev` of `stat(2)` has it. */
  readonly device: bigint;
  /** Bytes of a block for transfers: a multiple of what its holes consist of. */
  readonly blockSize: number;
  /** Inode number: with `device`, the identity of the file while anything keeps it open. */
  readonly inode: bigint;
}

// Structures that calls fill, one after the other. A buffer for each call would have V8 collect
// garbage for it, where memory was mapped just before: that counts as a buffer too, of gigabytes.
const structure = new DataView(new ArrayBuffer(256));
const NO_PATH = Uint8Array.of(0);

// Of st_blocks, whatever the blocks of the file system are.
const BLOCK = 512;
const S_IFMT = 0o170000;
const S_IFREG = 0o100000;

/**
 * `fstat(2)`, by the platform's name and layout.
 *
 * @param fd An open file descriptor.
 * @throws {SystemError} The call failed: `EBADF` when `fd` is not open.
 */
export function fileStatus(fd: number): FileStatus {
  const calls = fileCalls();
  if (calls.statx !== null) return statx(fd, "", AT_EMPTY_PATH, { fd });
  const view = structure;
  // struct stat of macOS with 64-bit inodes: st_dev i32 at 0, st_mode u16 at 4, st_ino u64 at 8,
  // st_size i64 at 96, st_blocks i64 at 104, st_blksize i32 at 112.
  // SAFETY: struct stat has 144 bytes there.
  const status = (calls.fstat64 ?? calls.fstat)?.(fd, view);
  if (status !== 0) throw lastError("fstat", { fd });
  return {
    ...typeOf(view.getUint16(4, true)),
    size: Number(view.getBigUint64(96, true)),
    stored: Number(view.getBigUint64(104, true)) * BLOCK,
    blockSize: view.getInt32(112, true),
    device: BigInt(view.getInt32(0, true)),
    inode: view.getBigUint64(8, true),
  };
}

/**
 * The status of what is at a path, not followed if it is a symbolic link. Linux only.
 *
 * @throws {SystemError} The call failed: `ENOENT` where there is nothing.
 */
export function pathStatus(path: string): FileStatus {
  return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, { path });
}

function statx(
  fd: number,
  path: string,
  flags: number,
  args: Record<string, unknown>,
): FileStatus {
  // struct statx of linux/stat.h: stx_blksize u32 at 4, stx_mode u16 at 28, stx_ino u64 at 32,
  // stx_size u64 at 40, stx_blocks u64 at 48, stx_dev_major and stx_dev_minor u32 at 136 and 140.
  const view = structure;
  const name = path === "" ? NO_PATH : new TextEncoder().encode(`${path}\0`);
  // SAFETY: the path ends with a zero byte, and the view has 256 bytes, as struct statx has.
  const status = fileCalls().statx!(fd, name, flags, STATX_BASIC_STATS, view);
  if (status !== 0) throw lastError("statx", args);
  return {
    ...typeOf(view.getUint16(28, true)),
    size: Number(view.getBigUint64(40, true)),
    stored: Number(view.getBigUint64(48, true)) * BLOCK,
    blockSize: view.getUint32(4, true),
    device: deviceNumber(view.getUint32(136, true), view.getUint32(140, true)),
    inode: view.getBigUint64(32, true),
  };
}

// linux/fcntl.h and linux/stat.h
const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC_STATS = 0x7ff;

function typeOf(mode: number): Pick<FileStatus, "isRegular" | "hasType"> {
  const type = mode & S_IFMT;
  return { isRegular: type === S_IFREG, hasType: type !== 0 };
}

/** The number of a device, of its two parts: `makedev` of `sys/sysmacros.h`. */
export function deviceNumber(major: number, minor: number): bigint {
  const [ma, mi] = [BigInt(major), BigInt(minor)];
  return (ma & 0xffff_f000n) << 32n | (ma & 0xfffn) << 8n | (mi & 0xffff_ff00n) << 12n | mi & 0xffn;
}

/**
 * The two numbers that a device's number consists of: `major` and `minor` of `sys/sysmacros.h`.
 *
 * @param device As {@linkcode FileStatus} has it, on Linux.
 */
export function deviceParts(device: bigint): [major: number, minor: number] {
  const major = device >> 8n & 0xfffn | device >> 32n & 0xffff_f000n;
  const minor = device & 0xffn | device >> 12n & 0xffff_ff00n;
  return [Number(major), Number(minor)];
}

/** What a descriptor was opened for. */
export type AccessMode = "read" | "write" | "read and write";

/**
 * What a descriptor was opened for: `fcntl(2)` with `F_GETFL`.
 *
 * @param fd An open file descriptor.
 * @throws {SystemError} The call failed: `EBADF` when `fd` is not open.
 */
export function accessMode(fd: number): AccessMode {
  // SAFETY: F_GETFL takes no argument and touches no memory.
  const flags = fileCalls().fcntl(fd, F_GETFL);
  if (flags < 0) throw lastError("fcntl", { fd });
  // O_ACCMODE: O_RDONLY is 0, O_WRONLY is 1, O_RDWR is 2.
  return (["read", "write", "read and write"] as const)[flags & O_ACCMODE] ?? "read and write";
}

// fcntl.h: the same on Linux and macOS
const F_GETFL = 3;
const O_ACCMODE = 3;

/**
 * Whether all that is written through a descriptor goes to the end of its file (`O_APPEND`), whatever
 * the position.
 *
 * @param fd An open file descriptor.
 * @throws {SystemError} The call failed: `EBADF` when `fd` is not open.
 */
export function isAppending(fd: number): boolean {
  // SAFETY: F_GETFL takes no argument and touches no memory.
  const flags = fileCalls().fcntl(fd, F_GETFL);
  if (flags < 0) throw lastError("fcntl", { fd });
  // fcntl.h of Linux, and of macOS.
  return (flags & (libc().platform.systemCalls === undefined ? 0x8 : 0o2000)) !== 0;
}

/**
 * Bytes of the huge pages that a file consists of, or `undefined` where it is of ordinary pages.
 *
 * @param fd An open file descriptor.
 */
export function hugePageSize(fd: number): number | undefined {
  if (libc().platform.map.hugeTlb === 0) return undefined;
  // struct statfs of asm-generic/statfs.h: f_type at 0, f_bsize at 8, words of 64 bits.
  const view = structure;
  // SAFETY: struct statfs has 120 bytes.
  if (fileCalls().fstatfs?.(fd, view) !== 0) return undefined;
  return view.getUint32(0, true) === HUGETLBFS_MAGIC ? view.getUint32(8, true) : undefined;
}

// linux/magic.h
const HUGETLBFS_MAGIC = 0x958458f6;
