/**
 * A reference to one value.
 *
 * @module
 */
import type { ByteValued } from "../codec/byte_valued.ts";
import type { Bitmap } from "../bitmap/bitmap.ts";
import type { VolatileSlice } from "./volatile_slice.ts";

/**
 * A value in memory. Mirrors `VolatileRef`.
 *
 * @typeParam T The type of the value.
 *
 * @example
 * ```ts
 * import { u32, VolatileSlice } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const counter = VolatileSlice.from(new Uint8Array(16)).getRef(u32, 4);
 * counter.store(500);
 * assertEquals(counter.load(), 500);
 * ```
 */
export class VolatileRef<T> {
  readonly #codec: ByteValued<T>;
  readonly #slice: VolatileSlice;

  /**
   * Refers to a value.
   *
   * @param codec The value's type.
   * @param slice The value's bytes, exactly.
   */
  constructor(codec: ByteValued<T>, slice: VolatileSlice) {
    this.#codec = codec;
    this.#slice = slice;
  }

  /** Bytes of the value. */
  get len(): number {
    return this.#codec.byteLength;
  }

  /** What records writes to the value. */
  get bitmap(): Bitmap {
    return this.#slice.bitmap;
  }

  /** Reads the value: in one access where it is an aligned scalar, without ordering. */
  load(): T {
    return this.#slice.readObj(this.#codec, 0);
  }

  /** Writes the value and marks it dirty: in one access where it is an aligned scalar. */
  store(value: T): void {
    this.#slice.writeObj(this.#codec, value, 0);
  }

  /** The value's bytes. */
  toSlice(): VolatileSlice {
    return this.#slice;
  }
}
