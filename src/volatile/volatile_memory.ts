/**
 * Memory that others change at any time.
 *
 * In short, rules 1 and 2 of the README: a guest, a device or a Worker may write it between any two
 * accesses, so check the copy that was read, and do not read again; and no access leaves its
 * bounds, whatever number it was given.
 *
 * @module
 */
import type { ByteValued } from "../codec/byte_valued.ts";
import { AtomicRef } from "./atomic_ref.ts";
import type { AtomicAccess } from "../codec/scalar.ts";
import { VolatileArrayRef } from "./volatile_array_ref.ts";
import { OutOfBounds, Overflow, TooBig } from "../error/volatile_memory_error.ts";
import { checkNumber } from "../text/argument.ts";
import { VolatileRef } from "./volatile_ref.ts";
import type { VolatileSlice } from "./volatile_slice.ts";

/**
 * A piece of memory that can be cut into slices. Mirrors the trait `VolatileMemory`.
 *
 * @example
 * ```ts
 * import { MmapRegion, OutOfBounds, u32, type VolatileMemory } from "@vmm/guest-memory";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * function sum(memory: VolatileMemory): number {
 *   const numbers = memory.getArrayRef(u32, 0, Math.floor(memory.len / 4));
 *   let total = 0;
 *   for (let i = 0; i < numbers.len; i++) total += numbers.load(i);
 *   return total;
 * }
 *
 * using region = new MmapRegion(0x1000);
 * region.getRef(u32, 8).store(7);
 * assertEquals(sum(region), 7);
 * assertThrows(() => region.getRef(u32, 0xffe), OutOfBounds);
 * ```
 */
export abstract class VolatileMemory {
  /** Bytes. */
  abstract readonly len: number;

  /**
   * A part of this memory.
   *
   * @param offset Where it begins, in bytes.
   * @param count Bytes.
   * @returns The slice.
   * @throws {OutOfBounds} It does not fit.
   */
  abstract getSlice(offset: number, count: number): VolatileSlice;

  /** Whether there are no bytes. */
  get isEmpty(): boolean {
    return this.len === 0;
  }

  /** All of this memory as a slice. */
  asVolatileSlice(): VolatileSlice {
    return this.getSlice(0, this.len);
  }

  /**
   * A reference to a value.
   *
   * @param codec The value's type.
   * @param offset Where it is, at any alignment.
   * @throws {OutOfBounds} It does not fit.
   */
  getRef<T>(codec: ByteValued<T>, offset: number): VolatileRef<T> {
    return new VolatileRef(codec, this.getSlice(offset, codec.byteLength));
  }

  /**
   * A reference to an array of values.
   *
   * @param codec An element's type.
   * @param offset Where the array is, at any alignment.
   * @param length The number of elements.
   * @throws {OutOfBounds} It does not fit.
   * @throws {TooBig} Its size in bytes is beyond 2^53.
   */
  getArrayRef<T>(codec: ByteValued<T>, offset: number, length: number): VolatileArrayRef<T> {
    const { byteLength } = codec;
    checkNumber("length", length);
    const size = byteLength * length;
    if (!(Number.isSafeInteger(length) && size >= 0 && size < 2 ** 53)) {
      throw new TooBig(length, byteLength);
    }
    return new VolatileArrayRef(codec, this.getSlice(offset, size), length);
  }

  /**
   * A reference to an integer that is accessed atomically. Writes through it are marked dirty.
   *
   * @param codec The integer's type.
   * @param offset Where it is, a multiple of its size.
   * @throws {OutOfBounds} It does not fit.
   * @throws {Misaligned} The offset is not a multiple of its size.
   */
  getAtomicRef<T extends number | bigint>(codec: AtomicAccess<T>, offset: number): AtomicRef<T> {
    return new AtomicRef(codec, this.getSlice(offset, codec.byteLength));
  }

  /**
   * The end of a range, after checking that the range is in bounds.
   *
   * @param base Where the range begins.
   * @param count Its length in bytes. 0 at the very end of the memory is fine.
   * @returns `base + count`.
   * @throws {OutOfBounds} It is not in bounds.
   * @throws {Overflow} The sum is beyond 2^53, or one of the two is no integer from 0.
   */
  computeEndOffset(base: number, count: number): number {
    const end = computeOffset(base, count);
    if (end > this.len) throw new OutOfBounds(end, this.len);
    return end;
  }
}

/**
 * The sum of two offsets. Mirrors `compute_offset`.
 *
 * @param base The first, in bytes.
 * @param offset The second, in bytes.
 * @returns The sum.
 * @throws {Overflow} It is beyond 2^53, or one of the two is no integer from 0.
 *
 * @example
 * ```ts
 * import { computeOffset, Overflow } from "@vmm/guest-memory";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * assertEquals(computeOffset(100, 8), 108);
 * assertThrows(() => computeOffset(Number.MAX_SAFE_INTEGER, 6), Overflow);
 * ```
 */
export function computeOffset(base: number, offset: number): number {
  // Each by itself: a small fraction may vanish in the sum.
  if (Number.isSafeInteger(base) && Number.isSafeInteger(offset) && base >= 0 && offset >= 0) {
    const sum = base + offset;
    if (Number.isSafeInteger(sum)) return sum;
  }
  checkNumber("offset", base);
  checkNumber("count", offset);
  throw new Overflow(base, offset);
}
