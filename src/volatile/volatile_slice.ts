/**
 * A bounded piece of host memory.
 *
 * @module
 */
import { type Bitmap, NoBitmap } from "../bitmap/bitmap.ts";
import { type ByteValued, zeroed } from "../codec/byte_valued.ts";
import { type AtomicAccess, checkInteger } from "../codec/scalar.ts";
import { AccessDenied, ensureAll, Misaligned } from "../error/volatile_memory_error.ts";
import { OutOfBounds, Overflow, PartialBuffer } from "../error/volatile_memory_error.ts";
import { asBytes, byteLength, bytesOf, className, copyBytes, elementSize } from "../host/bytes.ts";
import { HostMemory } from "../host/host_memory.ts";
import { checkAddress, checkNumber } from "../text/argument.ts";
import { showAsText } from "../text/inspect.ts";
import { byteSize } from "../text/number_format.ts";
import type { Bytes } from "./bytes.ts";
import { readBounced, writeBounced } from "./bounced.ts";
import { type ByteSink, type ByteSource, exactly, readInto, writeFrom } from "./stream.ts";
import { VolatileMemory } from "./volatile_memory.ts";

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

  /** The host memory that the slice is in. */
  readonly memory: HostMemory;
  /** Where the slice begins in it, in bytes. */
  readonly start: number;
  /** Bytes. */
  readonly len: number;
  #view: TypedArray | undefined;
  #viewName: string | undefined;
  readonly #bitmap: Bitmap;
  // Offset of the slice in the bitmap, so that a slice of a slice makes no bitmap slice.
  readonly #bitmapStart: number;

  /**
   * Memory that the caller has checked: `[start, start + len)` is in `memory`. Take slices from a
   * region or from {@linkcode VolatileSlice.from} unless you implement a region.
   *
   * @param memory The host memory.
   * @param start Where the slice begins in it.
   * @param len Bytes.
   * @param bitmap What records writes.
   * @param bitmapStart The offset in the bitmap of the slice's first byte.
   * @throws {OutOfBounds} It is not in the memory.
   */
  constructor(
    memory: HostMemory,
    start: number,
    len: number,
    bitmap: Bitmap = NoBitmap,
    bitmapStart: number = 0,
  ) {
    super();
    const isRange = Number.isSafeInteger(start) && Number.isSafeInteger(len) && start >= 0 &&
      len >= 0 && typeof bitmapStart === "number";
    if (!isRange || start + len > memory.length) {
      refuseRange(memory, start, len, bitmapStart);
    }
    this.memory = memory;
    this.start = start;
    this.len = len;
    this.#bitmap = bitmap;
    this.#bitmapStart = bitmapStart;
  }

  /**
   * A slice over existing bytes, which it shares. Mirrors `From<&mut [u8]>`.
   *
   * @param bytes The bytes.
   * @param bitmap What records writes; nothing by default.
   * @returns The slice.
   */
  static from(bytes: Uint8Array, bitmap?: Bitmap): VolatileSlice {
    const { buffer, byteOffset, length } = bytesOf(bytes, 0, byteLength(bytes));
    return new VolatileSlice(new HostMemory(buffer), byteOffset, length, bitmap);
  }

  /** What records writes to this slice: offset 0 is the slice's first byte. */
  get bitmap(): Bitmap {
    return this.#bitmapStart === 0 ? this.#bitmap : this.#bitmap.sliceAt(this.#bitmapStart);
  }

  /** What records writes, and where in that bitmap the slice begins; `undefined` for nothing. */
  get tracking(): { readonly bitmap: Bitmap; readonly start: number } | undefined {
    if (this.#bitmap === NoBitmap) return undefined;
    return { bitmap: this.#bitmap, start: this.#bitmapStart };
  }

  /**
   * Marks bytes dirty that were not written through this API.
   *
   * @param offset The first, from the start of the slice.
   * @param length How many.
   */
  markDirty(offset: number, length: number): void {
    checkNumber("offset", offset);
    checkNumber("length", length);
    this.#bitmap.markDirty(this.#bitmapStart + offset, length);
  }

  /**
   * A live view of the slice's memory, for code that works on typed arrays. Writes through it are
   * not marked dirty: call {@linkcode VolatileSlice.markDirty}. It becomes empty when the memory is
   * unmapped, and when its protection changes. Its buffer is that of the mapping: never transfer it
   * elsewhere, and never pass the view to an asynchronous read that may still be pending when the
   * memory is closed. Mirrors `ptr_guard_mut`.
   *
   * @returns The memory.
   * @throws {AccessDenied} The memory may not be both read and written: an access through the view
   * would end the process.
   */
  rawView(): Uint8Array {
    this.ensureAccessible("read");
    this.ensureAccessible("write");
    return this.memory.u8.subarray(this.start, this.start + this.len);
  }

  /**
   * The slice's bytes to read from: a live view as {@linkcode VolatileSlice.rawView} where the
   * memory may be written too, and a copy where not, as JavaScript has no views that refuse writes.
   * Mirrors `ptr_guard`.
   *
   * @returns The bytes.
   * @throws {AccessDenied} The memory may not be read.
   */
  readOnlyView(): Uint8Array {
    this.ensureAccessible("read");
    if (this.#isOpen(0, this.len)) {
      return this.memory.u8.subarray(this.start, this.start + this.len);
    }
    const copy = new Uint8Array(this.len);
    this.readSlice(copy, 0);
    return copy;
  }

  /**
   * Throws unless all of the slice may be accessed in this way: for streams that use its address.
   *
   * @param access What will be done.
   * @throws {MemoryClosed} The memory is closed.
   * @throws {AccessDenied} Its protection does not allow it.
   */
  ensureAccessible(access: "read" | "write"): void {
    if (!this.memory.permits(access, this.start, this.len)) this.#refuse(access);
  }

  /**
   * The same memory with another bitmap.
   *
   * @param bitmap What records writes.
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

  /** The slice itself: see {@linkcode AccessTarget.hostSlice}. */
  get hostSlice(): VolatileSlice {
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
   * The rest of the slice after its first bytes.
   *
   * @param count How many to leave out.
   * @throws {OutOfBounds} There are fewer.
   */
  offset(count: number): VolatileSlice {
    this.computeEndOffset(count, 0);
    return this.getSlice(count, this.len - count);
  }

  /**
   * The two parts before and from an offset.
   *
   * @param mid Bytes of the first part.
   * @throws {OutOfBounds} There are fewer.
   */
  splitAt(mid: number): [VolatileSlice, VolatileSlice] {
    return [this.getSlice(0, mid), this.offset(mid)];
  }

  /** Copies from the slice into a buffer: see {@linkcode Bytes.read}. */
  read(buf: Uint8Array, addr: number): number {
    const length = byteLength(buf);
    const count = this.#clamp(length, addr);
    if (count === 0) return 0;
    const to = count === length ? buf : bytesOf(buf, 0, count);
    if (!this.memory.copyOut(this.start + addr, to, count)) this.#refuse("read");
    return count;
  }

  /** Copies from a buffer into the slice: see {@linkcode Bytes.write}. */
  write(buf: Uint8Array, addr: number): number {
    const length = byteLength(buf);
    const count = this.#clamp(length, addr);
    if (count === 0) return 0;
    const from = count === length ? buf : bytesOf(buf, 0, count);
    if (!this.memory.copyIn(this.start + addr, from, count)) this.#refuse("write");
    this.#bitmap.markDirty(this.#bitmapStart + addr, count);
    return count;
  }

  /** Fills a buffer from the slice: see {@linkcode Bytes.readSlice}. */
  readSlice(buf: Uint8Array, addr: number): void {
    ensureAll(byteLength(buf), this.read(buf, addr));
  }

  /** Copies all of a buffer into the slice: see {@linkcode Bytes.writeSlice}. */
  writeSlice(buf: Uint8Array, addr: number): void {
    ensureAll(byteLength(buf), this.write(buf, addr));
  }

  /** Reads a value: see {@linkcode Bytes.readObj}. */
  readObj<T>(codec: ByteValued<T>, addr: number): T {
    const size = codec.byteLength;
    if (!this.#holds(size, addr)) return this.#readOutside(codec, size, addr);
    if (!this.#isOpen(addr, size)) return readBounced(this, codec, addr);
    try {
      return codec.read(this.memory, this.start + addr);
    } finally {
      // The codec may have closed the memory.
      this.memory.ensureOpen();
    }
  }

  /** Writes a value: see {@linkcode Bytes.writeObj}. */
  writeObj<T>(codec: ByteValued<T>, value: T, addr: number): void {
    const size = codec.byteLength;
    if (!this.#holds(size, addr) || !this.#isOpen(addr, size)) {
      return this.#writeElsewhere(codec, value, addr);
    }
    try {
      codec.write(this.memory, this.start + addr, value);
    } finally {
      // Also when the codec threw: it may have written a part.
      this.#bitmap.markDirty(this.#bitmapStart + addr, size);
      // The codec, or a getter of the value, may have closed the memory.
      this.memory.ensureOpen();
    }
  }

  /** Reads an integer atomically: see {@linkcode Bytes.load}. */
  load<T extends number | bigint>(codec: AtomicAccess<T>, addr: number): T {
    const size = codec.byteLength;
    const index = this.#atomicIndex(size, addr);
    if (!this.#isOpen(addr, size)) return readBounced(this, codec, addr);
    return Atomics.load(codec.elements(this.memory) as Uint32Array, index) as T;
  }

  /** Writes an integer atomically: see {@linkcode Bytes.store}. */
  store<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: number): void {
    checkInteger("value", value, codec);
    const size = codec.byteLength;
    const index = this.#atomicIndex(size, addr);
    if (!this.#isOpen(addr, size)) return this.#writeElsewhere(codec, value, addr);
    Atomics.store(codec.elements(this.memory) as Uint32Array, index, value as number);
    this.#bitmap.markDirty(this.#bitmapStart + addr, size);
  }

  /** Reads once from a stream into the slice: see {@linkcode Bytes.readVolatileFrom}. */
  readVolatileFrom(addr: number, src: ByteSource, count: number): number {
    if (count === 0) return 0;
    return readInto(this.#upTo(addr, count), src);
  }

  /** Reads exactly from a stream into the slice: see {@linkcode Bytes.readExactVolatileFrom}. */
  readExactVolatileFrom(addr: number, src: ByteSource, count: number): void {
    if (count === 0) return;
    const slice = this.getSlice(addr, count);
    exactly(count, "UnexpectedEof", (offset) => readInto(slice.offset(offset), src));
  }

  /** Writes the slice once to a stream: see {@linkcode Bytes.writeVolatileTo}. */
  writeVolatileTo(addr: number, dst: ByteSink, count: number): number {
    if (count === 0) return 0;
    return writeFrom(this.#upTo(addr, count), dst);
  }

  /** Writes the slice exactly to a stream: see {@linkcode Bytes.writeAllVolatileTo}. */
  writeAllVolatileTo(addr: number, dst: ByteSink, count: number): void {
    if (count === 0) return;
    const slice = this.getSlice(addr, count);
    exactly(count, "WriteZero", (offset) => writeFrom(slice.offset(offset), dst));
  }

  /**
   * Copies whole elements from the start of the slice into an array.
   *
   * @param buf Where to copy to.
   * @returns Elements copied: as many as both have.
   */
  copyTo(buf: TypedArray): number {
    const { len } = this;
    const bytes = byteLength(buf);
    const name = className(buf);
    if (bytes >= len && this.#viewName === name && this.#isOpen(0, len) && this.#hasView()) {
      // The two are of one type, which TypeScript cannot express.
      copyBytes(buf as Uint8Array, this.#view as Uint8Array);
      return this.#view!.length;
    }
    const size = elementSize(buf);
    const count = Math.floor(Math.min(len, bytes) / size);
    if (count === 0) return 0;
    if (count * size === len) this.#keepView(name);
    const to = bytesOf(buf, 0, count * size);
    if (!this.memory.copyOut(this.start, to, count * size)) this.#refuse("read");
    return count;
  }

  /**
   * Copies whole elements from an array to the start of the slice, and marks them dirty.
   *
   * @param buf What to copy.
   * @returns Elements copied: as many as both have.
   */
  copyFrom(buf: TypedArray): number {
    const size = elementSize(buf);
    const given = byteLength(buf);
    const count = Math.floor(Math.min(this.len, given) / size);
    if (count === 0) return 0;
    const bytes = count * size;
    const from = given === bytes ? asBytes(buf) : bytesOf(buf, 0, bytes);
    if (this.#isOpen(0, bytes)) copyBytes(this.memory.u8, from, this.start);
    else if (!this.memory.copyIn(this.start, from, bytes)) this.#refuse("write");
    this.#bitmap.markDirty(this.#bitmapStart, bytes);
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
    if (!this.#isOpen(0, count) || !slice.#isOpen(0, count)) {
      // Both sides say what they refuse. Memory that both sides share is open.
      return slice.writeSlice(this.getSlice(0, count).readOnlyView(), 0);
    }
    const whole = count === this.len;
    if (whole && !(this.#viewName === "Uint8Array" && this.#hasView())) {
      this.#keepView("Uint8Array");
    }
    const from = whole ? this.#view as Uint8Array : bytesOf(this.memory.u8, this.start, count);
    copyBytes(slice.memory.u8, from, slice.start);
    slice.markDirty(0, count);
  }

  /** One line: how long the slice is. */
  override toString(): string {
    return `VolatileSlice ${byteSize(this.len)}${this.memory.closed ? " (closed)" : ""}`;
  }

  // Keeps a view of the whole slice for the next copy to an array of the same type, if it is
  // aligned.
  #keepView(name: string | undefined): void {
    const View = VIEWS.get(name);
    const isAligned = View !== undefined && this.start % View.BYTES_PER_ELEMENT === 0;
    if (!isAligned || !this.#isOpen(0, this.len)) return;
    this.#view = new View(this.memory.buffer, this.start, this.len / View.BYTES_PER_ELEMENT);
    this.#viewName = name;
  }

  // Whether the kept view shows the memory. It is empty after a change of the protection.
  #hasView(): boolean {
    return this.#view!.length > 0;
  }

  // Bytes of an access that begins at addr and stops at the end of the slice.
  #clamp(count: number, addr: number): number {
    if (count === 0) return 0;
    if (!Number.isSafeInteger(addr)) throw this.#noOffset(addr);
    const available = this.len - addr;
    if (addr >= 0 && available > 0) return count < available ? count : available;
    throw new OutOfBounds(addr, this.len);
  }

  // A value that is not in the slice: one of zero bytes, or an error.
  #readOutside<T>(codec: ByteValued<T>, size: number, addr: number): T {
    if (size > 0) throw new PartialBuffer(size, this.#clamp(size, addr));
    return zeroed(codec);
  }

  // Whether a value is in the slice with all its bytes, at least one.
  #holds(size: number, addr: number): boolean {
    return Number.isSafeInteger(addr) && size > 0 && addr >= 0 && addr + size <= this.len;
  }

  #noOffset(addr: number): Error {
    checkAddress(addr);
    return new OutOfBounds(addr, this.len);
  }

  #upTo(addr: number, count: number): VolatileSlice {
    checkNumber("count", count);
    if (!Number.isInteger(count) || count < 0) throw new Overflow(addr, count);
    const available = this.len - this.computeEndOffset(addr, 0);
    return this.getSlice(addr, count > available ? available : count);
  }

  #atomicIndex(size: number, addr: number): number {
    this.computeEndOffset(addr, size);
    const begin = this.start + addr;
    if ((begin & (size - 1)) !== 0) throw new Misaligned(begin, size);
    return begin / size;
  }

  // Whether bytes of the slice may be accessed through the typed arrays of the memory.
  #isOpen(addr: number, count: number): boolean {
    return this.start + addr + count <= this.memory.openLength;
  }

  // A value that is not in the slice, or in memory without typed arrays.
  #writeElsewhere<T>(codec: ByteValued<T>, value: T, addr: number): void {
    if (this.#holds(codec.byteLength, addr)) {
      this.getSlice(addr, codec.byteLength).ensureAccessible("write");
    }
    writeBounced(this, codec, value, addr);
  }

  #refuse(access: "read" | "write"): void {
    this.memory.ensureOpen();
    throw new AccessDenied(access);
  }
}

const VIEWS: ReadonlyMap<string | undefined, Uint8ArrayConstructor> = new Map(
  [
    ...[Uint8Array, Int8Array, Uint16Array, Int16Array, Uint32Array, Int32Array],
    ...[BigUint64Array, BigInt64Array, Float32Array, Float64Array],
  ].map((View) => [View.name, View as unknown as Uint8ArrayConstructor]),
);

function refuseRange(memory: HostMemory, start: number, len: number, bitmapStart: number): never {
  checkNumber("start", start);
  checkNumber("len", len);
  checkNumber("bitmapStart", bitmapStart);
  throw new OutOfBounds(start + len, memory.u8.length);
}
