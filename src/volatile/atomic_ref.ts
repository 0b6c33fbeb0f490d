/**
 * A reference to an integer that is accessed atomically.
 *
 * @module
 */
import { type AtomicAccess, checkInteger } from "../codec/scalar.ts";
import { MemoryClosed, Misaligned, OutOfBounds } from "../error/volatile_memory_error.ts";
import type { VolatileSlice } from "./volatile_slice.ts";

/**
 * An integer in memory that is accessed atomically, sequentially consistent, such as the index of a
 * ring. Mirrors what `get_atomic_ref` returns. Unlike there, every write marks the integer dirty.
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
  readonly #index: number;

  /**
   * Refers to an integer.
   *
   * @param codec The integer's type.
   * @param slice Its bytes.
   * @throws {OutOfBounds} It has fewer.
   * @throws {Misaligned} It is not at a multiple of its size.
   */
  constructor(codec: AtomicAccess<T>, slice: VolatileSlice) {
    const { byteLength } = codec;
    const { start, len } = slice;
    if (len < byteLength) throw new OutOfBounds(byteLength, len);
    if (start % byteLength !== 0) throw new Misaligned(start, byteLength);
    this.#codec = codec;
    this.#slice = slice;
    this.#index = start / byteLength;
  }

  /** Reads the integer. Like all operations here, it is sequentially consistent. */
  load(): T {
    const elements = this.#elements();
    if (elements === undefined) return this.#slice.load(this.#codec, 0);
    return Atomics.load(elements, this.#index) as T;
  }

  /** Writes the integer and marks it dirty. It publishes the writes before it. */
  store(value: T): void {
    const elements = this.#elements();
    if (elements === undefined) return this.#slice.store(this.#codec, value, 0);
    checkInteger("value", value, this.#codec);
    Atomics.store(elements, this.#index, value as number);
    this.#slice.markDirty(0, this.#slice.len);
  }

  /** Replaces the value and returns the old one. */
  exchange(value: T): T {
    return this.#update(Atomics.exchange, value);
  }

  /** Replaces the value if it is the expected one, and returns the old one. */
  compareExchange(expected: T, replacement: T): T {
    checkInteger("expected", expected, this.#codec);
    return this.#update(
      (array, index, value) => Atomics.compareExchange(array, index, expected as number, value),
      replacement,
    );
  }

  /** Adds, wrapping around; returns the old value. */
  fetchAdd(value: T): T {
    return this.#update(Atomics.add, value);
  }

  /** Subtracts, wrapping around; returns the old value. */
  fetchSub(value: T): T {
    return this.#update(Atomics.sub, value);
  }

  /** Bitwise AND; returns the old value. */
  fetchAnd(value: T): T {
    return this.#update(Atomics.and, value);
  }

  /** Bitwise OR; returns the old value. */
  fetchOr(value: T): T {
    return this.#update(Atomics.or, value);
  }

  /** Bitwise XOR; returns the old value. */
  fetchXor(value: T): T {
    return this.#update(Atomics.xor, value);
  }

  #update(
    operate: (array: Uint32Array, index: number, value: number) => number,
    value: T,
  ): T {
    checkInteger("value", value, this.#codec);
    const elements = this.#elements() ?? this.#refuse();
    const old = operate(elements, this.#index, value as number);
    this.#slice.markDirty(0, this.#slice.len);
    return old as T;
  }

  // The memory as an array of the integer; undefined where it may not be both read and written. The
  // arrays are replaced when the protection changes, so they are asked for each time.
  #elements(): Uint32Array | undefined {
    const { memory, start, len } = this.#slice;
    // Atomics has one signature for all integers of a kind.
    return memory.canAccess(start, len) ? this.#codec.elements(memory) as Uint32Array : undefined;
  }

  #refuse(): never {
    this.#slice.ensureAccessible("read");
    this.#slice.ensureAccessible("write");
    throw new MemoryClosed();
  }
}
