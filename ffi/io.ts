/**
 * Transfers between descriptors and memory: `read(2)`, `write(2)` and their forms. All retry when a
 * signal interrupts.
 *
 * @module
 */
import { EINTR, ioCalls, lastError, libc, u64 } from "./libc.ts";

// SAFETY, for all functions here: the memory is that of slices, which the caller keeps alive and
// has checked.
//
// One piece of memory is not passed as a vector of one entry, which takes the kernel 100 ns more.
// Each function is small, so that V8 inlines it: a system call clobbers the return-address
// predictor, and each frame that is not inlined costs about 20 ns.

/**
 * `read(2)`.
 *
 * @param fd The descriptor.
 * @param address Where the memory begins in the host.
 * @param length Its bytes.
 * @returns Bytes read.
 * @throws {SystemError} The call failed.
 */
export function read(fd: number, address: number, length: number): number {
  for (;;) {
    const done = ioCalls().read(fd, u64(address), u64(length));
    if (done >= 0) return done;
    ensureInterrupted("read", fd);
  }
}

/** `write(2)`: see {@linkcode read}. */
export function write(fd: number, address: number, length: number): number {
  for (;;) {
    const done = ioCalls().write(fd, u64(address), u64(length));
    if (done >= 0) return done;
    ensureInterrupted("write", fd);
  }
}

/** `pread(2)`, which reads at a position of the file. */
export function readAt(fd: number, address: number, length: number, position: number): number {
  for (;;) {
    const done = ioCalls().pread(fd, u64(address), u64(length), BigInt(position));
    if (done >= 0) return done;
    ensureInterrupted("pread", fd);
  }
}

/** `pwrite(2)`, which writes at a position of the file. */
export function writeAt(fd: number, address: number, length: number, position: number): number {
  for (;;) {
    const done = ioCalls().pwrite(fd, u64(address), u64(length), BigInt(position));
    if (done >= 0) return done;
    ensureInterrupted("pwrite", fd);
  }
}

/** Vectors that one call takes: `IOV_MAX` of Linux and macOS. */
export const MAX_VECTORS = 1024;

/** The vector of one transfer: entries of up to {@linkcode MAX_VECTORS} pieces of memory. */
export interface IoVector {
  /** What {@linkcode setVector} fills. */
  readonly words: Uint32Array;
  /** Where it is. */
  readonly address: bigint;
}

// Lent to one transfer at a time, so that a transfer allocates nothing.
let free: IoVector | undefined;

/**
 * A vector for the next transfer, which {@linkcode transferVector} takes back. One that is not used
 * is garbage.
 */
export function takeVector(): IoVector {
  const vector = free ?? makeVector();
  free = undefined;
  return vector;
}

function makeVector(): IoVector {
  // struct iovec of sys/uio.h: void *iov_base at 0, size_t iov_len at 8; 16 bytes on 64 bits.
  const words = new Uint32Array(MAX_VECTORS * 4);
  return { words, address: BigInt(addressOf(words)) };
}

/**
 * Sets an entry of a vector.
 *
 * @param vector The vector.
 * @param index Which entry, below {@linkcode MAX_VECTORS}.
 * @param address Where the memory begins in the host.
 * @param length Its bytes.
 */
export function setVector(
  { words }: IoVector,
  index: number,
  address: number,
  length: number,
): void {
  const word = index * 4;
  words[word] = address;
  words[word + 1] = address / 2 ** 32;
  words[word + 2] = length;
  words[word + 3] = length / 2 ** 32;
}

/** Which way data goes. */
type Direction = "read" | "write";

/**
 * Transfers between a descriptor and the memory in a vector: `readv(2)`, `writev(2)`, `preadv(2)` or
 * `pwritev(2)`. The vector is free for others then.
 *
 * @param direction Into memory (`read`), or out of it (`write`).
 * @param fd The descriptor.
 * @param vector Of {@linkcode takeVector}.
 * @param count Entries that were set.
 * @param position The position in the file; `undefined` for the descriptor's.
 * @returns Bytes transferred.
 * @throws {SystemError} The call failed.
 */
export function transferVector(
  direction: Direction,
  fd: number,
  vector: IoVector,
  count: number,
  position: number | undefined,
): number {
  const calls = ioCalls();
  const { address } = vector;
  free = vector;
  for (;;) {
    const done = position === undefined
      ? calls[`${direction}v`](fd, address, count)
      : calls[`p${direction}v`](fd, address, count, BigInt(position));
    if (done >= 0) return done;
    ensureInterrupted(`${position === undefined ? "" : "p"}${direction}v`, fd);
  }
}

// Throws the error of the call that has just failed, unless a signal interrupted it.
function ensureInterrupted(call: string, fd: number): void {
  if (libc().errno[0] !== EINTR) throw lastError(call, { fd });
}

/** The address of a byte of a buffer on the heap, valid while the buffer is in use. */
export function addressOf(bytes: ArrayBufferView): number {
  return Number(libc().runtime.addressOf(bytes));
}
