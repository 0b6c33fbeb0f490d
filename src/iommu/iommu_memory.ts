/**
 * Guest memory as a device behind an IOMMU sees it.
 *
 * @module
 */
import type { GuestAddress, MemoryRegionAddress } from "../address.ts";
import { type Bitmap, NoBitmap } from "../bitmap/bitmap.ts";
import { BitmapGroup } from "../bitmap/bitmap_group.ts";
import type { ByteValued } from "../codec/byte_valued.ts";
import type { AtomicAccess } from "../codec/scalar.ts";
import { IommuError, IommuMisconfigured } from "../error/iommu_error.ts";
import type { AccessCallback } from "../guest/access.ts";
import type { GuestMemory } from "../guest/guest_memory.ts";
import { IoMemory } from "../guest/io_memory.ts";
import { GuestRegionCollection } from "../guest/region_collection.ts";
import { byteLength } from "../host/bytes.ts";
import { Permissions } from "../permissions.ts";
import { type AtomicRef, following } from "../volatile/atomic_ref.ts";
import { VolatileSlice } from "../volatile/volatile_slice.ts";
import type { MappedRange } from "./iotlb.ts";
import { type TranslatedPage, TranslationCache } from "./translation_cache.ts";
import { checkAddress, checkCount, checkNumber, shown } from "../text/argument.ts";

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
  /**
   * A number that changes whenever a translation changes, such as {@linkcode Iotlb.generation}. With
   * it, translations are remembered until it is another one: it is read at each access, also at
   * those of an {@linkcode AtomicRef}. After an access, all of its page may be translated ahead; what
   * `translate` throws then is ignored. Without it, every access is translated, and a reference once.
   * A slice is translated once, when it is taken.
   */
  readonly generation?: number;
}

/** How memory behind an IOMMU begins. */
export interface IommuMemoryOptions {
  /** Whether addresses are translated; true by default. */
  readonly enabled?: boolean;
  /**
   * Records writes by I/O virtual address while addresses are translated, in addition to the
   * bitmaps of the physical memory, which record every write. Bytes of a region without a
   * `hostSlice` are marked when they are accessed for writing, or when a writable slice of them is
   * returned.
   */
  readonly bitmap?: Bitmap;
  /**
   * Bytes of a page of the IOMMU, a power of two: as many are translated ahead where its
   * {@linkcode Iommu.generation} allows that. By default 4096, the smallest page of any IOMMU.
   */
  readonly pageSize?: number;
}

const SMALLEST_PAGE = 4096;

/**
 * Guest memory as a device behind an IOMMU sees it: addresses are I/O virtual, and are translated
 * at each access. Mirrors `IommuMemory`. Translations are remembered if the IOMMU has a
 * {@linkcode Iommu.generation}.
 *
 * All of a range is translated before any of it is accessed: if a part of it may not be accessed,
 * nothing of it is. An aligned scalar is one access, as in physical memory.
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
  /** What records writes by I/O virtual address while addresses are translated. */
  readonly bitmap: Bitmap;
  /** Whether addresses are translated. */
  enabled: boolean;
  readonly #cache: TranslationCache;
  // The physical memory, if its regions stay the same until it is closed.
  readonly #map: GuestRegionCollection | undefined;

  /**
   * Puts an IOMMU before a memory.
   *
   * @param backend The guest physical memory.
   * @param iommu What translates addresses.
   * @param options How it begins.
   * @throws {RangeError} The size of a page is no power of two up to 2^30.
   */
  constructor(backend: M, iommu: Iommu, options: IommuMemoryOptions = {}) {
    super();
    this.backend = backend;
    this.iommu = iommu;
    this.bitmap = options.bitmap ?? NoBitmap;
    this.enabled = options.enabled ?? true;
    const isMap = backend instanceof GuestRegionCollection &&
      backend.findRegion === GuestRegionCollection.prototype.findRegion;
    this.#map = isMap ? backend : undefined;
    this.#cache = new TranslationCache(options.pageSize ?? SMALLEST_PAGE);
  }

  /** The same with another physical memory, sharing the IOMMU and the bitmap. */
  withReplacedBackend<N extends GuestMemory>(backend: N): IommuMemory<N> {
    const { iommu, bitmap, enabled } = this;
    return new IommuMemory(backend, iommu, { bitmap, enabled, pageSize: this.#cache.pageSize });
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
    checkAddress(base);
    checkNumber("length", length);
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
      // A missing region is an error for the first byte only; later it ends the access.
      if (total > 0 && !this.backend.addressInRange(base)) break;
      const before = total;
      const done = this.backend.tryAccess(length, base, (part, size, offset, region) => {
        const at = before + part;
        if (this.bitmap === NoBitmap) return callback(at, size, offset, region);
        const slice = region.hostSlice?.getSlice(offset, size);
        if (slice !== undefined) {
          return callback(at, size, 0 as MemoryRegionAddress, this.#track(slice, addr + at));
        }
        try {
          return callback(at, size, offset, region);
        } finally {
          // How much such a region has written is not known.
          if (Permissions.hasWrite(permissions)) this.bitmap.markDirty(addr + at, size);
        }
      });
      total += done;
      if (done < length) break;
    }
    return total;
  }

  // All of a range in a page that is remembered: ask its piece, as IoMemory asks the piece that has
  // all of a range. Everything else, and every error, falls through to `super`.

  /** Copies from memory into a buffer: see {@linkcode Bytes.read}. */
  override read(buf: Uint8Array, addr: GuestAddress): number {
    const page = this.#pageOf(addr, byteLength(buf), Permissions.Read);
    if (page?.piece === undefined) return super.read(buf, addr);
    return page.piece.read(buf, addr - page.iova);
  }

  /** Copies from a buffer into memory: see {@linkcode Bytes.write}. */
  override write(buf: Uint8Array, addr: GuestAddress): number {
    const page = this.#pageOf(addr, byteLength(buf), Permissions.Write);
    if (page?.piece === undefined) return super.write(buf, addr);
    return page.piece.write(buf, addr - page.iova);
  }

  /** Reads a value: see {@linkcode Bytes.readObj}. */
  override readObj<T>(codec: ByteValued<T>, addr: GuestAddress): T {
    const page = this.#pageOf(addr, codec.byteLength, Permissions.Read);
    if (page?.piece === undefined) return super.readObj(codec, addr);
    return page.piece.readObj(codec, addr - page.iova);
  }

  /** Writes a value: see {@linkcode Bytes.writeObj}. */
  override writeObj<T>(codec: ByteValued<T>, value: T, addr: GuestAddress): void {
    const page = this.#pageOf(addr, codec.byteLength, Permissions.Write);
    if (page?.piece === undefined) return super.writeObj(codec, value, addr);
    page.piece.writeObj(codec, value, addr - page.iova);
  }

  /** Reads an integer atomically: see {@linkcode Bytes.load}. It has to be in one region. */
  override load<T extends number | bigint>(codec: AtomicAccess<T>, addr: GuestAddress): T {
    const page = this.#pageOf(addr, codec.byteLength, Permissions.Read);
    if (page?.piece === undefined) return super.load(codec, addr);
    return page.piece.load(codec, addr - page.iova);
  }

  /** Writes an integer atomically: see {@linkcode Bytes.store}. It has to be in one region. */
  override store<T extends number | bigint>(
    codec: AtomicAccess<T>,
    value: T,
    addr: GuestAddress,
  ): void {
    const page = this.#pageOf(addr, codec.byteLength, Permissions.Write);
    if (page?.piece === undefined) return super.store(codec, value, addr);
    page.piece.store(codec, value, addr - page.iova);
  }

  /**
   * A reference to an integer: see {@linkcode Bytes.getAtomicRef}. It has to be in one region.
   *
   * Where the IOMMU has a {@linkcode Iommu.generation}, the reference is translated again after
   * every change, and throws as an access does where the integer may no longer be accessed. Without,
   * it stays at the memory that the address was translated to.
   */
  override getAtomicRef<T extends number | bigint>(
    codec: AtomicAccess<T>,
    addr: GuestAddress,
  ): AtomicRef<T> {
    let generation = this.iommu.generation;
    let { enabled } = this;
    let found = super.getAtomicRef(codec, addr);
    if (typeof generation !== "number") return found;
    return following(() => {
      const now = this.iommu.generation;
      if (now !== generation || this.enabled !== enabled) {
        const isEnabled = this.enabled;
        found = super.getAtomicRef(codec, addr);
        generation = now;
        enabled = isEnabled;
      }
      return found;
    });
  }

  // The page that has all of a range, if its translation is remembered and still holds.
  #pageOf(iova: number, length: number, permissions: Permissions): TranslatedPage | undefined {
    // First: it may be the caller's code.
    const { generation } = this.iommu;
    if (typeof generation !== "number" || !this.enabled) return undefined;
    // Nothing is translated ahead right after a change: mappings that change with each access
    // would make that useless.
    if (!this.#cache.keep(generation)) return undefined;
    const page = this.#cache.find(iova, length, permissions) ??
      this.#translatePage(generation, iova, length, permissions);
    if (page?.piece === undefined) return undefined;
    const map = this.#map;
    return (map === undefined ? this.#has(page) : !map.closed) ? page : undefined;
  }

  // Whether a custom memory, which may change, has a page's region still.
  #has(page: TranslatedPage): boolean {
    return this.backend.findRegion(page.physical) === page.region;
  }

  #translatePage(
    generation: number,
    iova: number,
    length: number,
    permissions: Permissions,
  ): TranslatedPage | undefined {
    const { pageSize } = this.#cache;
    const start = iova - iova % pageSize;
    const isInPage = Number.isSafeInteger(iova) && iova >= 0 && length > 0 &&
      length <= pageSize - (iova - start);
    if (!isInPage) return undefined;
    // The range itself first: what fails, and what the IOMMU reports of it, is about the range.
    this.#translate(iova as GuestAddress, length, permissions);
    const page = this.#makePage(start, permissions);
    this.#cache.add(generation, permissions, page);
    return page;
  }

  #makePage(iova: number, permissions: Permissions): TranslatedPage {
    const { pageSize } = this.#cache;
    const end = iova + pageSize;
    const none = { iova, end, physical: 0 as GuestAddress, region: undefined, piece: undefined };
    let ranges: MappedRange[];
    try {
      ranges = this.#translate(iova as GuestAddress, pageSize, permissions);
    } catch {
      // A part of the page may not be accessed, and none of it has to be.
      return none;
    }
    if (ranges.length !== 1) return none;
    const physical = ranges[0]!.base;
    const region = this.backend.findRegion(physical);
    const slice = region?.hostSlice;
    // A class derived from VolatileSlice may override accesses.
    if (slice === undefined || Object.getPrototypeOf(slice) !== VolatileSlice.prototype) {
      return none;
    }
    const offset = physical - region!.startAddr;
    if (!(offset >= 0 && offset + pageSize <= slice.len)) return none;
    const part = slice.getSlice(offset, pageSize);
    const piece = this.bitmap === NoBitmap ? part : this.#track(part, iova);
    return { iova, end, physical, region, piece };
  }

  // A part of a region whose writes are recorded by both kinds of address.
  #track(slice: VolatileSlice, iova: number): VolatileSlice {
    if (slice.tracking === undefined) return slice.withBitmap(this.bitmap, iova);
    return slice.withBitmap(new BitmapGroup([slice.bitmap, this.bitmap.sliceAt(iova)]));
  }

  // A wrong implementation of Iommu must not widen the access, shorten it silently, or never end.
  #translate(iova: GuestAddress, length: number, permissions: Permissions): MappedRange[] {
    checkAddress(iova);
    checkCount(length);
    if (length === 0) return [];
    if (!(Number.isSafeInteger(iova) && iova >= 0)) {
      throw new IommuMisconfigured(`${iova} is no I/O virtual address`);
    }
    const limit = Math.max(65_536, Math.min(length, 2 ** 32) / 512);
    const ranges: MappedRange[] = [];
    let total = 0;
    // The limit allows a range for each page of a guest's tables, or for each sector of a segment
    // list, but no more than fit in memory. Copies: what is checked must not change until it is
    // used.
    for (const { base, length: size } of this.iommu.translate(iova, length, permissions)) {
      if (!(Number.isSafeInteger(base) && base >= 0 && Number.isSafeInteger(size) && size > 0)) {
        throw new IommuMisconfigured(
          `a range was translated to ${shown(size)} bytes at ${shown(base)}`,
        );
      }
      if (ranges.length >= limit) {
        throw new IommuMisconfigured(`${length} bytes were translated to over ${limit} ranges`);
      }
      ranges.push({ base, length: size });
      total += size;
      if (total >= length) break;
    }
    if (total === length) return ranges;
    throw new IommuMisconfigured(`${length} bytes were translated to ${total}`);
  }
}
