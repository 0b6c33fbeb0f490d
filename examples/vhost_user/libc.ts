/**
 * The C functions that a disk needs beside those of the library.
 *
 * @module
 */

const SYMBOLS = {
  // int fallocate(int fd, int mode, off_t offset, off_t len);
  fallocate: { parameters: ["i32", "i32", "i64", "i64"], result: "i32" },
  // int open(const char *path, int flags);
  open: { parameters: ["buffer", "i32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

let opened: Deno.StaticForeignLibraryInterface<typeof SYMBOLS> | undefined;

// linux/falloc.h
const KEEP_SIZE = 1;
const PUNCH_HOLE = 2;
const ZERO_RANGE = 16;

/**
 * Makes a part of a file read zero.
 *
 * @param isHole Whether the room that it takes is given back.
 * @returns Whether the file system can.
 */
export function zeroFile(fd: number, offset: number, length: number, isHole: boolean): boolean {
  opened ??= Deno.dlopen("libc.so.6", SYMBOLS).symbols;
  const mode = KEEP_SIZE | (isHole ? PUNCH_HOLE : ZERO_RANGE);
  return opened.fallocate(fd, mode, BigInt(offset), BigInt(length)) === 0;
}

// asm-generic/fcntl.h; O_DIRECT of x86-64, and of arm64 (arch/arm64/include/uapi/asm/fcntl.h).
const O_RDWR = 2;
const O_CLOEXEC = 0o2000000;
const O_DIRECT = Deno.build.arch === "aarch64" ? 0o200000 : 0o40000;

/**
 * Opens a file past the page cache, with a number that other threads can use.
 *
 * @returns Its descriptor; a negative number if its file system cannot.
 */
export function openDirect(path: string, isReadOnly: boolean): number {
  opened ??= Deno.dlopen("libc.so.6", SYMBOLS).symbols;
  const flags = O_CLOEXEC | O_DIRECT | (isReadOnly ? 0 : O_RDWR);
  return opened.open(new TextEncoder().encode(`${path}\0`), flags);
}
