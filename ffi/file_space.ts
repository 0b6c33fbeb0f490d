/**
 * The room that a part of a file takes.
 *
 * @module
 */
import { fileCalls, lastError } from "./libc.ts";
import { LibcUnavailable } from "./system_error.ts";

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
