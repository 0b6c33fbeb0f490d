/**
 * A region of a guest in mapped memory.
 *
 * @module
 */
import { ADDRESS_SPACE_END, type GuestAddress, type GuestUsize } from "../address.ts";
import type { MemoryRegionAddress } from "../address.ts";
import type { Bitmap } from "../bitmap/bitmap.ts";
import { InvalidBackendAddress } from "../guest_memory_error.ts";
import { Holds } from "../holds.ts";
import { hex } from "../number_format.ts";
import { GuestMemoryRegion } from "../region.ts";
import { InvalidGuestRegion } from "../region_collection_error.ts";
import { toGuestMemoryError } from "../volatile_memory_error.ts";
import type { VolatileSlice } from "../volatile_slice.ts";
import type { FileOffset } from "./file_offset.ts";
import { MmapRegion, type MmapRegionOptions } from "./mmap_region.ts";

/**
 * A mapping at an address of a guest. Mirrors `GuestRegionMmap`.
 *
 * @example
 * ```ts
 * import { GuestAddress, GuestRegionMmap, MemoryRegionAddress, u32 } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * using region = GuestRegionMmap.fromRange(GuestAddress(0x10_0000), 0x2000);
 * region.store(u32, 7, MemoryRegionAddress(0x1000));
 * assertEquals(region.load(u32, MemoryRegionAddress(0x1000)), 7);
 * assertEquals(region.lastAddr, GuestAddress(0x10_1fff));
 * ```
 */
export class GuestRegionMmap extends GuestMemoryRegion implements Disposable {
  /** The guest physical address of the first byte. */
  readonly startAddr: GuestAddress;
  /** Bytes. */
  readonly len: GuestUsize;
  /** The mapping. Another region may lie in it too, in another guest's memory for instance. */
  readonly mmap: MmapRegion;
  readonly #slice: VolatileSlice;
  readonly #holds: Holds;

  /**
   * Gives a mapping a place. The region holds it from here on, in place of whoever mapped it; give
   * it to several regions at once, or keep it with `retain()`. Mirrors `new` and `with_arc`.
   *
   * @param mmap The mapping.
   * @param startAddr The guest address of its first byte.
   * @throws {InvalidGuestRegion} It would end beyond 2^53.
   */
  constructor(mmap: MmapRegion, startAddr: GuestAddress) {
    super();
    if (mmap.len > ADDRESS_SPACE_END - startAddr) {
      throw new InvalidGuestRegion(
        `Cannot place ${mmap.len} bytes at ${hex(startAddr)}: they would end beyond 2^53`,
      );
    }
    this.startAddr = startAddr;
    this.len = mmap.len;
    this.mmap = mmap;
    this.#slice = mmap.asVolatileSlice();
    mmap.retain();
    mmap.close();
    this.#holds = new Holds("region", () => mmap.release());
  }

  /**
   * Maps memory for a range of a guest.
   *
   * @param startAddr The guest address of the first byte.
   * @param size Bytes.
   * @param options How: see {@linkcode MmapRegion}, whose errors it throws.
   * @throws {InvalidGuestRegion} The range ends beyond 2^53.
   */
  static fromRange(
    startAddr: GuestAddress,
    size: GuestUsize,
    options: MmapRegionOptions = {},
  ): GuestRegionMmap {
    const { bitmap } = options;
    const mmap = new MmapRegion(
      size,
      bitmap === undefined
        ? options
        : { ...options, bitmap: (length) => bitmap(length, startAddr) },
    );
    try {
      return new GuestRegionMmap(mmap, startAddr);
    } catch (error) {
      mmap.close();
      throw error;
    }
  }

  /** Who is told of writes. */
  get bitmap(): Bitmap {
    return this.#slice.bitmap;
  }

  /** The file that the region maps, and where in it, if there is one. */
  override get fileOffset(): FileOffset | undefined {
    return this.mmap.fileOffset;
  }

  /** Whether the region lies in huge pages of hugetlbfs, or `undefined` where nobody said. */
  override get isHugetlbfs(): boolean | undefined {
    return this.mmap.isHugetlbfs;
  }

  /** The host address of a byte: see {@linkcode GuestMemoryRegion.getHostAddress}. */
  override getHostAddress(offset: MemoryRegionAddress): bigint {
    if (!this.addressInRange(offset)) {
      throw new InvalidBackendAddress(
        `Cannot take the host address of offset ${hex(offset)}: the region has ${hex(this.len)}`,
      );
    }
    return this.mmap.hostAddress() + BigInt(offset);
  }

  /** A part of the region's memory. */
  override getSlice(offset: MemoryRegionAddress, count: number): VolatileSlice {
    try {
      return this.#slice.getSlice(offset, count);
    } catch (error) {
      throw toGuestMemoryError(error);
    }
  }

  /** All of the region's memory. */
  override asVolatileSlice(): VolatileSlice {
    return this.#slice;
  }

  /** Adds a holder. */
  override retain(): void {
    this.#holds.retain();
  }

  /** Removes a holder. */
  override release(): void {
    this.#holds.release();
  }

  /** Ends the hold of whoever made the region, now that a map holds it. */
  override handOver(): void {
    this.#holds.close();
  }

  /** Gives the region back to whoever removed it from a map. */
  override handBack(): void {
    this.#holds.handBack();
  }

  /**
   * Ends the hold of whoever made the region. It is closed at once if it is in no map; else with the
   * last map that holds it. Closing again does nothing.
   */
  close(): void {
    this.#holds.close();
  }

  /** The same as {@linkcode GuestRegionMmap.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** What `toString` says of the region beyond its range. */
  protected override describe(): string {
    return ` ${this.mmap.kind}`;
  }
}
