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
  /** Bytes. */
  readonly size: number;
  /** Inode number, rounded to a double as `Deno.FileInfo` has it. */
  readonly inode: number;
}

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
  const view = new DataView(new ArrayBuffer(256));
  if (calls.statx !== null) {
    // struct statx of linux/stat.h: stx_mode u16 at 28, stx_ino u64 at 32, stx_size u64 at 40.
    // AT_EMPTY_PATH (0x1000) asks for the descriptor itself, STATX_BASIC_STATS is 0x7ff.
    const status = calls.statx(fd, new Uint8Array(1), 0x1000, 0x7ff, view);
    if (status !== 0) throw lastError("statx", { fd });
    return describe(
      view.getUint16(28, true),
      view.getBigUint64(40, true),
      view.getBigUint64(32, true),
    );
  }
  // struct stat of macOS with 64-bit inodes: st_mode u16 at 4, st_ino u64 at 8, st_size i64 at 96.
  const status = (calls.fstat64 ?? calls.fstat)?.(fd, view);
  if (status !== 0) throw lastError("fstat", { fd });
  return describe(view.getUint16(4, true), view.getBigUint64(96, true), view.getBigUint64(8, true));
}

function describe(mode: number, size: bigint, inode: bigint): FileStatus {
  return { isRegular: (mode & S_IFMT) === S_IFREG, size: Number(size), inode: Number(inode) };
}

/**
 * Bytes of the huge pages that a file consists of, or `undefined` where it is of ordinary pages.
 *
 * @param fd An open file descriptor.
 */
export function hugePageSize(fd: number): number | undefined {
  if (libc().platform.map.hugeTlb === 0) return undefined;
  // struct statfs of asm-generic/statfs.h: f_type at 0, f_bsize at 8, words of 64 bits.
  const view = new DataView(new ArrayBuffer(256));
  if (fileCalls().fstatfs?.(fd, view) !== 0) return undefined;
  return view.getUint32(0, true) === HUGETLBFS_MAGIC ? view.getUint32(8, true) : undefined;
}

// linux/magic.h
const HUGETLBFS_MAGIC = 0x958458f6;

/** The part of `Deno.FsFile` that is needed to find its descriptor. */
export interface OpenFile {
  /** Moves the file's position. */
  seekSync(offset: number, whence: Deno.SeekMode): number;
  /** The file's status. */
  statSync(): { readonly ino: number | null };
}

/**
 * The descriptor of an open `Deno.FsFile`, which Deno does not expose: the one with the same inode
 * whose position moves with the file's.
 *
 * @throws {TypeError} It cannot be found: the file cannot seek. Pass a raw descriptor then.
 */
export function descriptorOf(file: OpenFile): number {
  const { lseek } = fileCalls();
  const standsAt = (fd: number, at: number) => lseek(fd, 0n, SEEK_CUR) === BigInt(at);
  const inode = file.statSync().ino;
  try {
    const position = file.seekSync(0, SEEK_CUR);
    for (let fd = 0; fd < MAX_DESCRIPTORS; fd++) {
      if (!standsAt(fd, position) || inodeOf(fd) !== inode) continue;
      file.seekSync(position + 1, SEEK_SET);
      const follows = standsAt(fd, position + 1);
      file.seekSync(position, SEEK_SET);
      if (follows) return fd;
    }
  } catch (cause) {
    throw new TypeError("Cannot find the descriptor of the file: it cannot seek, pass a raw fd", {
      cause,
    });
  }
  throw new TypeError("Cannot find the descriptor of the file: pass a raw fd");
}

// Other threads may close a descriptor between two calls.
function inodeOf(fd: number): number | undefined {
  try {
    return fileStatus(fd).inode;
  } catch {
    return undefined;
  }
}

const SEEK_SET = 0;
const SEEK_CUR = 1;
// Higher descriptors are not searched: the default soft limit is 1,024, and each takes a call.
const MAX_DESCRIPTORS = 65_536;
