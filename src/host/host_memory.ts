/**
 * A contiguous range of host memory: one buffer, and the typed arrays over it.
 *
 * Everything above indexes these arrays. Byte 0 of each is the same byte, so an offset divided by the
 * element size is an index. `copyOut` and `copyIn` copy to and from buffers; each kind of memory
 * implements them.
 *
 * @module
 */
import { asBytes, byteLength, bytesOf, copyBytes } from "./bytes.ts";
import { MemoryClosed } from "../error/volatile_memory_error.ts";
import { checkCount, wrongKind } from "../text/argument.ts";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * One buffer of host memory with its typed arrays, open until it is closed.
 *
 * Codecs read and write through it ({@linkcode ByteValued}). All other code uses
 * {@linkcode VolatileSlice}, which checks bounds.
 *
 * @example A codec reads through it
 * ```ts
 * import { type ByteValued, GuestAddress, GuestMemoryHeap } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const percent: ByteValued<number> = {
 *   byteLength: 1,
 *   alignment: 1,
 *   read: (memory, offset) => memory.u8[offset]! / 100,
 *   write: (memory, offset, value) => void (memory.u8[offset] = value * 100),
 * };
 * const memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 0x1000]]);
 * memory.writeObj(percent, 0.25, GuestAddress(8));
 * assertEquals(memory.readObj(percent, GuestAddress(8)), 0.25);
 * ```
 */
export class HostMemory {
  // Declared, not defined: V8 then knows from the first assignment that each is a typed array.

  /** The buffer with the memory's bytes. */
  declare readonly buffer: ArrayBufferLike;
  /** The memory as bytes. */
  declare readonly u8: Uint8Array;
  /** The memory as 16-bit unsigned integers of the host's endianness. */
  declare readonly u16: Uint16Array;
  /** The memory as 32-bit unsigned integers. */
  declare readonly u32: Uint32Array;
  /** The memory as 64-bit unsigned integers. */
  declare readonly u64: BigUint64Array;
  /** The memory as 8-bit signed integers. */
  declare readonly i8: Int8Array;
  /** The memory as 16-bit signed integers. */
  declare readonly i16: Int16Array;
  /** The memory as 32-bit signed integers. */
  declare readonly i32: Int32Array;
  /** The memory as 64-bit signed integers. */
  declare readonly i64: BigInt64Array;
  /** The memory as single-precision numbers. */
  declare readonly f32: Float32Array;
  /** The memory as double-precision numbers. */
  declare readonly f64: Float64Array;
  /**
   * The memory as a DataView, for what is not aligned. Unoptimised code reads a DataView byte by
   * byte, so aligned scalars go through the arrays (rule 4).
   */
  declare readonly dataView: DataView;
  /** Bytes of the memory, also where it is closed or the arrays are empty. */
  readonly length: number;
  #closed = false;

  /**
   * Makes the typed arrays over a buffer.
   *
   * @param buffer The memory.
   * @param length Its bytes; those of the buffer by default.
   */
  constructor(buffer: ArrayBufferLike, length?: number) {
    if (typeof buffer !== "object") {
      throw wrongKind("the buffer of memory", buffer, "an ArrayBuffer");
    }
    if (length !== undefined) checkCount(length, "length");
    showBuffer(this, buffer);
    this.length = length ?? this.u8.length;
  }

  /**
   * Replaces the typed arrays.
   *
   * @param buffer The memory, or an empty buffer while no array may show it.
   */
  protected setBuffer(buffer: ArrayBufferLike): void {
    showBuffer(this, buffer);
  }

  /** Whether the memory was closed, or its buffer was transferred or shrunk. */
  get closed(): boolean {
    return this.#closed || this.u8.length < this.length;
  }

  /**
   * Throws if the memory is closed.
   *
   * @throws {MemoryClosed} It is closed.
   */
  ensureOpen(): void {
    if (this.closed) throw new MemoryClosed();
  }

  /**
   * Bytes from 0 that the typed arrays have: all of them, or none once the memory is closed, its
   * buffer was transferred or shrunk, or it may not be both read and written. One comparison with it
   * says whether an access through the arrays is inside.
   */
  get openLength(): number {
    return this.#closed ? 0 : this.u8.length;
  }

  /** Whether the typed arrays have these bytes. */
  canAccess(offset: number, count: number): boolean {
    return offset >= 0 && offset + count <= this.openLength && Number.isInteger(offset);
  }

  /**
   * Whether bytes may be read or written, if only by `copyOut` or `copyIn`: memory that may not be
   * both read and written has no typed arrays.
   */
  permits(_access: "read" | "write", offset: number, count: number): boolean {
    return this.canAccess(offset, count);
  }

  /** Refuses every access from now on. */
  close(): void {
    this.#closed = true;
  }

  /**
   * Copies bytes to a buffer.
   *
   * @param offset The first byte.
   * @param to The buffer.
   * @param count Bytes: all of the buffer.
   * @returns Whether they may be read, and the buffer has exactly as many. Nothing is copied
   * otherwise.
   */
  copyOut(offset: number, to: Uint8Array, count: number): boolean {
    if (byteLength(to) !== count || !this.canAccess(offset, count)) return false;
    if (count > 0) copyBytes(asBytes(to), bytesOf(this.u8, offset, count));
    return true;
  }

  /**
   * Copies a buffer.
   *
   * @param offset The first byte to overwrite.
   * @param from The buffer.
   * @param count Bytes: all of the buffer.
   * @returns Whether they may be written, and the buffer has exactly as many. Nothing is copied
   * otherwise.
   */
  copyIn(offset: number, from: Uint8Array, count: number): boolean {
    if (byteLength(from) !== count || !this.canAccess(offset, count)) return false;
    if (count > 0) copyBytes(this.u8, asBytes(from), offset);
    return true;
  }

  /**
   * A view across the boundary with the next memory, which begins where this one ends: up to 64 KiB
   * on each side (`boundaryWindow`). It is closed when either memory is closed or loses a
   * permission.
   *
   * @param _next The other memory.
   * @returns The view, or `undefined` if the memories are not adjacent, or if one of them may not
   * be read and written.
   */
  boundaryView(_next: HostMemory): HostMemory | undefined {
    return undefined;
  }

  /** The host virtual address of byte 0; `undefined` if it may change or there is none. */
  hostAddress(): bigint | undefined {
    return undefined;
  }
}

/**
 * Replaces the typed arrays of memory, whatever its class and its own properties say.
 *
 * @param memory The memory.
 * @param buffer Its bytes, or an empty buffer while no array may show them.
 */
export function showBuffer(memory: HostMemory, buffer: ArrayBufferLike): void {
  // Of a fixed length, even if the buffer is resizable: they become empty once it is too small.
  const length = byteLength(new Uint8Array(buffer));
  const views: Mutable<HostMemory> = memory;
  views.buffer = buffer;
  views.u8 = new Uint8Array(buffer, 0, length);
  views.u16 = new Uint16Array(buffer, 0, Math.floor(length / 2));
  views.u32 = new Uint32Array(buffer, 0, Math.floor(length / 4));
  views.u64 = new BigUint64Array(buffer, 0, Math.floor(length / 8));
  views.i8 = new Int8Array(buffer, 0, length);
  views.i16 = new Int16Array(buffer, 0, Math.floor(length / 2));
  views.i32 = new Int32Array(buffer, 0, Math.floor(length / 4));
  views.i64 = new BigInt64Array(buffer, 0, Math.floor(length / 8));
  views.f32 = new Float32Array(buffer, 0, Math.floor(length / 4));
  views.f64 = new Float64Array(buffer, 0, Math.floor(length / 8));
  views.dataView = new DataView(buffer, 0, length);
}

/**
 * Bytes on one side of a boundary view: 64 KiB, as few devices transfer more at a time, but at most
 * half of the memory, so that its two boundary views do not overlap.
 *
 * @param length Bytes of the memory.
 */
export function boundaryWindow(length: number): number {
  return Math.min(65_536, Math.floor(length / 2));
}
