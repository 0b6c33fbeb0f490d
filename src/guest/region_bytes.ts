/**
 * The bytes of a region, wherever they are.
 *
 * @module
 */
import type { GuestUsize, MemoryRegionAddress } from "../address.ts";
import type { ByteValued } from "../codec/byte_valued.ts";
import type { AtomicAccess } from "../codec/scalar.ts";
import { HostAddressNotAvailable } from "../error/guest_memory_error.ts";
import { ensureAll } from "../error/volatile_memory_error.ts";
import { byteLength } from "../host/bytes.ts";
import type { AtomicRef } from "../volatile/atomic_ref.ts";
import { BouncedBytes } from "../volatile/bounced_bytes.ts";
import type { Bytes } from "../volatile/bytes.ts";
import type { ByteSink, ByteSource } from "../volatile/stream.ts";
import type { VolatileSlice } from "../volatile/volatile_slice.ts";
import { sliceOf } from "./access.ts";

/**
 * {@linkcode Bytes} for a region. Mirrors the trait `GuestMemoryRegionBytes`.
 *
 * A region in host memory overrides `getSlice`: every access goes to the slice then. A region whose
 * bytes are elsewhere, in another process or in a device, overrides `read` and `write`: values and
 * streams go through these and a buffer. Atomics and slices throw
 * {@linkcode HostAddressNotAvailable} there.
 *
 * @example Accesses to one region, by offset
 * ```ts
 * import { GuestAddress, GuestRegionHeap, MemoryRegionAddress, u32 } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const region = new GuestRegionHeap(GuestAddress(0x8000), 0x1000);
 * region.writeObj(u32, 7, MemoryRegionAddress(0x10));
 * assertEquals(region.readObj(u32, MemoryRegionAddress(0x10)), 7);
 * assertEquals(region.write(new Uint8Array(16), MemoryRegionAddress(0xff8)), 8);
 * ```
 */
export abstract class GuestMemoryRegionBytes implements Bytes<MemoryRegionAddress> {
  /** Bytes, at least 1. */
  abstract readonly len: GuestUsize;

  /**
   * All of the region's bytes as one slice of host memory, if a map of regions may access them
   * without calling the region: that makes a map fast. `undefined` by default: the map calls the
   * region for each access. {@linkcode HostRegion} returns its slice, unless a derived class
   * overrides an access.
   */
  get hostSlice(): VolatileSlice | undefined {
    return undefined;
  }

  /**
   * A part of the region's memory.
   *
   * @param offset Where it begins.
   * @param count Bytes.
   * @throws {HostAddressNotAvailable} The region is not in host memory.
   * @throws {InvalidBackendAddress} The part is not in the region.
   */
  getSlice(_offset: MemoryRegionAddress, _count: number): VolatileSlice {
    throw new HostAddressNotAvailable();
  }

  /**
   * All of the region's memory.
   *
   * @throws {HostAddressNotAvailable} The region is not in host memory.
   */
  asVolatileSlice(): VolatileSlice {
    return sliceOf(this, 0 as MemoryRegionAddress, this.len);
  }

  /** Copies from the region into a buffer: see {@linkcode Bytes.read}. */
  read(buf: Uint8Array, addr: MemoryRegionAddress): number {
    return byteLength(buf) === 0 ? 0 : this.asVolatileSlice().read(buf, addr);
  }

  /** Copies from a buffer into the region: see {@linkcode Bytes.write}. */
  write(buf: Uint8Array, addr: MemoryRegionAddress): number {
    return byteLength(buf) === 0 ? 0 : this.asVolatileSlice().write(buf, addr);
  }

  /** Fills a buffer from the region: see {@linkcode Bytes.readSlice}. */
  readSlice(buf: Uint8Array, addr: MemoryRegionAddress): void {
    ensureAll(byteLength(buf), this.read(buf, addr));
  }

  /** Copies all of a buffer into the region: see {@linkcode Bytes.writeSlice}. */
  writeSlice(buf: Uint8Array, addr: MemoryRegionAddress): void {
    ensureAll(byteLength(buf), this.write(buf, addr));
  }

  /** Reads a value: see {@linkcode Bytes.readObj}. */
  readObj<T>(codec: ByteValued<T>, addr: MemoryRegionAddress): T {
    return this.#bytes().readObj(codec, addr);
  }

  /** Writes a value: see {@linkcode Bytes.writeObj}. */
  writeObj<T>(codec: ByteValued<T>, value: T, addr: MemoryRegionAddress): void {
    this.#bytes().writeObj(codec, value, addr);
  }

  /** Reads an integer atomically: see {@linkcode Bytes.load}. */
  load<T extends number | bigint>(codec: AtomicAccess<T>, addr: MemoryRegionAddress): T {
    return this.asVolatileSlice().load(codec, addr);
  }

  /** Writes an integer atomically: see {@linkcode Bytes.store}. */
  store<T extends number | bigint>(
    codec: AtomicAccess<T>,
    value: T,
    addr: MemoryRegionAddress,
  ): void {
    this.asVolatileSlice().store(codec, value, addr);
  }

  /** A reference to an integer: see {@linkcode Bytes.getAtomicRef}. */
  getAtomicRef<T extends number | bigint>(
    codec: AtomicAccess<T>,
    addr: MemoryRegionAddress,
  ): AtomicRef<T> {
    return this.asVolatileSlice().getAtomicRef(codec, addr);
  }

  /** Reads once from a stream into the region: see {@linkcode Bytes.readVolatileFrom}. */
  readVolatileFrom(addr: MemoryRegionAddress, src: ByteSource, count: number): number {
    return this.#bytes().readVolatileFrom(addr, src, count);
  }

  /** Reads exactly from a stream into the region: see {@linkcode Bytes.readExactVolatileFrom}. */
  readExactVolatileFrom(addr: MemoryRegionAddress, src: ByteSource, count: number): void {
    this.#bytes().readExactVolatileFrom(addr, src, count);
  }

  /** Writes the region once to a stream: see {@linkcode Bytes.writeVolatileTo}. */
  writeVolatileTo(addr: MemoryRegionAddress, dst: ByteSink, count: number): number {
    return this.#bytes().writeVolatileTo(addr, dst, count);
  }

  /** Writes the region exactly to a stream: see {@linkcode Bytes.writeAllVolatileTo}. */
  writeAllVolatileTo(addr: MemoryRegionAddress, dst: ByteSink, count: number): void {
    this.#bytes().writeAllVolatileTo(addr, dst, count);
  }

  // All of the region's memory; if that is not host memory, accesses by `read` and `write`.
  #bytes(): VolatileSlice | BouncedBytes<MemoryRegionAddress> {
    // Making the error takes 3 us, ten times as long as the access.
    const hasNone = this.asVolatileSlice === GuestMemoryRegionBytes.prototype.asVolatileSlice &&
      this.getSlice === GuestMemoryRegionBytes.prototype.getSlice;
    if (hasNone) return new BouncedBytes(this, this.len);
    try {
      return this.asVolatileSlice();
    } catch (error) {
      if (error instanceof HostAddressNotAvailable) return new BouncedBytes(this, this.len);
      throw error;
    }
  }
}
