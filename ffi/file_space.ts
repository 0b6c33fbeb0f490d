/**
 * The room that a part of a file takes: its holes, its length, its copies.
 *
 * @module
 */
import { EINTR, fileCalls, lastError, lazily, libc } from "./libc.ts";
import { LibcUnavailable } from "./system_error.ts";

const calls = lazily(
  {
    // int fdatasync(int fd);
    fdatasync: { parameters: ["i32"], result: "i32", optional: true },
    // int fsync(int fd);
    fsync: { parameters: ["i32"], result: "i32" },
    // ssize_t copy_file_range(int fd_in, off_t *off_in, int fd_out, off_t *off_out, size_t len,
    //                         unsigned int flags);  Linux
    copy_file_range: {
      parameters: ["i32", "buffer", "i32", "buffer", "usize", "u32"],
      result: "i64",
      optional: true,
    },
  } as const,
);

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

/**
 * `ftruncate(2)`: sets the length of a file. What is added is a hole.
 *
 * @throws {SystemError} The call failed.
 */
export function setFileLength(fd: number, length: number): void {
  if (fileCalls().ftruncate(fd, BigInt(length)) !== 0) throw lastError("ftruncate", { fd, length });
}

/**
 * `fdatasync(2)`: waits until the storage has what was written. Where there is no such call, `fsync(2)`.
 *
 * @throws {SystemError} The call failed.
 */
export function syncFile(fd: number): void {
  const { fdatasync, fsync } = calls();
  if ((fdatasync ?? fsync)(fd) !== 0) {
    throw lastError(fdatasync === null ? "fsync" : "fdatasync", { fd });
  }
}

// unistd.h of Linux. macOS has the two numbers the other way round.
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
// errno-base.h
const ENXIO = 6;

/** Gets a part of a file: where it begins, and its bytes. */
export type OnDataRun = (start: number, length: number) => void;

/**
 * The parts of a file that are not holes, by `SEEK_DATA` and `SEEK_HOLE` of `lseek(2)`. A file system
 * that does not know its holes has none. Other platforms than Linux are not asked.
 *
 * Ask one object for one piece after the other: finding the end of a part takes the kernel as long as
 * the part has pages, so it is found once.
 */
export class DataRuns {
  readonly #fd: number;
  // The part that was found last.
  #first = 0;
  #end = 0;

  /**
   * Nothing is asked yet.
   *
   * @param fd A descriptor whose position nobody needs: it is moved.
   */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Lists the parts of a piece.
   *
   * @param start Where the piece begins in the file.
   * @param end Where it ends.
   * @param onRun Called with where a part begins in the file, and its bytes, by rising offset.
   * @throws {SystemError} The call failed.
   */
  forEach(start: number, end: number, onRun: OnDataRun): void {
    for (let at = start; at < end;) {
      const data = this.next(at, end);
      if (data >= end) return;
      if (data >= this.#end || data < this.#first) {
        this.#first = data;
        this.#end = this.#endOf(data, end);
      }
      at = Math.min(this.#end, end);
      if (at > data) onRun(data, at - data);
      // Somebody has truncated it since.
      else return;
    }
  }

  /**
   * Finds what is no hole.
   *
   * @param at Where to begin.
   * @param end Where to end.
   * @returns Where it is; `end` if there is none.
   */
  next(at: number, end: number): number {
    if (at >= this.#first && at < this.#end) return at;
    if (libc().platform.systemCalls === undefined) return at;
    // SAFETY: touches no memory.
    const data = Number(fileCalls().lseek(this.#fd, BigInt(at), SEEK_DATA));
    // What cannot seek, such as a device, answers with any number.
    if (data >= 0) return data >= at ? Math.min(data, end) : at;
    if (libc().errno[0] === ENXIO) return end;
    throw lastError("lseek", { fd: this.#fd, offset: at });
  }

  // Where the part at a position ends.
  #endOf(data: number, end: number): number {
    if (libc().platform.systemCalls === undefined) return end;
    // SAFETY: touches no memory.
    const hole = Number(fileCalls().lseek(this.#fd, BigInt(data), SEEK_HOLE));
    if (hole >= 0) return hole > data ? hole : end;
    if (libc().errno[0] === ENXIO) return data;
    throw lastError("lseek", { fd: this.#fd, offset: data });
  }
}

/** Whether the platform has `copy_file_range(2)`. */
export function canCopyRanges(): boolean {
  return calls().copy_file_range !== null;
}

/**
 * `copy_file_range(2)`: copies within the kernel. Neither descriptor's position counts or is moved.
 *
 * @param from The descriptor of the file that is read.
 * @param to The descriptor of the file that is written.
 * @param position Where, in both.
 * @param length Bytes.
 * @returns Bytes copied, fewer perhaps; 0 at the end of the file that is read.
 * @throws {SystemError} The call failed: `EXDEV`, `EOPNOTSUPP`, `ENOSYS` or `EINVAL` where it cannot
 * copy between these files.
 */
export function copyRange(from: number, to: number, position: number, length: number): number {
  const { copy_file_range } = calls();
  const [source, target] = [BigInt64Array.of(BigInt(position)), BigInt64Array.of(BigInt(position))];
  for (;;) {
    // SAFETY: both offsets are 64-bit integers, and no other memory is touched.
    const done = copy_file_range!(from, source, to, target, BigInt(length), 0);
    if (done >= 0n) return Number(done);
    if (libc().errno[0] !== EINTR) {
      throw lastError("copy_file_range", { from, to, position, length });
    }
  }
}
