/**
 * The one interface to memory, for every kind of address.
 *
 * @module
 */
import type { ByteValued } from "../codec/byte_valued.ts";
import type { AtomicRef } from "./atomic_ref.ts";
import type { ByteSink, ByteSource } from "./stream.ts";
import type { AtomicAccess } from "../codec/scalar.ts";

/**
 * A container of bytes that is accessed by address. Mirrors the trait `Bytes`.
 *
 * {@linkcode VolatileSlice} has it with offsets (`number`), {@linkcode GuestMemoryRegion} with
 * {@linkcode MemoryRegionAddress} and {@linkcode GuestMemory} with {@linkcode GuestAddress}.
 *
 * The contract at every level:
 *
 * - An access of zero bytes succeeds at any address.
 * - An access that begins outside throws: `OutOfBounds` in a slice or a region,
 *   `InvalidGuestAddress` in guest memory.
 * - An access that begins inside and ends outside stops at the end: `read`, `write`,
 *   `readVolatileFrom` and `writeVolatileTo` return how many bytes they transferred, always a
 *   prefix of the range. The exact forms throw `PartialBuffer` with both numbers; the prefix has
 *   been transferred then.
 * - Every write marks the bytes it wrote dirty, after the write. Reads mark nothing.
 * - Only `load`, `store` and the operations of an {@linkcode AtomicRef} are atomic, and
 *   sequentially consistent. `readObj` and `writeObj` access an aligned scalar in one access;
 *   everything else may tear.
 * - A `store` publishes the writes before it: a thread, or a vCPU, that loads the stored value also
 *   sees what was written before, by `writeObj` for instance.
 *
 * @typeParam A What an address is.
 */
export interface Bytes<A extends number> {
  /**
   * Copies from memory into a buffer.
   *
   * @param buf Where to copy to.
   * @param addr Where to copy from.
   * @returns The number of bytes copied: fewer than `buf.length` where the memory ends.
   */
  read(buf: Uint8Array, addr: A): number;
  /**
   * Copies from a buffer into memory, and marks what it wrote dirty.
   *
   * @param buf What to copy.
   * @param addr Where to copy to.
   * @returns The number of bytes copied: fewer than `buf.length` where the memory ends.
   */
  write(buf: Uint8Array, addr: A): number;
  /**
   * Fills a buffer from memory.
   *
   * @param buf Where to copy to.
   * @param addr Where to copy from.
   * @throws {PartialBuffer} The memory ends before the buffer is full.
   */
  readSlice(buf: Uint8Array, addr: A): void;
  /**
   * Copies all of a buffer into memory, and marks what it wrote dirty.
   *
   * @param buf What to copy.
   * @param addr Where to copy to.
   * @throws {PartialBuffer} The memory ends before all is written.
   */
  writeSlice(buf: Uint8Array, addr: A): void;
  /**
   * Reads a value. An aligned scalar is read in one access, without any ordering.
   *
   * @param codec The value's type.
   * @param addr Where it is, at any alignment.
   * @returns The value.
   * @throws {PartialBuffer} The memory ends before the value does.
   */
  readObj<T>(codec: ByteValued<T>, addr: A): T;
  /**
   * Writes a value, and marks it dirty. An aligned scalar is written in one access, without any
   * ordering.
   *
   * @param codec The value's type.
   * @param value The value.
   * @param addr Where it is, at any alignment.
   * @throws {PartialBuffer} The memory ends before the value does.
   */
  writeObj<T>(codec: ByteValued<T>, value: T, addr: A): void;
  /**
   * Reads an integer atomically, sequentially consistent.
   *
   * @param codec The integer's type.
   * @param addr Where it is, a multiple of its size.
   * @returns The value.
   * @throws {Misaligned} It is not.
   */
  load<T extends number | bigint>(codec: AtomicAccess<T>, addr: A): T;
  /**
   * Writes an integer atomically, sequentially consistent, and marks it dirty. It publishes the
   * `writeObj`s before it: if a device writes a used element with `writeObj` and then stores the
   * ring's index, the driver that loads the index sees the element.
   *
   * @param codec The integer's type.
   * @param value The value.
   * @param addr Where it is, a multiple of its size.
   * @throws {Misaligned} It is not.
   */
  store<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: A): void;
  /**
   * A reference to an integer that is accessed atomically, with read-modify-write operations such
   * as {@linkcode AtomicRef.fetchAdd}. Keep it for repeated accesses. Behind an IOMMU, its address
   * is translated once, for reading and writing, when the reference is made.
   *
   * @param codec The integer's type.
   * @param addr Where it is, a multiple of its size.
   * @throws {Misaligned} It is not.
   * @throws {HostAddressNotAvailable} The memory is not host memory.
   */
  getAtomicRef<T extends number | bigint>(codec: AtomicAccess<T>, addr: A): AtomicRef<T>;
  /**
   * Reads from a stream into memory, and marks what it wrote dirty: at most `count` bytes, and no
   * more after the first short read.
   *
   * @param addr Where to write.
   * @param src The stream.
   * @param count Bytes at most.
   * @returns Bytes read, a prefix of the range.
   * @throws {IOError} The stream failed; then all that it may have written is dirty (a
   * `ReadVolatile` marks that itself).
   */
  readVolatileFrom(addr: A, src: ByteSource, count: number): number;
  /**
   * Reads exactly `count` bytes from a stream into memory, in as many reads as it takes.
   *
   * @param addr Where to write.
   * @param src The stream.
   * @param count Bytes.
   * @throws {IOError} The stream failed; or it ended early, in a region or a slice.
   * @throws {PartialBuffer} The memory ends early; or the stream does, in guest memory.
   */
  readExactVolatileFrom(addr: A, src: ByteSource, count: number): void;
  /**
   * Writes memory to a stream: at most `count` bytes, and no more after the first short write.
   *
   * @param addr Where to read.
   * @param dst The stream.
   * @param count Bytes at most.
   * @returns Bytes written, a prefix of the range.
   * @throws {IOError} The stream failed.
   */
  writeVolatileTo(addr: A, dst: ByteSink, count: number): number;
  /**
   * Writes exactly `count` bytes of memory to a stream, in as many writes as it takes.
   *
   * @param addr Where to read.
   * @param dst The stream.
   * @param count Bytes.
   * @throws {IOError} The stream failed, or takes no more.
   * @throws {PartialBuffer} The memory ends early.
   */
  writeAllVolatileTo(addr: A, dst: ByteSink, count: number): void;
}
