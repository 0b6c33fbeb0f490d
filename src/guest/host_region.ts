/**
 * A region whose content is in host memory.
 *
 * @module
 */
import { GuestAddress, type GuestUsize, type MemoryRegionAddress } from "../address.ts";
import type { Bitmap } from "../bitmap/bitmap.ts";
import { checkNumber } from "../text/argument.ts";
import type { VolatileSlice } from "../volatile/volatile_slice.ts";
import { RefCount } from "./ref_count.ts";
import { GuestMemoryRegion } from "./region.ts";
import { GuestMemoryRegionBytes } from "./region_bytes.ts";

/**
 * How the regions of a memory are made, in every backend.
 *
 * @typeParam B The kind of their bitmaps.
 */
export interface RegionOptions<B extends Bitmap = Bitmap> {
  /**
   * Makes the bitmap of a region of `length` bytes at a guest address, which is 0 for a mapping
   * that has no guest address yet. By default writes are not tracked.
   */
  readonly bitmap?: (length: number, startAddr: GuestAddress) => B;
}

/**
 * A region whose content is one slice of host memory, with a reference count. The base of
 * {@linkcode GuestRegionMmap} and {@linkcode GuestRegionHeap}, and of custom regions.
 *
 * @typeParam B The kind of its bitmap.
 *
 * @example Firmware, from the bytes of its image
 * ```ts
 * import {
 *   GuestAddress,
 *   HostRegion,
 *   MemoryRegionAddress,
 *   u8,
 *   VolatileSlice,
 * } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * class FirmwareRegion extends HostRegion {
 *   constructor(image: Uint8Array) {
 *     super(GuestAddress(2 ** 32 - image.length), VolatileSlice.from(image));
 *   }
 * }
 *
 * const region = new FirmwareRegion(Uint8Array.of(1, 2, 3));
 * assertEquals(region.readObj(u8, MemoryRegionAddress(2)), 3);
 * ```
 */
export class HostRegion<B extends Bitmap = Bitmap> extends GuestMemoryRegion implements Disposable {
  /** The guest physical address of the first byte. */
  readonly startAddr: GuestAddress;
  /** Bytes. */
  readonly len: GuestUsize;
  readonly #slice: VolatileSlice;
  readonly #references: RefCount;

  /**
   * Gives a slice a guest address.
   *
   * @param startAddr The guest address of its first byte.
   * @param slice The region's content.
   * @param onRelease Called once, after the last reference.
   */
  constructor(startAddr: GuestAddress, slice: VolatileSlice, onRelease: () => void = () => {}) {
    super();
    checkNumber("startAddr", startAddr);
    this.startAddr = GuestAddress(startAddr);
    this.len = slice.len;
    this.#slice = slice;
    this.#references = new RefCount("region", onRelease);
  }

  /** What records writes: for a slice from the start of a bitmap, that bitmap itself. */
  get bitmap(): B {
    return this.#slice.bitmap as B;
  }

  /**
   * All of the region's memory, for accesses without calling the region. `undefined` if a derived
   * class overrides an access.
   */
  override get hostSlice(): VolatileSlice | undefined {
    const asked = ACCESSES.some((name) => this[name] !== HostRegion.prototype[name]);
    return asked ? undefined : this.#slice;
  }

  /** Whether the last reference is gone. */
  get closed(): boolean {
    return this.#references.released;
  }

  /** A part of the region's memory. */
  override getSlice(offset: MemoryRegionAddress, count: number): VolatileSlice {
    return this.#slice.getSlice(offset, count);
  }

  /** All of the region's memory. */
  override asVolatileSlice(): VolatileSlice {
    return this.#slice;
  }

  /** Adds a reference. */
  override retain(): void {
    this.#references.retain();
  }

  /** Removes a reference. */
  override release(): void {
    this.#references.release();
  }

  /** Ends the owner's reference, now that a map has one. */
  override onInserted(): void {
    this.#references.close();
  }

  /** Makes the caller that removed the region from a map its owner. */
  override onRemoved(): void {
    this.#references.own();
  }

  /**
   * Ends the owner's reference. A region in no map is closed now; otherwise the last map that
   * contains it closes it. Closing again does nothing.
   */
  close(): void {
    this.#references.close();
  }

  /** The same as {@linkcode HostRegion.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

const ACCESSES = Object.getOwnPropertyNames(GuestMemoryRegionBytes.prototype)
  .filter((name) =>
    name !== "constructor" && name !== "hostSlice"
  ) as (keyof GuestMemoryRegionBytes)[];
