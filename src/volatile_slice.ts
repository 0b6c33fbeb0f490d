/**
 * A bounded piece of memory: where every access ends up.
 *
 * @module
 */
import { type Bitmap, NoBitmap } from "./bitmap/bitmap.ts";
import { type ByteValued, zeroed } from "./byte_valued.ts";
import type { Bytes } from "./bytes.ts";
import { HostMemory } from "./host_memory.ts";
import { readExactInto, readInto, type ReadSource } from "./io.ts";
import { writeAllFrom, writeFrom, type WriteSink } from "./io.ts";
import { showAsText } from "./inspect.ts";
import { byteSize } from "./number_format.ts";
import type { AtomicAccess } from "./scalar.ts";
import { writeSplit } from "./split_value.ts";
import { VolatileMemory } from "./volatile_memory.ts";
import { AccessDenied, MemoryClosed } from "./volatile_memory_error.ts";
import { Misaligned, OutOfBounds, PartialBuffer } from "./volatile_memory_error.ts";

/** The typed arrays that a slice copies to and from, an element at a time as the type has it. */
export type TypedArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | BigUint64Array
  | BigInt64Array
  | Float32Array
  | Float64Array;

/**
 * A bounded piece of memory. Mirrors `VolatileSlice`.
 *
 * It refers to memory and owns none: when the memory is closed, every access throws
 * {@linkcode MemoryClosed}. Offsets are bytes from the start of the slice.
 *
 * @example
 * ```ts
 * import { OutOfBounds, u16, VolatileSlice } from "@vmm/guest-memory";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const slice = VolatileSlice.from(new Uint8Array(5));
 * assertEquals(slice.write(Uint8Array.of(1, 2, 3), 3), 2);
 * assertThrows(() => slice.write(Uint8Array.of(1), 5), OutOfBounds);
 * assertEquals(slice.readObj(u16, 3), 0x0201);
 * ```
 */
export class VolatileSlice extends VolatileMemory implements Bytes<number> {
  static {
    showAsText(this);
  }

  /** The host memory that the slice lies in. */
  readonly memory: HostMemory;
  /** Where the slice begins in it, in bytes. */
  readonly start: number;
  /** Bytes. */
  readonly len: number;
  #view: TypedArray | undefined;
  readonly #bitmap: Bitmap;
  // Offset of the slice in the bitmap, so that a slice of a slice makes no bitmap slice.
  readonly #bitmapStart: number;

  /**
   * Memory that the caller has checked: `[start, start + len)` lies in `memory`. Take slices from a
   * region or from {@linkcode VolatileSlice.from} unless you implement a region.
   *
   * @param memory The host memory.
   * @param start Where the slice begins in it.
   * @param len Bytes.
   * @param bitmap Who is told of writes.
   * @param bitmapStart The offset in the bitmap of the slice's first byte.
   * @throws {OutOfBounds} It does not lie in the memory.
   */
  constructor(
    memory: HostMemory,
    start: number,
    len: number,
    bitmap: Bitmap = NoBitmap,
    bitmapStart: number = 0,
  ) {
    super();
    const end = start + len;
    const isRange = start >= 0 && len >= 0 && Number.isSafeInteger(start) &&
      Number.isSafeInteger(end);
    if (!isRange || end > memory.u8.length && !memory.closed) {
      throw new OutOfBounds(end, memory.u8.length);
    }
    this.memory = memory;
    this.start = start;
    this.len = len;
    this.#bitmap = bitmap;
    this.#bitmapStart = bitmapStart;
  }

  /**
   * A slice over bytes of the caller's, shared with them. Mirrors `From<&mut [u8]>`.
   *
   * @param bytes The bytes.
   * @param bitmap Who is told of writes; nobody by default.
   * @returns The slice.
   */
  static from(bytes: Uint8Array, bitmap?: Bitmap): VolatileSlice {
    return new VolatileSlice(new HostMemory(bytes.buffer), bytes.byteOffset, bytes.length, bitmap);
  }

  /** Who is told of writes to this slice: offset 0 is the slice's first byte. */
  get bitmap(): Bitmap {
    return this.#bitmap.sliceAt(this.#bitmapStart);
  }

  /** Who is told of writes, and where in that bitmap the slice begins; `undefined` for nobody. */
  get tracking(): { readonly bitmap: Bitmap; readonly start: number } | undefined {
    if (this.#bitmap === NoBitmap) return undefined;
    return { bitmap: this.#bitmap, start: this.#bitmapStart };
  }

  /**
   * Marks bytes dirty that were written by other means than this API.
   *
   * @param offset The first, from the start of the slice.
   * @param length How many.
   */
  markDirty(offset: number, length: number): void {
    this.#bitmap.markDirty(this.#bitmapStart + offset, length);
  }

  /**
   * The slice's memory itself, live, for code that is written for typed arrays. Writes through it
   * are not marked dirty: call {@linkcode VolatileSlice.markDirty}. When the memory is unmapped it
   * becomes empty. Its buffer is that of the mapping: never transfer that elsewhere, and never hand the
   * view to an asynchronous read that may still be pending when the memory is closed. Mirrors
   * `ptr_guard_mut`.
   *
   * @returns The memory.
   * @throws {AccessDenied} The memory may not be written: a store to it would end the process.
   */
  rawView(): Uint8Array {
    this.#demandWritable(0, this.len);
    return this.memory.u8.subarray(this.start, this.start + this.len);
  }

  /**
   * As {@linkcode VolatileSlice.rawView}, but only to read from, so for memory that may not be
   * written too. A store to it ends the process then. Mirrors `ptr_guard`.
   *
   * @returns The memory.
   * @throws {AccessDenied} The memory may not be read either.
   */
  readOnlyView(): Uint8Array {
    this.#demandReadable(0, this.len);
    return this.memory.u8.subarray(this.start, this.start + this.len);
  }

  /**
   * Throws unless all of the slice may be accessed so: for streams that pass its address on.
   *
   * @param access What will be done.
   * @throws {MemoryClosed} The memory is closed.
   * @throws {AccessDenied} Its protection does not allow it.
   */
  demand(access: "read" | "write"): void {
    if (access === "read") this.#demandReadable(0, this.len);
    else this.#demandWritable(0, this.len);
  }

  /**
   * The same memory with another bitmap.
   *
   * @param bitmap Who is told of writes.
   * @param bitmapStart The offset in it of the slice's first byte.
   */
  withBitmap(bitmap: Bitmap, bitmapStart: number = 0): VolatileSlice {
    return new VolatileSlice(this.memory, this.start, this.len, bitmap, bitmapStart);
  }

  /**
   * A part of this slice, with its part of the bitmap. Mirrors `subslice`.
   *
   * @param offset Where it begins.
   * @param count Bytes.
   * @throws {OutOfBounds} It does not fit.
   */
  getSlice(offset: number, count: number): VolatileSlice {
    this.computeEndOffset(offset, count);
    return new VolatileSlice(
      this.memory,
      this.start + offset,
      count,
      this.#bitmap,
      this.#bitmapStart + offset,
    );
  }

  /** The slice itself. */
  override asVolatileSlice(): VolatileSlice {
    return this;
  }

  /**
   * The same as {@linkcode VolatileSlice.getSlice}, under its name in Rust.
   *
   * @param offset Where it begins.
   * @param count Bytes.
   */
  subslice(offset: number, count: number): VolatileSlice {
    return this.getSlice(offset, count);
  }

  /**
   * What is left without the first bytes.
   *
   * @param count How many to leave out.
   * @throws {OutOfBounds} There are not as many.
   */
  offset(count: number): VolatileSlice {
    this.computeEndOffset(count, 0);
    return this.getSlice(count, this.len - count);
  }

  /**
   * The two parts before and from an offset.
   *
   * @param mid Bytes of the first part.
   * @throws {OutOfBounds} There are not as many.
   */
  splitAt(mid: number): [VolatileSlice, VolatileSlice] {
    return [this.getSlice(0, mid), this.offset(mid)];
  }

  /** Copies from the slice into a buffer: see {@linkcode Bytes.read}. */
  read(buf: Uint8Array, addr: number): number {
    const count = this.#clamp(buf.length, addr);
    if (count > 0 && !this.memory.copyOut(this.start + addr, buf, count)) this.#refuse("read");
    return count;
  }

  /** Copies from a buffer into the slice: see {@linkcode Bytes.write}. */
  write(buf: Uint8Array, addr: number): number {
    const count = this.#clamp(buf.length, addr);
    if (count === 0) return 0;
    if (!this.memory.copyIn(this.start + addr, buf, count)) this.#refuse("write");
    this.#bitmap.markDirty(this.#bitmapStart + addr, count);
    return count;
  }

  /** Fills a buffer from the slice: see {@linkcode Bytes.readSlice}. */
  readSlice(buf: Uint8Array, addr: number): void {
    const completed = this.read(buf, addr);
    if (completed !== buf.length) {
      throw new PartialBuffer(buf.length, completed);
    }
  }

  /** Copies all of a buffer into the slice: see {@linkcode Bytes.writeSlice}. */
  writeSlice(buf: Uint8Array, addr: number): void {
    const completed = this.write(buf, addr);
    if (completed !== buf.length) {
      throw new PartialBuffer(buf.length, completed);
    }
  }

  /** Reads a value: see {@linkcode Bytes.readObj}. */
  readObj<T>(codec: ByteValued<T>, addr: number): T {
    const size = codec.byteLength;
    if (!this.#holds(size, addr)) return this.#readOutside(codec, addr);
    this.#demandReadable(addr, size);
    return codec.read(this.memory, this.start + addr);
  }

  /** Writes a value: see {@linkcode Bytes.writeObj}. */
  writeObj<T>(codec: ByteValued<T>, value: T, addr: number): void {
    const size = codec.byteLength;
    if (!this.#holds(size, addr)) return writeSplit(this, codec, value, addr);
    this.#demandWritable(addr, size);
    try {
      codec.write(this.memory, this.start + addr, value);
    } finally {
      // Also when the codec threw: it may have written a part.
      this.#bitmap.markDirty(this.#bitmapStart + addr, size);
    }
  }

  /** Reads an integer atomically: see {@linkcode Bytes.load}. */
  load<T extends number | bigint>(codec: AtomicAccess<T>, addr: number): T {
    const index = this.#atomicIndex(codec, addr);
    this.#demandReadable(addr, codec.byteLength);
    return Atomics.load(codec.elements(this.memory) as Uint32Array, index) as T;
  }

  /** Writes an integer atomically: see {@linkcode Bytes.store}. */
  store<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: number): void {
    const index = this.#atomicIndex(codec, addr);
    this.#demandWritable(addr, codec.byteLength);
    Atomics.store(codec.elements(this.memory) as Uint32Array, index, value as number);
    this.#bitmap.markDirty(this.#bitmapStart + addr, codec.byteLength);
  }

  /** Puts in a value and returns the old one: see {@linkcode Bytes.exchange}. */
  exchange<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: number): T {
    return this.#update(
      codec,
      addr,
      (array, index) => Atomics.exchange(array, index, value as number),
    );
  }

  /** Puts in a value where the old one is as expected: see {@linkcode Bytes.compareExchange}. */
  compareExchange<T extends number | bigint>(
    codec: AtomicAccess<T>,
    expected: T,
    replacement: T,
    addr: number,
  ): T {
    return this.#update(
      codec,
      addr,
      (array, index) =>
        Atomics.compareExchange(array, index, expected as number, replacement as number),
    );
  }

  /** Adds to an integer and returns the old value: see {@linkcode Bytes.fetchAdd}. */
  fetchAdd<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: number): T {
    return this.#update(codec, addr, (array, index) => Atomics.add(array, index, value as number));
  }

  /** Subtracts from an integer and returns the old value: see {@linkcode Bytes.fetchSub}. */
  fetchSub<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: number): T {
    return this.#update(codec, addr, (array, index) => Atomics.sub(array, index, value as number));
  }

  /** Ands an integer and returns the old value: see {@linkcode Bytes.fetchAnd}. */
  fetchAnd<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: number): T {
    return this.#update(codec, addr, (array, index) => Atomics.and(array, index, value as number));
  }

  /** Ors an integer and returns the old value: see {@linkcode Bytes.fetchOr}. */
  fetchOr<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: number): T {
    return this.#update(codec, addr, (array, index) => Atomics.or(array, index, value as number));
  }

  /** Xors an integer and returns the old value: see {@linkcode Bytes.fetchXor}. */
  fetchXor<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: number): T {
    return this.#update(codec, addr, (array, index) => Atomics.xor(array, index, value as number));
  }

  /** Reads once from a stream into the slice: see {@linkcode Bytes.readVolatileFrom}. */
  readVolatileFrom(addr: number, src: ReadSource, count: number): number {
    if (count === 0) return 0;
    return readInto(this.#upTo(addr, count), src);
  }

  /** Reads exactly from a stream into the slice: see {@linkcode Bytes.readExactVolatileFrom}. */
  readExactVolatileFrom(addr: number, src: ReadSource, count: number): void {
    if (count === 0) return;
    readExactInto(this.getSlice(addr, count), src);
  }

  /** Writes the slice once to a stream: see {@linkcode Bytes.writeVolatileTo}. */
  writeVolatileTo(addr: number, dst: WriteSink, count: number): number {
    if (count === 0) return 0;
    return writeFrom(this.#upTo(addr, count), dst);
  }

  /** Writes the slice exactly to a stream: see {@linkcode Bytes.writeAllVolatileTo}. */
  writeAllVolatileTo(addr: number, dst: WriteSink, count: number): void {
    if (count === 0) return;
    writeAllFrom(this.getSlice(addr, count), dst);
  }

  /**
   * Copies whole elements from the start of the slice into an array.
   *
   * @param buf Where to copy to.
   * @returns Elements copied: as many as both have.
   */
  copyTo(buf: TypedArray): number {
    const size = buf.BYTES_PER_ELEMENT;
    const count = Math.min(Math.floor(this.len / size), buf.length);
    if (count === 0) return 0;
    this.#demandReadable(0, count * size);
    if (count * size === this.len && this.start % size === 0) setAll(buf, this.#viewLike(buf));
    else bytesOf(buf, count).set(this.#firstBytes(count * size));
    return count;
  }

  /**
   * Copies whole elements from an array to the start of the slice, and marks them dirty.
   *
   * @param buf What to copy.
   * @returns Elements copied: as many as both have.
   */
  copyFrom(buf: TypedArray): number {
    const size = buf.BYTES_PER_ELEMENT;
    const count = Math.min(Math.floor(this.len / size), buf.length);
    if (count === 0) return 0;
    this.#demandWritable(0, count * size);
    this.memory.u8.set(bytesOf(buf, count), this.start);
    this.markDirty(0, count * size);
    return count;
  }

  /**
   * Copies from the start of this slice to the start of another, as many bytes as both have, and
   * marks them dirty there. The two may overlap.
   *
   * @param slice Where to copy to.
   */
  copyToVolatileSlice(slice: VolatileSlice): void {
    const count = Math.min(this.len, slice.len);
    if (count === 0) return;
    this.#demandReadable(0, count);
    slice.#demandWritable(0, count);
    slice.memory.u8.set(this.#firstBytes(count), slice.start);
    slice.markDirty(0, count);
  }

  /** One line: how long the slice is. */
  override toString(): string {
    return `VolatileSlice ${byteSize(this.len)}${this.memory.closed ? " (closed)" : ""}`;
  }

  // A view of the first bytes.
  #firstBytes(count: number): Uint8Array {
    if (count === this.len) return this.#viewLike(this.memory.u8) as Uint8Array;
    return this.memory.u8.subarray(this.start, this.start + count);
  }

  // The whole slice as an array of the same type, kept for the next copy of that type.
  #viewLike(array: TypedArray): TypedArray {
    // Node's Buffer is a Uint8Array whose constructor does something else.
    const View = array instanceof Uint8Array
      ? Uint8Array
      : array.constructor as Uint8ArrayConstructor;
    const kept = this.#view;
    if (kept !== undefined && kept.constructor === View) return kept;
    const length = this.len / array.BYTES_PER_ELEMENT;
    return this.#view = new View(this.memory.buffer, this.start, length);
  }

  // Bytes of an access that begins at addr and may be cut short at the end of the slice.
  #clamp(count: number, addr: number): number {
    if (count === 0) return 0;
    const available = this.len - addr;
    if (addr >= 0 && available > 0 && Number.isSafeInteger(addr)) {
      return count < available ? count : available;
    }
    throw new OutOfBounds(addr, this.len);
  }

  // A value that does not lie in the slice: what it takes no bytes for, or an error.
  #readOutside<T>(codec: ByteValued<T>, addr: number): T {
    const size = codec.byteLength;
    if (size > 0) throw new PartialBuffer(size, this.#clamp(size, addr));
    return zeroed(codec);
  }

  // Whether a value lies in the slice with all its bytes, at least one.
  #holds(size: number, addr: number): boolean {
    return size > 0 && addr >= 0 && addr + size <= this.len && Number.isSafeInteger(addr);
  }

  #upTo(addr: number, count: number): VolatileSlice {
    const available = this.len - this.computeEndOffset(addr, 0);
    return this.getSlice(addr, count > available ? available : count);
  }

  #atomicIndex<T extends number | bigint>(codec: AtomicAccess<T>, addr: number): number {
    const size = codec.byteLength;
    this.computeEndOffset(addr, size);
    const begin = this.start + addr;
    if ((begin & (size - 1)) !== 0) throw new Misaligned(begin, size);
    return begin / size;
  }

  #update<T extends number | bigint>(
    codec: AtomicAccess<T>,
    addr: number,
    operate: (array: Uint32Array, index: number) => number,
  ): T {
    const index = this.#atomicIndex(codec, addr);
    this.#demandWritable(addr, codec.byteLength);
    this.#demandReadable(addr, codec.byteLength);
    // The elements are of the codec's type; Atomics has one signature for all integers of a kind.
    const old = operate(codec.elements(this.memory) as Uint32Array, index);
    this.markDirty(addr, codec.byteLength);
    return old as T;
  }

  #demandReadable(addr: number, count: number): void {
    if (this.start + addr + count > this.memory.readableLength) {
      this.#refuse("read");
    }
  }

  #demandWritable(addr: number, count: number): void {
    if (this.start + addr + count > this.memory.writableLength) {
      this.#refuse("write");
    }
  }

  #refuse(access: "read" | "write"): void {
    if (this.memory.closed) throw new MemoryClosed();
    throw new AccessDenied(access);
  }
}

function setAll(to: TypedArray, from: TypedArray): void {
  // The two are of one type, which TypeScript cannot say.
  (to as Uint8Array).set(from as Uint8Array);
}

function bytesOf(array: TypedArray, count: number): Uint8Array {
  if (array instanceof Uint8Array && array.length === count) return array;
  return new Uint8Array(array.buffer, array.byteOffset, count * array.BYTES_PER_ELEMENT);
}
