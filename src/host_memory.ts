/**
 * A stretch of host memory as JavaScript sees it: one buffer, and the typed arrays over it.
 *
 * Everything above indexes these arrays. They are made once for each mapping, so no access makes a
 * view, and byte 0 of each is the same byte, so an offset divided by the element size is an index.
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
  /**
   * Bytes from 0 that may be read: all of them, or none once closed or where reading is refused.
   * One comparison with it says whether an access is in the buffer, open and allowed.
   */
  readableLength: number;
  /** Bytes from 0 that may be written: all of them, or none. */
  writableLength: number;
  /** The buffer that holds the memory. */
  readonly buffer: ArrayBufferLike;
  /** Where the memory begins in the buffer: at its start. */
  readonly byteOffset = 0;
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

  /**
   * Makes the typed arrays over a buffer.
   *
   * @param buffer The memory.
   * @param permissions What may be done with it.
   */
  constructor(buffer: ArrayBufferLike, permissions: Permissions = Permissions.ReadWrite) {
    const length = buffer.byteLength;
    this.readableLength = 0;
    this.writableLength = 0;
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

  /** Sets what may be done with the memory from now on. */
  permit(permissions: Permissions): void {
    const length = this.#closed ? 0 : this.u8.length;
    this.readableLength = Permissions.allow(permissions, Permissions.Read) ? length : 0;
    this.writableLength = Permissions.allow(permissions, Permissions.Write) ? length : 0;
  }

  /** Refuses every access from now on. */
  close(): void {
    this.#closed = true;
    this.permit(Permissions.No);
  }

  /** The host virtual address of byte 0, or `undefined` where the memory may move or has none. */
  hostAddress(): bigint | undefined {
    return undefined;
  }
}
