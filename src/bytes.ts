/**
 * The one interface to bytes somewhere, whatever an address is there.
 *
 * @module
 */
import type { ByteValued } from "./byte_valued.ts";
import type { ReadSource, WriteSink } from "./io.ts";
import type { AtomicAccess } from "./scalar.ts";

/**
 * A container of bytes that is accessed by address. Mirrors the trait `Bytes`.
 *
 * {@linkcode VolatileSlice} has it with offsets (`number`), {@linkcode GuestMemoryRegion} with
 * {@linkcode MemoryRegionAddress} and {@linkcode GuestMemory} with {@linkcode GuestAddress}.
 *
 * The contract at every level:
 *
 * - An access of zero bytes succeeds at any address.
 * - What begins outside throws: `OutOfBounds` in a slice, `InvalidBackendAddress` in a region,
 *   `InvalidGuestAddress` in guest memory.
 * - What begins inside and ends outside is cut short: `read`, `write`, `readVolatileFrom` and
 *   `writeVolatileTo` return how many bytes they transferred, always a prefix of the range. The
 *   exact forms throw `PartialBuffer` with both numbers; the prefix has been transferred then.
 * - Every write marks the bytes it wrote dirty, after the write. Reads mark nothing.
 * - Only `load`, `store` and the read-modify-write forms are atomic. An aligned scalar is read and written by `readObj` and
 *   `writeObj` in one access; all else may tear.
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
   * @param addr Where it lies, at any alignment.
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
   * @param addr Where it lies, at any alignment.
   * @throws {PartialBuffer} The memory ends before the value does.
   */
  writeObj<T>(codec: ByteValued<T>, value: T, addr: A): void;
  /**
   * Reads an integer atomically, sequentially consistent.
   *
   * @param codec The integer's type.
   * @param addr Where it lies, a multiple of its size.
   * @returns The value.
   * @throws {Misaligned} It does not (`InvalidBackendAddress` above the slice).
   */
  load<T extends number | bigint>(codec: AtomicAccess<T>, addr: A): T;
  /**
   * Writes an integer atomically, sequentially consistent, and marks it dirty.
   *
   * @param codec The integer's type.
   * @param value The value.
   * @param addr Where it lies, a multiple of its size.
   * @throws {Misaligned} It does not (`InvalidBackendAddress` above the slice).
   */
  store<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: A): void;
  /**
   * Puts in a value atomically, sequentially consistent, and marks it dirty.
   *
   * @param codec The integer's type.
   * @param value The value.
   * @param addr Where it lies, a multiple of its size.
   * @returns The value before.
   * @throws {Misaligned} It does not (`InvalidBackendAddress` above the slice).
   */
  exchange<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: A): T;
  /**
   * Puts in a value atomically where the old one is as expected, sequentially consistent, and marks
   * it dirty in either case.
   *
   * @param codec The integer's type.
   * @param expected The value that is replaced.
   * @param replacement What replaces it.
   * @param addr Where it lies, a multiple of its size.
   * @returns The value before: it was replaced if that is `expected`.
   * @throws {Misaligned} It does not (`InvalidBackendAddress` above the slice).
   */
  compareExchange<T extends number | bigint>(
    codec: AtomicAccess<T>,
    expected: T,
    replacement: T,
    addr: A,
  ): T;
  /**
   * Adds to an integer atomically, wrapping around, sequentially consistent, and marks it dirty.
   *
   * @param codec The integer's type.
   * @param value The value.
   * @param addr Where it lies, a multiple of its size.
   * @returns The value before.
   * @throws {Misaligned} It does not (`InvalidBackendAddress` above the slice).
   */
  fetchAdd<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: A): T;
  /**
   * Subtracts from an integer atomically, wrapping around, sequentially consistent, and marks it dirty.
   *
   * @param codec The integer's type.
   * @param value The value.
   * @param addr Where it lies, a multiple of its size.
   * @returns The value before.
   * @throws {Misaligned} It does not (`InvalidBackendAddress` above the slice).
   */
  fetchSub<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: A): T;
  /**
   * Ands an integer with a value atomically, sequentially consistent, and marks it dirty.
   *
   * @param codec The integer's type.
   * @param value The value.
   * @param addr Where it lies, a multiple of its size.
   * @returns The value before.
   * @throws {Misaligned} It does not (`InvalidBackendAddress` above the slice).
   */
  fetchAnd<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: A): T;
  /**
   * Ors an integer with a value atomically, sequentially consistent, and marks it dirty.
   *
   * @param codec The integer's type.
   * @param value The value.
   * @param addr Where it lies, a multiple of its size.
   * @returns The value before.
   * @throws {Misaligned} It does not (`InvalidBackendAddress` above the slice).
   */
  fetchOr<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: A): T;
  /**
   * Xors an integer with a value atomically, sequentially consistent, and marks it dirty.
   *
   * @param codec The integer's type.
   * @param value The value.
   * @param addr Where it lies, a multiple of its size.
   * @returns The value before.
   * @throws {Misaligned} It does not (`InvalidBackendAddress` above the slice).
   */
  fetchXor<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: A): T;
  /**
   * Reads from a stream into memory, and marks what it wrote dirty: at most `count` bytes, and no
   * more after the first short read.
   *
   * @param addr Where to write.
   * @param src The stream.
   * @param count Bytes at most.
   * @returns Bytes read, a prefix of the range.
   * @throws {IOError} The stream failed; then all that it may have written is dirty.
   */
  readVolatileFrom(addr: A, src: ReadSource, count: number): number;
  /**
   * Reads exactly `count` bytes from a stream into memory, in as many reads as it takes.
   *
   * @param addr Where to write.
   * @param src The stream.
   * @param count Bytes.
   * @throws {IOError} The stream failed; or it ended early, in a region or a slice.
   * @throws {PartialBuffer} The memory ends early; or the stream does, in guest memory.
   */
  readExactVolatileFrom(addr: A, src: ReadSource, count: number): void;
  /**
   * Writes memory to a stream: at most `count` bytes, and no more after the first short write.
   *
   * @param addr Where to read.
   * @param dst The stream.
   * @param count Bytes at most.
   * @returns Bytes written, a prefix of the range.
   * @throws {IOError} The stream failed.
   */
  writeVolatileTo(addr: A, dst: WriteSink, count: number): number;
  /**
   * Writes exactly `count` bytes of memory to a stream, in as many writes as it takes.
   *
   * @param addr Where to read.
   * @param dst The stream.
   * @param count Bytes.
   * @throws {IOError} The stream failed, or takes no more.
   * @throws {PartialBuffer} The memory ends early.
   */
  writeAllVolatileTo(addr: A, dst: WriteSink, count: number): void;
}
