/**
 * `readv(2)`, `writev(2)` and their positioned forms.
 *
 * The vector lies in one buffer of this module, so that a transfer makes no object.
 *
 * @module
 */
import { lastError, libc, type LibcSymbols } from "./libc.ts";

/** Vectors that one call takes: `IOV_MAX` of Linux and macOS. */
export const MAX_VECTORS = 1024;

// struct iovec of sys/uio.h: void *iov_base at 0, size_t iov_len at 8; 16 bytes on 64 bits.
const words = new Uint32Array(MAX_VECTORS * 4);
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

/** A system call that takes the vector. */
export type VectorCall = "readv" | "writev" | "preadv" | "pwritev";

/**
 * Makes a call with the vector, again where a signal interrupted it.
 *
 * @param call Which.
 * @param fd The descriptor.
 * @param count Entries of the vector.
 * @param position The position in the file, for the positioned forms.
 * @returns Bytes transferred.
 * @throws {SystemError} The call failed.
 */
export function transferVector(
  call: VectorCall,
  fd: number,
  count: number,
  position: number,
): number {
  const { symbols, errno } = libc();
  pointer ??= Deno.UnsafePointer.of(words);
  for (;;) {
    // SAFETY: the entries name memory of slices that their caller keeps alive and has checked.
    const done = callOnce(symbols, call, fd, count, position);
    if (done >= 0) return done;
    if (errno[0] !== EINTR) throw lastError(call, { fd, count });
  }
}

// The same on every platform.
const EINTR = 4;

function callOnce(
  symbols: LibcSymbols,
  call: VectorCall,
  fd: number,
  count: number,
  position: number,
): number {
  switch (call) {
    case "readv":
      return symbols.readv(fd, pointer, count);
    case "writev":
      return symbols.writev(fd, pointer, count);
    case "preadv":
      return symbols.preadv(fd, pointer, count, BigInt(position));
    case "pwritev":
      return symbols.pwritev(fd, pointer, count, BigInt(position));
  }
}

/** The address of a byte of a buffer on the heap, valid while the buffer is in use. */
export function addressOf(bytes: Uint8Array): number {
  return Number(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes as Uint8Array<ArrayBuffer>)));
}
