/**
 * Memory that devices access by address, whether guest physical or translated by an IOMMU.
 *
 * @module
 */
import type { GuestAddress, MemoryRegionAddress } from "../address.ts";
import { type ByteValued, zeroed } from "../codec/byte_valued.ts";
import type { AtomicAccess } from "../codec/scalar.ts";
import { InvalidGuestAddress } from "../error/guest_memory_error.ts";
import {
  ensureAll,
  InvalidBackendAddress,
  IOError,
  type IOErrorKind,
} from "../error/volatile_memory_error.ts";
import { borrowBounceBuffer, BOUNCE_BUFFER_SIZE } from "../host/bounce_buffer.ts";
import { returnBounceBuffer } from "../host/bounce_buffer.ts";
import { byteLength, bytesOf } from "../host/bytes.ts";
import type { HostMemory } from "../host/host_memory.ts";
import { Permissions } from "../permissions.ts";
import { checkCount } from "../text/argument.ts";
import { hex } from "../text/number_format.ts";
import type { AtomicRef } from "../volatile/atomic_ref.ts";
import type { Bytes } from "../volatile/bytes.ts";
import { type ByteSink, type ByteSource, isVectoredSink } from "../volatile/stream.ts";
import { isVectoredSource, readVectored, writeVectored } from "../volatile/stream.ts";
import type { VolatileSlice } from "../volatile/volatile_slice.ts";
import { type AccessCallback, type AccessTarget, sliceOf } from "./access.ts";
import type { GuestMemory } from "./guest_memory.ts";
import { type GuestRange, readAllRangesFrom, readRangesFrom } from "./vectored.ts";
import { writeAllRangesTo, writeRangesTo } from "./vectored.ts";

/**
 * Memory that devices access by address. Mirrors the trait `GuestMemory` of 0.18, which both guest
 * physical memory ({@linkcode GuestMemory}) and memory behind an IOMMU ({@linkcode IommuMemory})
 * satisfy: a device written against it works with either.
 *
 * Everything follows from {@linkcode IoMemory.access}: it says which parts a range consists of, and
 * whether they may be accessed.
 *
 * @example Physical memory and memory behind an IOMMU
 * ```ts
 * import {
 *   GuestAddress,
 *   GuestMemoryHeap,
 *   IommuMemory,
 *   type IoMemory,
 *   Iotlb,
 *   Permissions,
 *   u32,
 * } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * function read(memory: IoMemory, addr: number): number {
 *   return memory.readObj(u32, GuestAddress(addr));
 * }
 *
 * const physical = GuestMemoryHeap.fromRanges([[GuestAddress(0), 0x4000]]);
 * physical.writeObj(u32, 7, GuestAddress(0x2000));
 * const tlb = new Iotlb();
 * tlb.setMapping(GuestAddress(0x9000), GuestAddress(0x2000), 0x1000, Permissions.Read);
 * const translated = new IommuMemory(physical, {
 *   translate: (iova, length, permissions) => tlb.lookup(iova, length, permissions),
 * });
 * assertEquals([read(physical, 0x2000), read(translated, 0x9000)], [7, 7]);
 * ```
 */
export abstract class IoMemory implements Bytes<GuestAddress> {
  /**
   * Calls a function for each part of a range that is in one piece of memory, in order, up to the
   * end of the range, up to a hole, or until the function returns 0.
   *
   * @param count Bytes of the range.
   * @param addr Where it begins.
   * @param permissions What will be done with it.
   * @param callback The function. Where it returns less than it was asked, it is called again for
   * the rest.
   * @returns Bytes that were accessed.
   * @throws {InvalidGuestAddress} The first byte is in no region.
   * @throws {IommuError} The range may not be accessed so. Nothing of it was then.
   * @throws {CallbackOutOfRange} The function returned more than it was asked.
   */
  abstract access(
    count: number,
    addr: GuestAddress,
    permissions: Permissions,
    callback: AccessCallback,
  ): number;

  /**
   * Whether all of a range can be accessed. A range of zero bytes always can.
   *
   * @param base Where the range begins.
   * @param length Bytes.
   * @param permissions What will be done with it.
   */
  abstract checkRange(base: GuestAddress, length: number, permissions?: Permissions): boolean;

  /** The guest physical memory, where addresses are physical; `undefined` where they are not. */
  abstract get physicalMemory(): GuestMemory | undefined;

  /**
   * A range as slices, one for each piece of memory it is in. A range of zero bytes has none.
   *
   * @param addr Where it begins.
   * @param count Bytes.
   * @param permissions What will be done with them.
   * @returns The slices. At a hole the iterator throws {@linkcode InvalidGuestAddress} with the
   * hole's address; {@linkcode stopOnError} turns that into an end.
   */
  *getSlices(
    addr: GuestAddress,
    count: number,
    permissions: Permissions = Permissions.ReadWrite,
  ): Generator<VolatileSlice, void, void> {
    const slices = this.#slices(addr, count, permissions);
    let done = 0;
    for (const slice of slices) {
      yield slice;
      done += slice.len;
    }
    // An access at the hole throws the right error, with physical addresses.
    if (done < count) {
      const hole = addr + done as GuestAddress;
      this.access(1, hole, permissions, () => 0);
      throw new InvalidGuestAddress(hole);
    }
  }

  // Each operation is written here once. If all of it is in one piece of memory, the piece does it,
  // in one access if it can (rule 4). Else it is done piece by piece.

  /** Copies from memory into a buffer: see {@linkcode Bytes.read}. */
  read(buf: Uint8Array, addr: GuestAddress): number {
    return this.access(
      byteLength(buf),
      addr,
      Permissions.Read,
      (total, count, offset, target) => target.read(bytesOf(buf, total, count), offset),
    );
  }

  /** Copies from a buffer into memory: see {@linkcode Bytes.write}. */
  write(buf: Uint8Array, addr: GuestAddress): number {
    return this.access(
      byteLength(buf),
      addr,
      Permissions.Write,
      (total, count, offset, target) => target.write(bytesOf(buf, total, count), offset),
    );
  }

  /** Fills a buffer from memory: see {@linkcode Bytes.readSlice}. */
  readSlice(buf: Uint8Array, addr: GuestAddress): void {
    ensureAll(byteLength(buf), this.read(buf, addr));
  }

  /** Copies all of a buffer into memory: see {@linkcode Bytes.writeSlice}. */
  writeSlice(buf: Uint8Array, addr: GuestAddress): void {
    ensureAll(byteLength(buf), this.write(buf, addr));
  }

  /** Reads a value: see {@linkcode Bytes.readObj}. */
  readObj<T>(codec: ByteValued<T>, addr: GuestAddress): T {
    const size = codec.byteLength;
    this.#ensureLarge(size, addr, Permissions.Read);
    let value: T | undefined;
    let buffer: HostMemory | undefined;
    try {
      const done = this.access(size, addr, Permissions.Read, (total, count, offset, target) => {
        if (count < size) {
          buffer ??= borrowBounceBuffer(size);
          return target.read(bytesOf(buffer.u8, total, count), offset);
        }
        value = target.readObj(codec, offset);
        return count;
      });
      ensureAll(size, done);
      if (buffer !== undefined) return codec.read(buffer, 0);
      return size > 0 ? value as T : zeroed(codec);
    } finally {
      if (buffer !== undefined) returnBounceBuffer(buffer);
    }
  }

  /** Writes a value: see {@linkcode Bytes.writeObj}. */
  writeObj<T>(codec: ByteValued<T>, value: T, addr: GuestAddress): void {
    const size = codec.byteLength;
    this.#ensureLarge(size, addr, Permissions.Write);
    let buffer: HostMemory | undefined;
    try {
      const done = this.access(size, addr, Permissions.Write, (total, count, offset, target) => {
        if (count < size) {
          if (buffer === undefined) {
            buffer = borrowBounceBuffer(size);
            codec.write(buffer, 0, value);
            buffer.ensureOpen();
          }
          return target.write(bytesOf(buffer.u8, total, count), offset);
        }
        target.writeObj(codec, value, offset);
        return count;
      });
      ensureAll(size, done);
    } finally {
      if (buffer !== undefined) returnBounceBuffer(buffer);
    }
  }

  /** Reads an integer atomically: see {@linkcode Bytes.load}. It has to be in one region. */
  load<T extends number | bigint>(codec: AtomicAccess<T>, addr: GuestAddress): T {
    return this.#atomic(codec, addr, Permissions.Read, (target, at) => target.load(codec, at));
  }

  /** Writes an integer atomically: see {@linkcode Bytes.store}. It has to be in one region. */
  store<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: GuestAddress): void {
    this.#atomic(codec, addr, Permissions.Write, (target, at) => target.store(codec, value, at));
  }

  /** A reference to an integer: see {@linkcode Bytes.getAtomicRef}. It has to be in one region. */
  getAtomicRef<T extends number | bigint>(
    codec: AtomicAccess<T>,
    addr: GuestAddress,
  ): AtomicRef<T> {
    return this.#atomic(
      codec,
      addr,
      Permissions.ReadWrite,
      (target, at) => target.getAtomicRef(codec, at),
    );
  }

  /** Reads from a stream into memory: see {@linkcode Bytes.readVolatileFrom}. */
  readVolatileFrom(addr: GuestAddress, src: ByteSource, count: number): number {
    if (isVectoredSource(src)) {
      const slices = this.#slicesOfSeveral(addr, count, Permissions.Write);
      if (slices !== undefined) return readVectored(slices, src);
    }
    return this.#untilShort(
      count,
      addr,
      Permissions.Write,
      (target, offset, length) => target.readVolatileFrom(offset, src, length),
    );
  }

  /** Reads exactly from a stream into memory: see {@linkcode Bytes.readExactVolatileFrom}. */
  readExactVolatileFrom(addr: GuestAddress, src: ByteSource, count: number): void {
    checkCount(count);
    const done = this.readVolatileFrom(addr, src, count);
    if (done === count) return;
    this.#finish(addr, count, done, Permissions.Write, (at, rest) => {
      return this.readVolatileFrom(at, src, rest);
    });
  }

  /** Writes memory to a stream: see {@linkcode Bytes.writeVolatileTo}. */
  writeVolatileTo(addr: GuestAddress, dst: ByteSink, count: number): number {
    if (isVectoredSink(dst)) {
      const slices = this.#slicesOfSeveral(addr, count, Permissions.Read);
      if (slices !== undefined) return writeVectored(slices, dst);
    }
    return this.#untilShort(
      count,
      addr,
      Permissions.Read,
      (target, offset, length) => target.writeVolatileTo(offset, dst, length),
    );
  }

  /** Writes memory exactly to a stream: see {@linkcode Bytes.writeAllVolatileTo}. */
  writeAllVolatileTo(addr: GuestAddress, dst: ByteSink, count: number): void {
    checkCount(count);
    const done = this.writeVolatileTo(addr, dst, count);
    if (done === count) return;
    this.#finish(addr, count, done, Permissions.Read, (at, rest) => {
      return this.writeVolatileTo(at, dst, rest);
    }, "WriteZero");
  }

  /**
   * Reads once from a stream into several ranges of memory, such as the segments of a device's
   * request, and marks what it wrote dirty.
   *
   * It is one transfer, as {@linkcode Bytes.readVolatileFrom} of one range is. A source that takes
   * several pieces of memory, such as {@linkcode Fd} (up to 1,024, by `readv` or `preadv`), is called
   * once; another source, or for memory that is not host memory, for each piece up to the first
   * short one. Each range is read once. Behind an IOMMU all are translated before the transfer: if a
   * part of one may not be accessed, nothing is transferred.
   *
   * @param ranges The ranges, in order. They may overlap.
   * @param src The stream.
   * @returns Bytes read, a prefix of the ranges in order: they end at the first hole.
   * @throws {InvalidGuestAddress} The first byte is in no region.
   * @throws {IOError} The stream failed: see {@linkcode Bytes.readVolatileFrom}.
   *
   * @example
   * ```ts
   * import { Cursor, GuestAddress, GuestMemoryHeap, u8 } from "@vmm/guest-memory";
   * import { assertEquals } from "@std/assert";
   *
   * const memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 0x1000]]);
   * const segments = [[GuestAddress(0x800), 3], [GuestAddress(0x100), 2]] as const;
   * memory.readExactVectoredFrom(segments, new Cursor(Uint8Array.of(1, 2, 3, 4, 5)));
   * assertEquals(memory.readObj(u8, GuestAddress(0x101)), 5);
   * ```
   */
  readVectoredFrom(ranges: Iterable<GuestRange>, src: ByteSource): number {
    return readRangesFrom(this, ranges, src);
  }

  /**
   * Fills several ranges of memory from a stream, in as many transfers as it takes: see
   * {@linkcode IoMemory.readVectoredFrom}.
   *
   * @throws {PartialBuffer} The memory or the stream ends early. The prefix is in memory then.
   */
  readExactVectoredFrom(ranges: Iterable<GuestRange>, src: ByteSource): void {
    readAllRangesFrom(this, ranges, src);
  }

  /**
   * Writes several ranges of memory once to a stream, as {@linkcode IoMemory.readVectoredFrom}
   * reads: by one `writev` or `pwritev` where the stream is a descriptor.
   *
   * @returns Bytes written, a prefix of the ranges in order.
   */
  writeVectoredTo(ranges: Iterable<GuestRange>, dst: ByteSink): number {
    return writeRangesTo(this, ranges, dst);
  }

  /**
   * Writes several ranges of memory to a stream, in as many transfers as it takes.
   *
   * @throws {PartialBuffer} The memory ends early. The prefix is written then.
   * @throws {IOError} The stream failed, or takes no more.
   */
  writeAllVectoredTo(ranges: Iterable<GuestRange>, dst: ByteSink): void {
    writeAllRangesTo(this, ranges, dst);
  }

  // Does the rest of an exact transfer, until all is done, a transfer is empty or the memory ends.
  #finish(
    addr: GuestAddress,
    count: number,
    completed: number,
    permissions: Permissions,
    transfer: (at: GuestAddress, rest: number) => number,
    whereEmpty?: IOErrorKind,
  ): void {
    for (let last = completed;; completed += last) {
      if (last === 0 && whereEmpty !== undefined) throw new IOError(whereEmpty);
      const at = addr + completed as GuestAddress;
      if (last === 0 || completed === count || !this.checkRange(at, 1, permissions)) break;
      last = transfer(at, count - completed);
    }
    ensureAll(count, completed);
  }

  // An atomic access, which has to be in one piece of memory.
  #atomic<T>(
    { byteLength: size }: ByteValued<unknown>,
    addr: GuestAddress,
    permissions: Permissions,
    operate: (target: AccessTarget, offset: MemoryRegionAddress) => T,
  ): T {
    let result: T | undefined;
    const done = this.access(size, addr, permissions, (_total, count, offset, target) => {
      if (count < size) return 0;
      result = operate(target, offset);
      return count;
    });
    if (done === size && size > 0) return result as T;
    throw new InvalidBackendAddress(
      `Cannot access ${size} bytes at ${hex(addr)} atomically: they are not in one region`,
    );
  }

  // Throws unless the bytes of a large value are there, before a buffer is allocated.
  #ensureLarge(size: number, addr: GuestAddress, permissions: Permissions): void {
    if (size <= BOUNCE_BUFFER_SIZE) return;
    ensureAll(size, this.access(size, addr, permissions, (_total, count) => count));
  }

  // The slices of a range up to a hole.
  #slices(addr: GuestAddress, count: number, permissions: Permissions): VolatileSlice[] {
    const slices: VolatileSlice[] = [];
    this.access(count, addr, permissions, (_total, length, offset, target) => {
      slices.push(sliceOf(target, offset, length));
      return length;
    });
    return slices;
  }

  // The slices of a range if there are several and all targets have a `hostSlice`: for streams that
  // take them in one call.
  #slicesOfSeveral(
    addr: GuestAddress,
    count: number,
    permissions: Permissions,
  ): VolatileSlice[] | undefined {
    const slices: (VolatileSlice | undefined)[] = [];
    this.access(count, addr, permissions, (_total, length, offset, target) => {
      const slice = target.hostSlice?.getSlice(offset, length);
      slices.push(slice);
      return slice === undefined ? 0 : length;
    });
    return slices.length > 1 && !slices.includes(undefined) ? slices as VolatileSlice[] : undefined;
  }

  // One stream operation for each piece of memory, up to the first short one: the bytes transferred
  // are a prefix.
  #untilShort(
    count: number,
    addr: GuestAddress,
    permissions: Permissions,
    transfer: (target: AccessTarget, offset: MemoryRegionAddress, length: number) => number,
  ): number {
    let short = false;
    return this.access(count, addr, permissions, (_total, length, offset, target) => {
      if (short) return 0;
      const done = transfer(target, offset, length);
      short = done < length;
      return done;
    });
  }
}
