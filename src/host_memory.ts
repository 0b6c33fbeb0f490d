/**
 * A stretch of host memory as JavaScript sees it: one buffer, and the typed arrays over it.
 *
 * Everything above indexes these arrays. They are made once for each mapping, and byte 0 of each is
 * the same byte, so an offset divided by the element size is an index. Buffers are copied to and from
 * it by `copyOut` and `copyIn`, which each kind of memory has in its own way.
 *
 * @module
 */
import { Permissions } from "./permissions.ts";

/**
 * One buffer of host memory with its typed arrays, open until it is closed.
 *
 * Codecs read and write through it ({@linkcode ByteValued}); everyone else uses
 * {@linkcode VolatileSlice}, which checks bounds.
 */
export class HostMemory {
  /** The buffer that holds the memory. */
  readonly buffer: ArrayBufferLike;
  /** The memory as bytes. */
  readonly u8: Uint8Array;
  /** The memory as 16-bit unsigned integers of the host's endianness. */
  readonly u16: Uint16Array;
  /** The memory as 32-bit unsigned integers. */
  readonly u32: Uint32Array;
  /** The memory as 64-bit unsigned integers. */
  readonly u64: BigUint64Array;
  /** The memory as 8-bit signed integers. */
  readonly i8: Int8Array;
  /** The memory as 16-bit signed integers. */
  readonly i16: Int16Array;
  /** The memory as 32-bit signed integers. */
  readonly i32: Int32Array;
  /** The memory as 64-bit signed integers. */
  readonly i64: BigInt64Array;
  /** The memory as single-precision numbers. */
  readonly f32: Float32Array;
  /** The memory as double-precision numbers. */
  readonly f64: Float64Array;
  /**
   * The memory as a DataView, for what is not aligned. Unoptimised code reads a DataView byte by
   * byte, so aligned scalars go through the arrays (rule 4).
   */
  readonly dataView: DataView;
  #closed = false;
  #readableLength = 0;
  #writableLength = 0;

  /**
   * Makes the typed arrays over a buffer.
   *
   * @param buffer The memory.
   * @param permissions What may be done with it.
   */
  constructor(buffer: ArrayBufferLike, permissions: Permissions = Permissions.ReadWrite) {
    const length = buffer.byteLength;
    this.buffer = buffer;
    this.u8 = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer, 0, Math.floor(length / 2));
    this.u32 = new Uint32Array(buffer, 0, Math.floor(length / 4));
    this.u64 = new BigUint64Array(buffer, 0, Math.floor(length / 8));
    this.i8 = new Int8Array(buffer);
    this.i16 = new Int16Array(buffer, 0, Math.floor(length / 2));
    this.i32 = new Int32Array(buffer, 0, Math.floor(length / 4));
    this.i64 = new BigInt64Array(buffer, 0, Math.floor(length / 8));
    this.f32 = new Float32Array(buffer, 0, Math.floor(length / 4));
    this.f64 = new Float64Array(buffer, 0, Math.floor(length / 8));
    this.dataView = new DataView(buffer);
    this.permit(permissions);
  }

  /** Whether the memory may no longer be accessed. */
  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Bytes from 0 that may be read: all of them, or none once closed or where reading is refused.
   * One comparison with it says whether an access is in the buffer, open and allowed.
   */
  get readableLength(): number {
    return this.#readableLength;
  }

  /** Bytes from 0 that may be written: all of them, or none. */
  get writableLength(): number {
    return this.#writableLength;
  }

  /** Sets what may be done with the memory from now on. */
  permit(permissions: Permissions): void {
    const length = this.#closed ? 0 : this.u8.length;
    this.#readableLength = Permissions.allow(permissions, Permissions.Read) ? length : 0;
    this.#writableLength = Permissions.allow(permissions, Permissions.Write) ? length : 0;
  }

  /** Refuses every access from now on. */
  close(): void {
    this.#closed = true;
    this.permit(Permissions.No);
  }

  /** Whether bytes may be read: they are in the memory, which is open. */
  canRead(offset: number, count: number): boolean {
    return offset >= 0 && offset + count <= this.readableLength && Number.isInteger(offset);
  }

  /** Whether bytes may be written. */
  canWrite(offset: number, count: number): boolean {
    return offset >= 0 && offset + count <= this.writableLength && Number.isInteger(offset);
  }

  /**
   * Copies bytes to the start of a buffer.
   *
   * @param offset The first byte.
   * @param to The buffer, which has as many bytes.
   * @param count Bytes.
   * @returns Whether they may be read. Nothing is copied otherwise.
   */
  copyOut(offset: number, to: Uint8Array, count: number): boolean {
    if (!this.canRead(offset, count)) return false;
    to.set(new Uint8Array(this.buffer, offset, count));
    return true;
  }

  /**
   * Copies from the start of a buffer.
   *
   * @param offset The first byte to overwrite.
   * @param from The buffer, which has as many bytes.
   * @param count Bytes.
   * @returns Whether they may be written. Nothing is copied otherwise.
   */
  copyIn(offset: number, from: Uint8Array, count: number): boolean {
    if (!this.canWrite(offset, count)) return false;
    this.u8.set(from.length === count ? from : from.subarray(0, count), offset);
    return true;
  }

  /**
   * Memory over the last `seamReach` bytes of this one and the first of another, for accesses that go
   * over the place where they meet. It is closed when either is closed, or loses a permission.
   *
   * @param _next The other memory.
   * @returns The memory, or `undefined` where the other does not begin where this one ends, or one of
   * them may not be read and written.
   */
  seam(_next: HostMemory): HostMemory | undefined {
    return undefined;
  }

  /** The host virtual address of byte 0, or `undefined` where the memory may move or has none. */
  hostAddress(): bigint | undefined {
    return undefined;
  }
}

/**
 * Bytes of a memory that lie in a seam on one side: up to 64 KiB, which devices seldom exceed at a
 * time, and half of the memory, so that its two seams do not overlap.
 *
 * @param length Bytes of the memory.
 */
export function seamReach(length: number): number {
  return Math.min(65_536, Math.floor(length / 2));
}
