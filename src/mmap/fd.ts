/**
 * File descriptors as streams.
 *
 * @module
 */
import {
  addressOf,
  MAX_VECTORS,
  setVector,
  transferVector,
  type VectorCall,
} from "../../ffi/vector_io.ts";
import type { ReadVolatile, WriteVolatile } from "../io.ts";
import { IOError } from "../volatile_memory_error.ts";
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

  /** Reads once: `read(2)`. */
  readVolatile(slice: VolatileSlice): number {
    return this.readVectoredVolatile([slice]);
  }

  /** Writes once: `write(2)`. */
  writeVolatile(slice: VolatileSlice): number {
    return this.writeVectoredVolatile([slice]);
  }

  /**
   * Reads once into several slices: `readv(2)`. Marks what was read dirty; where the call fails,
   * everything, as what was read is not known then.
   */
  readVectoredVolatile(slices: readonly VolatileSlice[]): number {
    const count = putVectors(slices, "write");
    let left;
    try {
      left = this.#transfer(this.position === undefined ? "readv" : "preadv", count);
    } catch (error) {
      for (const slice of slices) slice.markDirty(0, slice.len);
      throw error;
    }
    const done = left;
    for (let i = 0; i < count && left > 0; i++) {
      const length = Math.min(left, slices[i]!.len);
      slices[i]!.markDirty(0, length);
      left -= length;
    }
    return done;
  }

  /** Writes once from several slices: `writev(2)`. */
  writeVectoredVolatile(slices: readonly VolatileSlice[]): number {
    const count = putVectors(slices, "read");
    return this.#transfer(this.position === undefined ? "writev" : "pwritev", count);
  }

  #transfer(call: VectorCall, count: number): number {
    let done;
    try {
      done = transferVector(call, this.fd, count, this.position ?? 0);
    } catch (error) {
      throw new IOError("Other", { cause: error });
    }
    if (this.position !== undefined) this.position += done;
    return done;
  }
}

// Fills the vector of the next call, which takes so many at the most, and returns their number.
function putVectors(slices: readonly VolatileSlice[], access: "read" | "write"): number {
  const count = Math.min(slices.length, MAX_VECTORS);
  for (let i = 0; i < count; i++) {
    const slice = slices[i]!;
    slice.demand(access);
    const { memory, start, len } = slice;
    const base = memory instanceof MappedMemory ? memory.address : addressOf(memory.u8);
    setVector(i, base + start, len);
  }
  return count;
}
