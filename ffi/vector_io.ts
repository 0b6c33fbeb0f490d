/**
 * `readv(2)`, `writev(2)` and their positioned forms.
 *
 * The vector lies in one buffer of this module, so that a transfer makes no object.
 *
 * @module
 */
import { type IoCalls, ioCalls, lastError, libc } from "./libc.ts";

/** Vectors that one call takes: `IOV_MAX` of Linux and macOS. */
export const MAX_VECTORS = 1024;

// struct iovec of sys/uio.h: void *iov_base at 0, size_t iov_len at 8; 16 bytes on 64 bits.
const words = new Uint32Array(MAX_VECTORS * 4);
const entries = new BigUint64Array(words.buffer);
let pointer: Deno.PointerValue = null;

/**
 * Puts an entry in the vector of the next call.
 *
 * @param index Which entry, below {@linkcode MAX_VECTORS}.
 * @param address Where the memory begins in the host.
 * @param length Its bytes.
 */
export function setVector(index: number, address: number, length: number): void {
  const word = index * 4;
  words[word] = address;
  words[word + 1] = address / 2 ** 32;
  words[word + 2] = length;
  words[word + 3] = length / 2 ** 32;
}

/** Which way data goes. */
export type Direction = "read" | "write";

/**
 * Transfers between a descriptor and the memory in the vector, again where a signal interrupted.
 *
 * @param direction Into memory (`read`), or out of it (`write`).
 * @param fd The descriptor.
 * @param count Entries of the vector.
 * @param position The position in the file; `undefined` for the descriptor's own.
 * @returns Bytes transferred.
 * @throws {SystemError} The call failed.
 */
export function transferVector(
  direction: Direction,
  fd: number,
  count: number,
  position: number | undefined,
): number {
  const calls = ioCalls();
  const { errno } = libc();
  for (;;) {
    // SAFETY: the entries name memory of slices that their caller keeps alive and has checked.
    const done = position === undefined
      ? transferOnce(calls, direction, fd, count)
      : transferOnceAt(calls, direction, fd, count, BigInt(position));
    if (done >= 0) return done;
    if (errno[0] !== EINTR) {
      throw lastError(`${position === undefined ? "" : "p"}${direction}v`, { fd, count });
    }
  }
}

// The same on every platform.
const EINTR = 4;

// One entry goes by read(2) and write(2): the kernel takes some 100 ns more to import a vector. The
// bigints are elements of the vector itself, which optimised code passes on without making them.
function transferOnce(
  calls: IoCalls,
  direction: Direction,
  fd: number,
  count: number,
): number {
  if (count === 1) {
    return direction === "read"
      ? calls.read(fd, entries[0]!, entries[1]!)
      : calls.write(fd, entries[0]!, entries[1]!);
  }
  pointer ??= Deno.UnsafePointer.of(words);
  return direction === "read" ? calls.readv(fd, pointer, count) : calls.writev(fd, pointer, count);
}

function transferOnceAt(
  calls: IoCalls,
  direction: Direction,
  fd: number,
  count: number,
  position: bigint,
): number {
  if (count === 1) {
    return direction === "read"
      ? calls.pread(fd, entries[0]!, entries[1]!, position)
      : calls.pwrite(fd, entries[0]!, entries[1]!, position);
  }
  pointer ??= Deno.UnsafePointer.of(words);
  return direction === "read"
    ? calls.preadv(fd, pointer, count, position)
    : calls.pwritev(fd, pointer, count, position);
}

/** The address of a byte of a buffer on the heap, valid while the buffer is in use. */
export function addressOf(bytes: Uint8Array): number {
  return Number(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes as Uint8Array<ArrayBuffer>)));
}
