/**
 * File descriptors as streams.
 *
 * @module
 */
import { addressOf, type Direction, MAX_VECTORS } from "../../ffi/vector_io.ts";
import { setVector, transferVector } from "../../ffi/vector_io.ts";
import type { ReadVolatile, WriteVolatile } from "../io.ts";
import { MemoryClosed } from "../volatile_memory_error.ts";
import type { VolatileSlice } from "../volatile_slice.ts";
import { MappedMemory } from "./mapped_memory.ts";

/**
 * A file descriptor as a stream: a file, a pipe, a socket, an eventfd. Data goes straight between it
 * and guest memory, in one system call for a range over several regions. Mirrors the implementations
 * of `ReadVolatile` and `WriteVolatile` for `OwnedFd` and `BorrowedFd`.
 *
 * A call blocks the thread as the descriptor does; one that would block but may not throws
 * {@linkcode IOError} with a {@linkcode SystemError} `EAGAIN` as its cause. It does not close the
 * descriptor.
 *
 * @example
 * ```ts
 * import { Fd, GuestAddress, GuestMemoryMmap } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 * import { closeSync, openSync } from "node:fs";
 *
 * using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 0x1000]]);
 * const fd = openSync("/dev/zero", "r");
 * memory.readExactVolatileFrom(GuestAddress(0), new Fd(fd), 0x1000);
 * closeSync(fd);
 * assertEquals(memory.read(new Uint8Array(16), GuestAddress(0)), 16);
 * ```
 */
export class Fd implements ReadVolatile, WriteVolatile {
  /** The descriptor. It belongs to whoever opened it. */
  readonly fd: number;
  /**
   * Where the next transfer takes place in the file, in bytes, leaving the descriptor's own position
   * alone (`preadv`, `pwritev`). `undefined`: at the descriptor's own position.
   */
  position: number | undefined;

  /**
   * Makes a stream of a descriptor.
   *
   * @param fd The descriptor.
   * @param position Where to begin in the file; by default at the descriptor's own position.
   * @throws {RangeError} One is not an integer from 0.
   */
  constructor(fd: number, position?: number) {
    if (!Number.isInteger(fd) || fd < 0 || fd >= 2 ** 31) {
      throw new RangeError(`Cannot use ${fd} as a file descriptor`);
    }
    if (position !== undefined && !(Number.isSafeInteger(position) && position >= 0)) {
      throw new RangeError(`Cannot begin at position ${position} of a file`);
    }
    this.fd = fd;
    this.position = position;
  }

  /** Reads once: `read(2)`. Marks what was read dirty; where the call fails, the whole slice. */
  readVolatile(slice: VolatileSlice): number {
    slice.demand("write");
    putVector(0, slice);
    let done = slice.len;
    try {
      return done = this.#transfer("read", 1);
    } finally {
      slice.markDirty(0, done);
    }
  }

  /** Writes once: `write(2)`. */
  writeVolatile(slice: VolatileSlice): number {
    slice.demand("read");
    putVector(0, slice);
    return this.#transfer("write", 1);
  }

  /**
   * Reads once into several slices: `readv(2)`. Marks what was read dirty; where the call fails,
   * everything, as what was read is not known then.
   */
  readVectoredVolatile(slices: readonly VolatileSlice[]): number {
    const count = putVectors(slices, "write");
    let left = Infinity;
    try {
      return left = this.#transfer("read", count);
    } finally {
      for (let i = 0; i < count && left > 0; i++) {
        const length = Math.min(left, slices[i]!.len);
        slices[i]!.markDirty(0, length);
        left -= length;
      }
    }
  }

  /** Writes once from several slices: `writev(2)`. */
  writeVectoredVolatile(slices: readonly VolatileSlice[]): number {
    return this.#transfer("write", putVectors(slices, "read"));
  }

  #transfer(direction: Direction, count: number): number {
    const done = transferVector(direction, this.fd, count, this.position);
    if (this.position !== undefined) this.position += done;
    return done;
  }
}

// Fills the vector of the next call, which takes so many at the most, and returns their number.
function putVectors(slices: readonly VolatileSlice[], access: "read" | "write"): number {
  const count = Math.min(slices.length, MAX_VECTORS);
  for (let i = 0; i < count; i++) {
    slices[i]!.demand(access);
    putVector(i, slices[i]!);
  }
  return count;
}

function putVector(index: number, { memory, start, len }: VolatileSlice): void {
  // The buffer of a region on the heap is its owner's, who may have transferred it.
  if (start + len > memory.u8.length) throw new MemoryClosed();
  const base = memory instanceof MappedMemory ? memory.address : addressOf(memory.u8);
  setVector(index, base + start, len);
}
