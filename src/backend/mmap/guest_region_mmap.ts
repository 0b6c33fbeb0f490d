/**
 * A region of a guest in mapped memory.
 *
 * @module
 */
import { ADDRESS_SPACE_END, type GuestAddress, type GuestUsize } from "../../address.ts";
import type { MemoryRegionAddress } from "../../address.ts";
import type { Bitmap } from "../../bitmap/bitmap.ts";
import { OutOfBounds } from "../../error/volatile_memory_error.ts";
import { HostRegion } from "../../guest/host_region.ts";
import { checkNumber } from "../../text/argument.ts";
import { hex } from "../../text/number_format.ts";
import { InvalidGuestRegion } from "../../error/region_collection_error.ts";
import type { FileOffset } from "./file_offset.ts";
import type { MmapOptions } from "./mmap_options.ts";
import { MmapRegion } from "./mmap_region.ts";
import type { PrefaultOptions } from "./prefault.ts";

/**
 * A mapping at an address of a guest. Mirrors `GuestRegionMmap`.
 *
 * @typeParam B The kind of its bitmap.
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
export class GuestRegionMmap<B extends Bitmap = Bitmap> extends HostRegion<B> {
  /** The mapping. Other regions may use it too, in another guest's memory for instance. */
  readonly mmap: MmapRegion<B>;

  /**
   * Gives a mapping a guest address. The region owns it from here on, in place of its creator. Call
   * `retain()` before to keep a reference, or to make more regions of it. Mirrors `new` and
   * `with_arc`.
   *
   * @param mmap The mapping.
   * @param startAddr The guest address of its first byte.
   * @throws {InvalidGuestRegion} It would end beyond 2^53.
   */
  constructor(mmap: MmapRegion<B>, startAddr: GuestAddress) {
    checkNumber("startAddr", startAddr);
    if (mmap.len > ADDRESS_SPACE_END - startAddr) {
      throw new InvalidGuestRegion(
        `Cannot place ${mmap.len} bytes at ${hex(startAddr)}: they would end beyond 2^53`,
      );
    }
    super(startAddr, mmap.asVolatileSlice(), () => mmap.release());
    this.mmap = mmap;
    mmap.retain();
    mmap.close();
  }

  /**
   * Maps memory for a range of a guest.
   *
   * @param startAddr The guest address of the first byte.
   * @param size Bytes.
   * @param options How: see {@linkcode MmapRegion}, whose errors it throws.
   * @throws {InvalidGuestRegion} The range ends beyond 2^53.
   */
  static fromRange<B extends Bitmap>(
    startAddr: GuestAddress,
    size: GuestUsize,
    options: MmapOptions<B> = {},
  ): GuestRegionMmap<B> {
    const { bitmap, ...rest } = options;
    const mmap = new MmapRegion<B>(
      size,
      bitmap === undefined ? rest : { ...rest, bitmap: (length) => bitmap(length, startAddr) },
    );
    try {
      return new GuestRegionMmap(mmap, startAddr);
    } catch (error) {
      mmap.close();
      throw error;
    }
  }

  /** The file that the region maps, and where in it, if there is one. */
  override get fileOffset(): FileOffset | undefined {
    return this.mmap.fileOffset;
  }

  /** Whether the region is in huge pages of hugetlbfs; `undefined` for a foreign mapping. */
  override get isHugetlbfs(): boolean | undefined {
    return this.mmap.isHugetlbfs;
  }

  /** The host address of a byte: see {@linkcode GuestMemoryRegion.getHostAddress}. */
  override getHostAddress(offset: MemoryRegionAddress): bigint {
    if (!this.addressInRange(offset)) throw new OutOfBounds(offset, this.len);
    return this.mmap.hostAddress() + BigInt(offset);
  }

  /** Gives whole pages back to the host: see {@linkcode MmapRegion.discard}. */
  discard(offset: MemoryRegionAddress, count: number): number {
    checkNumber("offset", offset);
    checkNumber("count", count);
    return this.mmap.discard(offset, count);
  }

  /** Takes all pages now: see {@linkcode MmapRegion.prefault}. */
  prefault(options?: PrefaultOptions): Promise<void> {
    return this.mmap.prefault(options);
  }

  /** Sets bytes, and marks them dirty: see {@linkcode MmapRegion.fill}. */
  fill(offset: MemoryRegionAddress, count: number, value: number): void {
    this.mmap.fill(offset, count, value);
  }

  /** Whether bytes are all zero: see {@linkcode MmapRegion.isZero}. */
  isZero(offset: MemoryRegionAddress, count: number): boolean {
    checkNumber("offset", offset);
    checkNumber("count", count);
    return this.mmap.isZero(offset, count);
  }

  /** Writes changes back to the file: see {@linkcode MmapRegion.flush}. */
  flush(wait?: boolean): void {
    this.mmap.flush(wait);
  }

  /** The ranges in the host's RAM: see {@linkcode MmapRegion.residentRanges}. */
  residentRanges(): [offset: number, length: number][] {
    return this.mmap.residentRanges();
  }

  /** What `toString` shows after the region's range. */
  protected override describe(): string {
    return ` ${this.mmap.description}`;
  }
}
