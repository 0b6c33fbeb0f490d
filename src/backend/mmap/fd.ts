/**
 * File descriptors as streams.
 *
 * @module
 */
import { addressOf, MAX_VECTORS } from "../../../ffi/io.ts";
import { read, readAt, setVector, transferVector, write, writeAt } from "../../../ffi/io.ts";
import { forAll } from "../../bitmap/bitmap.ts";
import type { ReadVolatile, WriteVolatile } from "../../volatile/stream.ts";
import { checkCount, shown } from "../../text/argument.ts";
import { OutOfBounds } from "../../error/volatile_memory_error.ts";
import type { VolatileSlice } from "../../volatile/volatile_slice.ts";
import { MappedMemory } from "./mapped_memory.ts";

/**
 * A file descriptor as a stream: a file, a pipe, a socket, an eventfd. Data goes straight between
 * it and guest memory, in one system call for a range over several regions. Mirrors the
 * implementations of `ReadVolatile` and `WriteVolatile` for `OwnedFd` and `BorrowedFd`.
 *
 * A call blocks the thread if the descriptor blocks. A non-blocking one that is not ready throws
 * {@linkcode IOError}, with a {@linkcode SystemError} `EAGAIN` as its cause. The class does not
 * close the descriptor.
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
  /** The descriptor. Closing it is up to the caller. */
  readonly fd: number;
  /**
   * The position in the file of the next transfer, in bytes; the descriptor's position does not
   * change then (`preadv`, `pwritev`). `undefined`: at the descriptor's position.
   */
  position: number | undefined;

  /**
   * Makes a stream of a descriptor.
   *
   * @param fd The descriptor.
   * @param position Where to begin in the file; by default at the descriptor's position.
   * @throws {RangeError} One is not an integer from 0.
   */
  constructor(fd: number, position?: number) {
    if (!Number.isInteger(fd) || fd < 0 || fd >= 2 ** 31) {
      throw new RangeError(`Cannot use ${shown(fd)} as fd: not a file descriptor`);
    }
    if (position !== undefined && !(Number.isSafeInteger(position) && position >= 0)) {
      throw new RangeError(`Cannot begin at position ${shown(position)} of a file`);
    }
    this.fd = fd;
    this.position = position;
  }

  /** Reads once: `read(2)`. Marks what was read dirty; if the call fails, the whole slice. */
  readVolatile(slice: VolatileSlice): number {
    const { fd } = this;
    const position = this.#position();
    const { len } = slice;
    const address = addressIn(slice, len, "write");
    let done;
    try {
      done = position === undefined ? read(fd, address, len) : readAt(fd, address, len, position);
    } catch (error) {
      slice.markDirty(0, len);
      throw error;
    }
    slice.markDirty(0, done);
    return this.#advance(position, done);
  }

  /** Writes once: `write(2)`. */
  writeVolatile(slice: VolatileSlice): number {
    const { fd } = this;
    const position = this.#position();
    const { len } = slice;
    const address = addressIn(slice, len, "read");
    return position === undefined
      ? write(fd, address, len)
      : this.#advance(position, writeAt(fd, address, len, position));
  }

  /**
   * Reads once into several slices: `readv(2)`. Marks what was read dirty; if the call fails, all
   * slices, as it is not known how much was read.
   */
  readVectoredVolatile(slices: readonly VolatileSlice[]): number {
    const { fd } = this;
    const position = this.#position();
    const lengths = putVectors(slices, "write");
    let left = Infinity;
    try {
      left = transferVector("read", fd, lengths.length, position);
      return this.#advance(position, left);
    } finally {
      forAll(lengths.keys(), (i) => {
        const length = Math.min(left, lengths[i]!);
        left -= length;
        slices[i]!.markDirty(0, length);
      });
    }
  }

  /** Writes once from several slices: `writev(2)`. */
  writeVectoredVolatile(slices: readonly VolatileSlice[]): number {
    const { fd } = this;
    const position = this.#position();
    const { length } = putVectors(slices, "read");
    return this.#advance(position, transferVector("write", fd, length, position));
  }

  #position(): number | undefined {
    const { position } = this;
    if (position !== undefined) checkCount(position, "position");
    return position;
  }

  #advance(position: number | undefined, done: number): number {
    if (position !== undefined) this.position = position + done;
    return done;
  }
}

// What a slice says of itself is read once, and nothing of the caller's runs between the check of its
// memory and the call.

// Fills the vector of the next call, up to its limit, and returns the lengths of its entries.
function putVectors(slices: readonly VolatileSlice[], access: "read" | "write"): number[] {
  const parts = slices.slice(0, MAX_VECTORS).map((slice) => {
    const { memory, start, len } = slice;
    return { memory, start, len, ensureAccessible: () => slice.ensureAccessible(access) };
  });
  for (const [i, part] of parts.entries()) {
    setVector(i, addressIn(part, part.len, access), part.len);
  }
  return parts.map(({ len }) => len);
}

// Where a slice begins in the host.
function addressIn(
  slice: Pick<VolatileSlice, "memory" | "start" | "ensureAccessible">,
  len: number,
  access: "read" | "write",
): number {
  const { memory, start } = slice;
  checkCount(len, "len");
  if (!memory.permits(access, start, len)) {
    slice.ensureAccessible(access);
    throw new OutOfBounds(start + len, memory.length);
  }
  return (memory instanceof MappedMemory ? memory.address : addressOf(memory.u8)) + start;
}
