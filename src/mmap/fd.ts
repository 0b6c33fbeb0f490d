/**
 * File descriptors as streams.
 *
 * @module
 */
import { addressOf, MAX_VECTORS } from "../../ffi/io.ts";
import { read, readAt, setVector, transferVector, write, writeAt } from "../../ffi/io.ts";
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
    let done;
    try {
      done = this.position === undefined
        ? read(this.fd, addressIn(slice), slice.len)
        : this.#advance(readAt(this.fd, addressIn(slice), slice.len, this.position));
    } catch (error) {
      slice.markDirty(0, slice.len);
      throw error;
    }
    slice.markDirty(0, done);
    return done;
  }

  /** Writes once: `write(2)`. */
  writeVolatile(slice: VolatileSlice): number {
    slice.demand("read");
    return this.position === undefined
      ? write(this.fd, addressIn(slice), slice.len)
      : this.#advance(writeAt(this.fd, addressIn(slice), slice.len, this.position));
  }

  /**
   * Reads once into several slices: `readv(2)`. Marks what was read dirty; where the call fails,
   * everything, as what was read is not known then.
   */
  readVectoredVolatile(slices: readonly VolatileSlice[]): number {
    const count = putVectors(slices, "write");
    let left = Infinity;
    try {
      return left = this.#advance(transferVector("read", this.fd, count, this.position));
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
    const count = putVectors(slices, "read");
    return this.#advance(transferVector("write", this.fd, count, this.position));
  }

  #advance(done: number): number {
    if (this.position !== undefined) this.position += done;
    return done;
  }
}

// Fills the vector of the next call, which takes so many at the most, and returns their number.
function putVectors(slices: readonly VolatileSlice[], access: "read" | "write"): number {
  const count = Math.min(slices.length, MAX_VECTORS);
  for (let i = 0; i < count; i++) {
    slices[i]!.demand(access);
    setVector(i, addressIn(slices[i]!), slices[i]!.len);
  }
  return count;
}

// Where a slice begins in the host.
function addressIn({ memory, start, len }: VolatileSlice): number {
  if (memory instanceof MappedMemory) return memory.address + start;
  // The buffer of a region on the heap is its owner's, who may have transferred it.
  if (start + len > memory.u8.length) throw new MemoryClosed();
  return addressOf(memory.u8) + start;
}
