/**
 * A contiguous range of guest physical memory.
 *
 * @module
 */
import { Address, type GuestAddress, type GuestUsize } from "./address.ts";
import type { MemoryRegionAddress } from "./address.ts";
import type { Bitmap } from "./bitmap/bitmap.ts";
import type { ByteValued } from "./byte_valued.ts";
import type { Bytes } from "./bytes.ts";
import type { FileOffset } from "./mmap/file_offset.ts";
import { HostAddressNotAvailable } from "./guest_memory_error.ts";
import { showAsText } from "./inspect.ts";
import { sliceOf } from "./io_memory.ts";
import type { ReadSource, WriteSink } from "./io.ts";
import { byteSize, hex } from "./number_format.ts";
import type { AtomicAccess } from "./scalar.ts";
import { toGuestMemoryError } from "./volatile_memory_error.ts";
import type { VolatileSlice } from "./volatile_slice.ts";

/**
 * A contiguous range of guest physical memory. Mirrors the trait `GuestMemoryRegion`, and
 * `GuestMemoryRegionBytes`.
 *
 * A region of your own defines `startAddr`, `len` (at least 1) and `bitmap`, and either `getSlice`,
 * when its content is in host memory, or the methods of {@linkcode Bytes}, when it is not.
 *
 * @example A region that counts how often it is asked
 * ```ts
 * import {
 *   type Bitmap,
 *   GuestAddress,
 *   GuestMemoryRegion,
 *   GuestRegionCollection,
 *   type MemoryRegionAddress,
 *   NoBitmap,
 *   u32,
 *   VolatileSlice,
 * } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * class CountingRegion extends GuestMemoryRegion {
 *   readonly startAddr = GuestAddress(0x1000);
 *   readonly len = 0x1000;
 *   readonly bitmap: Bitmap = NoBitmap;
 *   readonly #slice = VolatileSlice.from(new Uint8Array(0x1000));
 *   asked = 0;
 *
 *   override getSlice(offset: MemoryRegionAddress, count: number): VolatileSlice {
 *     this.asked++;
 *     return this.#slice.getSlice(offset, count);
 *   }
 * }
 *
 * const region = new CountingRegion();
 * const memory = GuestRegionCollection.fromRegions([region]);
 * memory.writeObj(u32, 7, GuestAddress(0x1ffc));
 * assertEquals(memory.readObj(u32, GuestAddress(0x1ffc)), 7);
 * assertEquals(region.asked, 2);
 * ```
 */
export abstract class GuestMemoryRegion implements Bytes<MemoryRegionAddress> {
  static {
    showAsText(this);
  }

  /** The guest physical address of the first byte. */
  abstract readonly startAddr: GuestAddress;
  /** Bytes, at least 1. */
  abstract readonly len: GuestUsize;
  /** Who is told of writes: offset 0 is the region's first byte. */
  abstract readonly bitmap: Bitmap;

  /** The guest physical address of the last byte. */
  get lastAddr(): GuestAddress {
    return this.startAddr + (this.len - 1) as GuestAddress;
  }

  /** The file that the region maps, and where in it, if there is one. */
  get fileOffset(): FileOffset | undefined {
    return undefined;
  }

  /** Whether the region lies in huge pages of hugetlbfs, or `undefined` where it is not known. */
  get isHugetlbfs(): boolean | undefined {
    return undefined;
  }

  /** The offset itself if it is in the region. */
  checkAddress(offset: MemoryRegionAddress): MemoryRegionAddress | undefined {
    return this.addressInRange(offset) ? offset : undefined;
  }

  /** Whether an offset is in the region. */
  addressInRange(offset: MemoryRegionAddress): boolean {
    return offset >= 0 && offset < this.len;
  }

  /** `base + offset` if that is in the region. */
  checkedOffset(base: MemoryRegionAddress, offset: number): MemoryRegionAddress | undefined {
    const sum = Address.checkedAdd(base, offset);
    return sum === undefined ? undefined : this.checkAddress(sum);
  }

  /** The offset in the region of a guest address, or `undefined` where it is not in the region. */
  toRegionAddr(addr: GuestAddress): MemoryRegionAddress | undefined {
    return this.checkAddress(addr - this.startAddr as MemoryRegionAddress);
  }

  /**
   * The host virtual address (HVA) of a byte, for system calls such as
   * `KVM_SET_USER_MEMORY_REGION`. It is valid until the region is closed. What is written through
   * it is not marked dirty.
   *
   * @param offset Which byte.
   * @throws {HostAddressNotAvailable} The region has none.
   * @throws {InvalidBackendAddress} The byte is not in the region.
   */
  getHostAddress(_offset: MemoryRegionAddress): bigint {
    throw new HostAddressNotAvailable();
  }

  /**
   * A part of the region's memory.
   *
   * @param offset Where it begins.
   * @param count Bytes.
   * @throws {HostAddressNotAvailable} The region is not backed by host memory.
   * @throws {InvalidBackendAddress} The part is not in the region.
   */
  getSlice(_offset: MemoryRegionAddress, _count: number): VolatileSlice {
    throw new HostAddressNotAvailable();
  }

  /** All of the region's memory. */
  asVolatileSlice(): VolatileSlice {
    return sliceOf(this, 0 as MemoryRegionAddress, this.len);
  }

  /**
   * Called by a map of regions when it begins to hold this region. Mirrors cloning an `Arc`. A
   * region that owns something counts its holders with {@linkcode Holds}.
   */
  retain(): void {}

  /** Called by a map of regions when it is closed. Mirrors dropping an `Arc`. */
  release(): void {}

  /** Called when a map that holds the region takes it over from whoever made it. */
  handOver(): void {}

  /** Called when the region is removed from a map: whoever removed it closes it. */
  handBack(): void {}

  /** Copies from the region into a buffer: see {@linkcode Bytes.read}. */
  read(buf: Uint8Array, addr: MemoryRegionAddress): number {
    if (buf.length === 0) return 0;
    try {
      return this.asVolatileSlice().read(buf, addr);
    } catch (error) {
      throw toGuestMemoryError(error);
    }
  }

  /** Copies from a buffer into the region: see {@linkcode Bytes.write}. */
  write(buf: Uint8Array, addr: MemoryRegionAddress): number {
    if (buf.length === 0) return 0;
    try {
      return this.asVolatileSlice().write(buf, addr);
    } catch (error) {
      throw toGuestMemoryError(error);
    }
  }

  /** Fills a buffer from the region: see {@linkcode Bytes.readSlice}. */
  readSlice(buf: Uint8Array, addr: MemoryRegionAddress): void {
    if (buf.length === 0) return;
    try {
      this.asVolatileSlice().readSlice(buf, addr);
    } catch (error) {
      throw toGuestMemoryError(error);
    }
  }

  /** Copies all of a buffer into the region: see {@linkcode Bytes.writeSlice}. */
  writeSlice(buf: Uint8Array, addr: MemoryRegionAddress): void {
    if (buf.length === 0) return;
    try {
      this.asVolatileSlice().writeSlice(buf, addr);
    } catch (error) {
      throw toGuestMemoryError(error);
    }
  }

  /** Reads a value: see {@linkcode Bytes.readObj}. */
  readObj<T>(codec: ByteValued<T>, addr: MemoryRegionAddress): T {
    try {
      return this.asVolatileSlice().readObj(codec, addr);
    } catch (error) {
      throw toGuestMemoryError(error);
    }
  }

  /** Writes a value: see {@linkcode Bytes.writeObj}. */
  writeObj<T>(codec: ByteValued<T>, value: T, addr: MemoryRegionAddress): void {
    try {
      this.asVolatileSlice().writeObj(codec, value, addr);
    } catch (error) {
      throw toGuestMemoryError(error);
    }
  }

  /** Reads an integer atomically: see {@linkcode Bytes.load}. */
  load<T extends number | bigint>(codec: AtomicAccess<T>, addr: MemoryRegionAddress): T {
    try {
      return this.asVolatileSlice().load(codec, addr);
    } catch (error) {
      throw toGuestMemoryError(error);
    }
  }

  /** Writes an integer atomically: see {@linkcode Bytes.store}. */
  store<T extends number | bigint>(
    codec: AtomicAccess<T>,
    value: T,
    addr: MemoryRegionAddress,
  ): void {
    try {
      this.asVolatileSlice().store(codec, value, addr);
    } catch (error) {
      throw toGuestMemoryError(error);
    }
  }

  /** Puts in a value and returns the old one: see {@linkcode Bytes.exchange}. */
  exchange<T extends number | bigint>(
    codec: AtomicAccess<T>,
    value: T,
    addr: MemoryRegionAddress,
  ): T {
    try {
      return this.asVolatileSlice().exchange(codec, value, addr);
    } catch (error) {
      throw toGuestMemoryError(error);
    }
  }

  /** Puts in a value where the old one is as expected: see {@linkcode Bytes.compareExchange}. */
  compareExchange<T extends number | bigint>(
    codec: AtomicAccess<T>,
    expected: T,
    replacement: T,
    addr: MemoryRegionAddress,
  ): T {
    try {
      return this.asVolatileSlice().compareExchange(codec, expected, replacement, addr);
    } catch (error) {
      throw toGuestMemoryError(error);
    }
  }

  /** Adds to an integer and returns the old value: see {@linkcode Bytes.fetchAdd}. */
  fetchAdd<T extends number | bigint>(
    codec: AtomicAccess<T>,
    value: T,
    addr: MemoryRegionAddress,
  ): T {
    try {
      return this.asVolatileSlice().fetchAdd(codec, value, addr);
    } catch (error) {
      throw toGuestMemoryError(error);
    }
  }

  /** Subtracts from an integer and returns the old value: see {@linkcode Bytes.fetchSub}. */
  fetchSub<T extends number | bigint>(
    codec: AtomicAccess<T>,
    value: T,
    addr: MemoryRegionAddress,
  ): T {
    try {
      return this.asVolatileSlice().fetchSub(codec, value, addr);
    } catch (error) {
      throw toGuestMemoryError(error);
    }
  }

  /** Ands an integer and returns the old value: see {@linkcode Bytes.fetchAnd}. */
  fetchAnd<T extends number | bigint>(
    codec: AtomicAccess<T>,
    value: T,
    addr: MemoryRegionAddress,
  ): T {
    try {
      return this.asVolatileSlice().fetchAnd(codec, value, addr);
    } catch (error) {
      throw toGuestMemoryError(error);
    }
  }

  /** Ors an integer and returns the old value: see {@linkcode Bytes.fetchOr}. */
  fetchOr<T extends number | bigint>(
    codec: AtomicAccess<T>,
    value: T,
    addr: MemoryRegionAddress,
  ): T {
    try {
      return this.asVolatileSlice().fetchOr(codec, value, addr);
    } catch (error) {
      throw toGuestMemoryError(error);
    }
  }

  /** Xors an integer and returns the old value: see {@linkcode Bytes.fetchXor}. */
  fetchXor<T extends number | bigint>(
    codec: AtomicAccess<T>,
    value: T,
    addr: MemoryRegionAddress,
  ): T {
    try {
      return this.asVolatileSlice().fetchXor(codec, value, addr);
    } catch (error) {
      throw toGuestMemoryError(error);
    }
  }

  /** Reads once from a stream into the region: see {@linkcode Bytes.readVolatileFrom}. */
  readVolatileFrom(addr: MemoryRegionAddress, src: ReadSource, count: number): number {
    try {
      return this.asVolatileSlice().readVolatileFrom(addr, src, count);
    } catch (error) {
      throw toGuestMemoryError(error);
    }
  }

  /** Reads exactly from a stream into the region: see {@linkcode Bytes.readExactVolatileFrom}. */
  readExactVolatileFrom(addr: MemoryRegionAddress, src: ReadSource, count: number): void {
    try {
      this.asVolatileSlice().readExactVolatileFrom(addr, src, count);
    } catch (error) {
      throw toGuestMemoryError(error);
    }
  }

  /** Writes the region once to a stream: see {@linkcode Bytes.writeVolatileTo}. */
  writeVolatileTo(addr: MemoryRegionAddress, dst: WriteSink, count: number): number {
    try {
      return this.asVolatileSlice().writeVolatileTo(addr, dst, count);
    } catch (error) {
      throw toGuestMemoryError(error);
    }
  }

  /** Writes the region exactly to a stream: see {@linkcode Bytes.writeAllVolatileTo}. */
  writeAllVolatileTo(addr: MemoryRegionAddress, dst: WriteSink, count: number): void {
    try {
      this.asVolatileSlice().writeAllVolatileTo(addr, dst, count);
    } catch (error) {
      throw toGuestMemoryError(error);
    }
  }

  /** One line: which range, how long, what kind of memory. */
  toString(): string {
    return `${this.constructor.name} ${hex(this.startAddr)}-${hex(this.lastAddr)} ` +
      `${byteSize(this.len)}${this.describe()}`;
  }

  /** What `toString` says of the region beyond its range, with a space before it. */
  protected describe(): string {
    return "";
  }
}
