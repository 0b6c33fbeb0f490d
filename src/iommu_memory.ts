/**
 * Guest memory as a device behind an IOMMU sees it.
 *
 * @module
 */
import type { GuestAddress, MemoryRegionAddress } from "./address.ts";
import type { Bitmap } from "./bitmap/bitmap.ts";
import { NoBitmap } from "./bitmap/bitmap.ts";
import type { GuestMemory } from "./guest_memory.ts";
import { type AccessCallback, checkCount, IoMemory } from "./io_memory.ts";
import { IommuError, IommuMisconfigured } from "./iommu_error.ts";
import type { MappedRange } from "./iotlb.ts";
import { Permissions } from "./permissions.ts";
import { toGuestMemoryError } from "./volatile_memory_error.ts";

/** What translates addresses for a device. Mirrors the trait `Iommu`. */
export interface Iommu {
  /**
   * Translates all of a range, fetching translations where that is needed.
   *
   * @param iova The first I/O virtual address.
   * @param length Bytes.
   * @param permissions What will be done.
   * @returns Guest physical ranges, in order, as long as the range in all.
   * @throws {IommuError} It cannot be translated.
   */
  translate(iova: GuestAddress, length: number, permissions: Permissions): Iterable<MappedRange>;
}

/** How memory behind an IOMMU begins. */
export interface IommuMemoryOptions {
  /** Whether addresses are translated; true by default. */
  readonly enabled?: boolean;
  /**
   * Who is told of writes while addresses are translated, by I/O virtual address. The bitmaps of the
   * physical memory are told of the others.
   */
  readonly bitmap?: Bitmap;
}

/**
 * Guest memory as a device behind an IOMMU sees it: addresses are I/O virtual, and are translated at
 * each access. Mirrors `IommuMemory`.
 *
 * A range is translated before any of it is accessed, so a range that may not be accessed in part is
 * not accessed at all.
 *
 * @typeParam M The kind of guest physical memory.
 *
 * @example
 * ```ts
 * import {
 *   CannotResolve,
 *   GuestAddress,
 *   GuestMemoryHeap,
 *   IommuMemory,
 *   Iotlb,
 *   Permissions,
 *   u32,
 * } from "@vmm/guest-memory";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const physical = GuestMemoryHeap.fromRanges([[GuestAddress(0), 0x10000]]);
 * const tlb = new Iotlb();
 * tlb.setMapping(GuestAddress(0x7000_0000), GuestAddress(0x2000), 0x1000, Permissions.ReadWrite);
 * const memory = new IommuMemory(physical, {
 *   translate(iova, length, permissions) {
 *     try {
 *       return tlb.lookup(iova, length, permissions);
 *     } catch {
 *       throw new CannotResolve({ base: iova, length }, "it is not mapped");
 *     }
 *   },
 * });
 * memory.writeObj(u32, 7, GuestAddress(0x7000_0010));
 * assertEquals(physical.readObj(u32, GuestAddress(0x2010)), 7);
 * assertThrows(() => memory.readObj(u32, GuestAddress(0x2010)), CannotResolve);
 * ```
 */
export class IommuMemory<M extends GuestMemory = GuestMemory> extends IoMemory {
  /** The guest physical memory. */
  readonly backend: M;
  /** What translates addresses. */
  readonly iommu: Iommu;
  /** Who is told of writes while addresses are translated, by I/O virtual address. */
  readonly bitmap: Bitmap;
  /** Whether addresses are translated. */
  enabled: boolean;

  /**
   * Puts an IOMMU before a memory.
   *
   * @param backend The guest physical memory.
   * @param iommu What translates addresses.
   * @param options How it begins.
   */
  constructor(backend: M, iommu: Iommu, options: IommuMemoryOptions = {}) {
    super();
    this.backend = backend;
    this.iommu = iommu;
    this.bitmap = options.bitmap ?? NoBitmap;
    this.enabled = options.enabled ?? true;
  }

  /** The same with another physical memory, sharing the IOMMU and the bitmap. */
  withReplacedBackend<N extends GuestMemory>(backend: N): IommuMemory<N> {
    const { iommu, bitmap, enabled } = this;
    return new IommuMemory(backend, iommu, { bitmap, enabled });
  }

  /** The physical memory while addresses are not translated. */
  get physicalMemory(): M | undefined {
    return this.enabled ? undefined : this.backend;
  }

  /** Whether all of a range is translated, for this, to physical memory that is there. */
  checkRange(
    base: GuestAddress,
    length: number,
    permissions: Permissions = Permissions.ReadWrite,
  ): boolean {
    if (!(Number.isInteger(length) && length >= 0)) return false;
    if (!this.enabled) return this.backend.checkRange(base, length);
    try {
      return this.#translate(base, length, permissions)
        .every((range) => this.backend.checkRange(range.base, range.length));
    } catch (error) {
      if (error instanceof IommuError) return false;
      throw error;
    }
  }

  /** Calls a function for each part of a range: see {@linkcode IoMemory.access}. */
  access(
    count: number,
    addr: GuestAddress,
    permissions: Permissions,
    callback: AccessCallback,
  ): number {
    if (!this.enabled) return this.backend.access(count, addr, permissions, callback);
    let total = 0;
    for (const { base, length } of this.#translate(addr, count, permissions)) {
      // Only where the first byte of all is in no region is that an error.
      if (total > 0 && !this.backend.addressInRange(base)) break;
      const before = total;
      const done = this.backend.tryAccess(length, base, (part, size, offset, region) => {
        try {
          const slice = region.getSlice(offset, size)
            .withBitmap(this.bitmap, addr + before + part);
          return callback(before + part, size, 0 as MemoryRegionAddress, slice);
        } catch (error) {
          throw toGuestMemoryError(error);
        }
      });
      total += done;
      if (done < length) break;
    }
    return total;
  }

  // An implementation of Iommu that is wrong must not widen the access, nor shorten it silently.
  #translate(iova: GuestAddress, length: number, permissions: Permissions): MappedRange[] {
    checkCount(length);
    if (length === 0) return [];
    const ranges = [];
    let total = 0;
    // Copies: what is checked here must not change until it is used.
    for (const { base, length: size } of this.iommu.translate(iova, length, permissions)) {
      if (!(Number.isSafeInteger(base) && base >= 0 && Number.isInteger(size) && size > 0)) break;
      ranges.push({ base, length: size });
      total += size;
      if (total >= length) break;
    }
    if (total === length) return ranges;
    throw new IommuMisconfigured(
      `${length} bytes were translated to ${total}, or to what is no range`,
    );
  }
}
