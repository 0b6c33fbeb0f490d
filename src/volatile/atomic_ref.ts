/**
 * A reference to an integer that is accessed atomically.
 *
 * @module
 */
import type { Bitmap } from "../bitmap/bitmap.ts";
import { type AtomicAccess, checkInteger } from "../codec/scalar.ts";
import { MemoryClosed, Misaligned, OutOfBounds } from "../error/volatile_memory_error.ts";
import type { HostMemory } from "../host/host_memory.ts";
import type { VolatileSlice } from "./volatile_slice.ts";

/**
 * A reference to whichever integer another reference refers to, which is asked for at each access:
 * for memory whose addresses are translated. For use in this library.
 *
 * @param find Finds the other reference: the same object as long as it stays the same. What it
 * throws, the access throws.
 */
export let following: <T extends number | bigint>(find: () => AtomicRef<T>) => AtomicRef<T>;

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
  static {
    following = (find) => {
      const first = find();
      const reference = new AtomicRef(first.#codec, first.#slice);
      reference.#find = find;
      return reference;
    };
  }

  readonly #codec: AtomicAccess<T>;
  readonly #size: number;
  readonly #isBig: boolean;
  #slice: VolatileSlice;
  #memory: HostMemory;
  #index: number;
  #bitmap: Bitmap | undefined;
  #bitmapStart: number;
  // Arrays of the memory: the bytes, as V8 finds the length of one kind of array in one step, and
  // the integers. Both are empty once the memory is unmapped or its protection changed.
  #bytes: Uint8Array = NO_BYTES;
  #elements: Uint32Array = NO_ELEMENTS;
  #find: (() => AtomicRef<T>) | undefined;

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
    const { start, len, memory, tracking } = slice;
    if (len < byteLength) throw new OutOfBounds(byteLength, len);
    if (start % byteLength !== 0) throw new Misaligned(start, byteLength);
    this.#codec = codec;
    this.#size = byteLength;
    this.#isBig = byteLength === 8;
    this.#slice = slice;
    this.#memory = memory;
    this.#index = start / byteLength;
    this.#bitmap = tracking?.bitmap;
    this.#bitmapStart = tracking?.start ?? 0;
  }

  /** Reads the integer. Like all operations here, it is sequentially consistent. */
  load(): T {
    const elements = this.#current();
    if (elements === undefined) return this.#slice.load(this.#codec, 0);
    return Atomics.load(elements, this.#index) as T;
  }

  /** Writes the integer and marks it dirty. It publishes the writes before it. */
  store(value: T): void {
    const elements = this.#current();
    if (elements === undefined) return this.#slice.store(this.#codec, value, 0);
    this.#check("value", value);
    Atomics.store(elements, this.#index, value as number);
    this.#bitmap?.markDirty(this.#bitmapStart, this.#size);
  }

  // Written out: V8 calls a function of Atomics directly where it is named, and as a closure where
  // it is passed on, which takes twice as long.

  /** Replaces the value and returns the old one. */
  exchange(value: T): T {
    const elements = this.#changeable(value);
    const old = Atomics.exchange(elements, this.#index, value as number);
    this.#bitmap?.markDirty(this.#bitmapStart, this.#size);
    return old as T;
  }

  /** Replaces the value if it is the expected one, and returns the old one. */
  compareExchange(expected: T, replacement: T): T {
    this.#check("expected", expected);
    const elements = this.#changeable(replacement);
    const [index, wanted] = [this.#index, expected as number];
    const old = Atomics.compareExchange(elements, index, wanted, replacement as number);
    this.#bitmap?.markDirty(this.#bitmapStart, this.#size);
    return old as T;
  }

  /** Adds, wrapping around; returns the old value. */
  fetchAdd(value: T): T {
    const elements = this.#changeable(value);
    const old = Atomics.add(elements, this.#index, value as number);
    this.#bitmap?.markDirty(this.#bitmapStart, this.#size);
    return old as T;
  }

  /** Subtracts, wrapping around; returns the old value. */
  fetchSub(value: T): T {
    const elements = this.#changeable(value);
    const old = Atomics.sub(elements, this.#index, value as number);
    this.#bitmap?.markDirty(this.#bitmapStart, this.#size);
    return old as T;
  }

  /** Bitwise AND; returns the old value. */
  fetchAnd(value: T): T {
    const elements = this.#changeable(value);
    const old = Atomics.and(elements, this.#index, value as number);
    this.#bitmap?.markDirty(this.#bitmapStart, this.#size);
    return old as T;
  }

  /** Bitwise OR; returns the old value. */
  fetchOr(value: T): T {
    const elements = this.#changeable(value);
    const old = Atomics.or(elements, this.#index, value as number);
    this.#bitmap?.markDirty(this.#bitmapStart, this.#size);
    return old as T;
  }

  /** Bitwise XOR; returns the old value. */
  fetchXor(value: T): T {
    const elements = this.#changeable(value);
    const old = Atomics.xor(elements, this.#index, value as number);
    this.#bitmap?.markDirty(this.#bitmapStart, this.#size);
    return old as T;
  }

  #check(name: string, value: T): void {
    const isKind = this.#isBig ? typeof value === "bigint" : typeof value === "number";
    if (!isKind) checkInteger(name, value, this.#codec);
  }

  #changeable(value: T): Uint32Array {
    this.#check("value", value);
    return this.#current() ?? this.#refuse();
  }

  // The memory as an array of the integer; undefined where it may not be both read and written.
  #current(): Uint32Array | undefined {
    if (this.#find !== undefined) this.#follow(this.#find());
    const isCurrent = this.#bytes.length > 0 && this.#memory.openLength > 0;
    return isCurrent ? this.#elements : this.#renew();
  }

  // The arrays are replaced when the protection changes.
  #renew(): Uint32Array | undefined {
    const memory = this.#memory;
    if (!memory.canAccess(this.#index * this.#size, this.#size)) return undefined;
    this.#bytes = memory.u8;
    // Atomics has one signature for all integers of a kind.
    return this.#elements = this.#codec.elements(memory) as Uint32Array;
  }

  #follow(other: AtomicRef<T>): void {
    const slice = other.#slice;
    if (slice === this.#slice) return;
    this.#slice = slice;
    this.#memory = other.#memory;
    this.#index = other.#index;
    this.#bitmap = other.#bitmap;
    this.#bitmapStart = other.#bitmapStart;
    this.#bytes = NO_BYTES;
    this.#elements = NO_ELEMENTS;
  }

  #refuse(): never {
    this.#slice.ensureAccessible("read");
    this.#slice.ensureAccessible("write");
    throw new MemoryClosed();
  }
}

const NO_BYTES = new Uint8Array(0);
const NO_ELEMENTS = new Uint32Array(0);
