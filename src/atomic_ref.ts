/**
 * A reference to an integer that is accessed atomically.
 *
 * @module
 */
import type { AtomicAccess } from "./scalar.ts";
import type { VolatileSlice } from "./volatile_slice.ts";

/**
 * An integer in memory that is accessed atomically, sequentially consistent, such as the index of a
 * ring. Mirrors what `get_atomic_ref` returns; unlike there, writes are marked dirty.
 *
 * @typeParam T `number`, or `bigint` for 64 bits.
 *
 * @example
 * ```ts
 * import { u16, VolatileSlice } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const index = VolatileSlice.from(new Uint8Array(16)).getAtomicRef(u16, 2);
 * assertEquals(index.fetchAdd(1), 0);
 * assertEquals(index.compareExchange(1, 7), 1);
 * assertEquals(index.load(), 7);
 * ```
 */
export class AtomicRef<T extends number | bigint> {
  readonly #codec: AtomicAccess<T>;
  readonly #slice: VolatileSlice;

  /**
   * Refers to an integer.
   *
   * @param codec The integer's type.
   * @param slice Its bytes, exactly.
   */
  constructor(codec: AtomicAccess<T>, slice: VolatileSlice) {
    this.#codec = codec;
    this.#slice = slice;
  }

  /** Reads the integer. */
  load(): T {
    return this.#slice.load(this.#codec, 0);
  }

  /** Writes the integer. */
  store(value: T): void {
    this.#slice.store(this.#codec, value, 0);
  }

  /** Puts in a value and returns the old one. */
  exchange(value: T): T {
    return this.#slice.exchange(this.#codec, value, 0);
  }

  /** Puts in a value where the old one is as expected, and returns the old one. */
  compareExchange(expected: T, replacement: T): T {
    return this.#slice.compareExchange(this.#codec, expected, replacement, 0);
  }

  /** Adds, wrapping around, and returns the old value. */
  fetchAdd(value: T): T {
    return this.#slice.fetchAdd(this.#codec, value, 0);
  }

  /** Subtracts, wrapping around, and returns the old value. */
  fetchSub(value: T): T {
    return this.#slice.fetchSub(this.#codec, value, 0);
  }

  /** Ands and returns the old value. */
  fetchAnd(value: T): T {
    return this.#slice.fetchAnd(this.#codec, value, 0);
  }

  /** Ors and returns the old value. */
  fetchOr(value: T): T {
    return this.#slice.fetchOr(this.#codec, value, 0);
  }

  /** Xors and returns the old value. */
  fetchXor(value: T): T {
    return this.#slice.fetchXor(this.#codec, value, 0);
  }
}
