/**
 * A reference to an array of values.
 *
 * @module
 */
import type { Bitmap } from "../bitmap/bitmap.ts";
import type { ByteValued } from "../codec/byte_valued.ts";
import { OutOfBounds } from "../error/volatile_memory_error.ts";
import { checkCount, shown } from "../text/argument.ts";
import { VolatileRef } from "./volatile_ref.ts";
import type { VolatileSlice } from "./volatile_slice.ts";

/**
 * An array in memory. Mirrors `VolatileArrayRef`.
 *
 * @typeParam T The type of an element.
 *
 * @example
 * ```ts
 * import { u16, VolatileSlice } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const ring = VolatileSlice.from(new Uint8Array(16)).getArrayRef(u16, 2, 4);
 * ring.copyFrom([1, 2, 3]);
 * ring.store(3, 4);
 * assertEquals(ring.load(1), 2);
 * assertEquals(ring.refAt(3).load(), 4);
 * ```
 */
export class VolatileArrayRef<T> {
  readonly #codec: ByteValued<T>;
  readonly #slice: VolatileSlice;
  /** The number of elements. */
  readonly len: number;

  /**
   * Refers to an array.
   *
   * @param codec An element's type.
   * @param slice The array's bytes, exactly.
   * @param length The number of elements.
   * @throws {OutOfBounds} The slice has fewer bytes.
   */
  constructor(codec: ByteValued<T>, slice: VolatileSlice, length: number) {
    checkCount(length, "length");
    if (length * codec.byteLength > slice.len) {
      throw new OutOfBounds(length * codec.byteLength, slice.len);
    }
    this.#codec = codec;
    this.#slice = slice;
    this.len = length;
  }

  /** Whether there are no elements. */
  get isEmpty(): boolean {
    return this.len === 0;
  }

  /** Bytes of an element. */
  get elementSize(): number {
    return this.#codec.byteLength;
  }

  /** What records writes to the array. */
  get bitmap(): Bitmap {
    return this.#slice.bitmap;
  }

  /** The array's bytes. */
  toSlice(): VolatileSlice {
    return this.#slice;
  }

  /**
   * A reference to an element.
   *
   * @param index Which.
   * @throws {RangeError} There is none.
   */
  refAt(index: number): VolatileRef<T> {
    return new VolatileRef(
      this.#codec,
      this.#slice.getSlice(this.#offsetOf(index), this.#codec.byteLength),
    );
  }

  /**
   * Reads an element: in one access where it is an aligned scalar.
   *
   * @param index Which.
   * @throws {RangeError} There is none.
   */
  load(index: number): T {
    return this.#slice.readObj(this.#codec, this.#offsetOf(index));
  }

  /**
   * Writes an element and marks it dirty: in one access where it is an aligned scalar.
   *
   * @param index Which.
   * @param value The value.
   * @throws {RangeError} There is none.
   */
  store(index: number, value: T): void {
    this.#slice.writeObj(this.#codec, value, this.#offsetOf(index));
  }

  /**
   * Reads elements from the start into an array.
   *
   * @param buf Where to put them: its length says how many.
   * @returns Elements read: as many as both have.
   */
  copyTo(buf: { length: number; [index: number]: T }): number {
    const count = this.#countFor(buf.length);
    try {
      for (let i = 0; i < count; i++) buf[i] = this.load(i);
    } catch (error) {
      // What an array of bigints throws for a value that it cannot convert.
      if (!(error instanceof SyntaxError)) throw error;
      throw new TypeError("Cannot copy elements: buf cannot hold them", { cause: error });
    }
    return count;
  }

  /**
   * Writes elements from the start, and marks them dirty.
   *
   * @param buf The elements.
   * @returns Elements written: as many as both have.
   */
  copyFrom(buf: { readonly length: number; readonly [index: number]: T }): number {
    const count = this.#countFor(buf.length);
    for (let i = 0; i < count; i++) this.store(i, buf[i]!);
    return count;
  }

  /**
   * Copies the array's bytes to the start of a slice: as many as both have.
   *
   * @param slice Where to copy to.
   */
  copyToVolatileSlice(slice: VolatileSlice): void {
    this.#slice.copyToVolatileSlice(slice);
  }

  #countFor(length: number): number {
    checkCount(length, "buf.length");
    return Math.min(this.len, length);
  }

  #offsetOf(index: number): number {
    if (Number.isInteger(index) && index >= 0 && index < this.len) {
      return index * this.#codec.byteLength;
    }
    throw new RangeError(
      `Cannot access element with index ${shown(index)}: the array has ${this.len}`,
    );
  }
}
