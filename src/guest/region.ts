/**
 * A contiguous range of guest physical memory.
 *
 * @module
 */
import { Address, type GuestAddress, type MemoryRegionAddress } from "../address.ts";
import type { Bitmap } from "../bitmap/bitmap.ts";
import { HostAddressNotAvailable } from "../error/guest_memory_error.ts";
import { showAsText } from "../text/inspect.ts";
import { byteSize, hex } from "../text/number_format.ts";
import { GuestMemoryRegionBytes } from "./region_bytes.ts";
import { checkAddress, checkNumber } from "../text/argument.ts";

/** The file that a region maps. */
export interface RegionFile {
  /** The file's descriptor. */
  readonly fd: number;
  /** Where in the file the region begins, in bytes. */
  readonly start: number;
}

/**
 * A contiguous range of guest physical memory. Mirrors the trait `GuestMemoryRegion`.
 *
 * A custom region defines `startAddr`, `len` (at least 1) and `bitmap`. It overrides `getSlice` if
 * its bytes are in host memory, or `read` and `write` if they are elsewhere: see
 * {@linkcode GuestMemoryRegionBytes}. Its `write` marks the bitmap.
 *
 * @example A region that counts accesses
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
export abstract class GuestMemoryRegion extends GuestMemoryRegionBytes {
  static {
    showAsText(this);
  }

  /** The guest physical address of the first byte. */
  abstract readonly startAddr: GuestAddress;
  /** What records writes: offset 0 is the region's first byte. */
  abstract readonly bitmap: Bitmap;

  /** The guest physical address of the last byte. */
  get lastAddr(): GuestAddress {
    return this.startAddr + (this.len - 1) as GuestAddress;
  }

  /** The file that the region maps, and the offset in it, if there is one. */
  get fileOffset(): RegionFile | undefined {
    return undefined;
  }

  /** Whether the region is in huge pages of hugetlbfs; `undefined` if it is not known. */
  get isHugetlbfs(): boolean | undefined {
    return undefined;
  }

  /** The offset itself if it is in the region. */
  checkAddress(offset: MemoryRegionAddress): MemoryRegionAddress | undefined {
    return this.addressInRange(offset) ? offset : undefined;
  }

  /** Whether an offset is in the region. */
  addressInRange(offset: MemoryRegionAddress): boolean {
    checkAddress(offset);
    return offset >= 0 && offset < this.len;
  }

  /** `base + offset` if that is in the region. */
  checkedOffset(base: MemoryRegionAddress, offset: number): MemoryRegionAddress | undefined {
    checkNumber("offset", offset);
    const sum = Address.checkedAdd(base, offset);
    return sum === undefined ? undefined : this.checkAddress(sum);
  }

  /** The offset in the region of a guest address, or `undefined` where it is not in the region. */
  toRegionAddr(addr: GuestAddress): MemoryRegionAddress | undefined {
    checkAddress(addr);
    return this.checkAddress(addr - this.startAddr as MemoryRegionAddress);
  }

  /**
   * The host virtual address (HVA) of a byte, for system calls such as
   * `KVM_SET_USER_MEMORY_REGION`. It is valid until the region is closed. Writes through it are not
   * marked dirty.
   *
   * @param offset Which byte.
   * @throws {HostAddressNotAvailable} The region has none.
   * @throws {InvalidBackendAddress} The byte is not in the region.
   */
  getHostAddress(_offset: MemoryRegionAddress): bigint {
    throw new HostAddressNotAvailable();
  }

  /**
   * Called by a map of regions that begins to contain this region. Mirrors cloning an `Arc`. A
   * region that owns a resource counts its references with {@linkcode RefCount}.
   */
  retain(): void {}

  /** Called by a map of regions when it is closed. Mirrors dropping an `Arc`. */
  release(): void {}

  /** Called after insertion into a map, which becomes its owner in place of its creator. */
  onInserted(): void {}

  /** Called when the region is removed from a map: the caller of the removal becomes its owner. */
  onRemoved(): void {}

  /** One line: which range, how long, what kind of memory. */
  override toString(): string {
    return `${this.constructor.name} ${hex(this.startAddr)}-${hex(this.lastAddr)} ` +
      `${byteSize(this.len)}${this.describe()}`;
  }

  /** What `toString` shows after the region's range, with a space before it. */
  protected describe(): string {
    return "";
  }
}
