/**
 * A region whose content is in host memory.
 *
 * @module
 */
import type { GuestAddress, GuestUsize, MemoryRegionAddress } from "./address.ts";
import type { Bitmap } from "./bitmap/bitmap.ts";
import { Holds } from "./holds.ts";
import { GuestMemoryRegion } from "./region.ts";
import { toGuestMemoryError } from "./volatile_memory_error.ts";
import type { VolatileSlice } from "./volatile_slice.ts";

/** How the regions of a memory are made, whatever they consist of. */
export interface RegionOptions {
  /**
   * Makes the bitmap of a region of `length` bytes at a guest address, which is 0 for a mapping
   * that has no place yet. By default writes are not tracked.
   */
  readonly bitmap?: (length: number, startAddr: GuestAddress) => Bitmap;
}

/**
 * A region whose content is one slice of host memory, with counted holders. The base of
 * {@linkcode GuestRegionMmap} and {@linkcode GuestRegionHeap}, and of regions of your own.
 *
 * @example Firmware, from the bytes of its image
 * ```ts
 * import { GuestAddress, HostRegion, MemoryRegionAddress, u8, VolatileSlice } from "@vmm/guest-memory";
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
export class HostRegion extends GuestMemoryRegion implements Disposable {
  /** The guest physical address of the first byte. */
  readonly startAddr: GuestAddress;
  /** Bytes. */
  readonly len: GuestUsize;
  readonly #slice: VolatileSlice;
  readonly #holds: Holds;

  /**
   * Gives a slice a place.
   *
   * @param startAddr The guest address of its first byte.
   * @param slice The region's content.
   * @param onRelease Called once, when nobody holds the region any more.
   */
  constructor(startAddr: GuestAddress, slice: VolatileSlice, onRelease: () => void = () => {}) {
    super();
    this.startAddr = startAddr;
    this.len = slice.len;
    this.#slice = slice;
    this.#holds = new Holds("region", onRelease);
  }

  /** Who is told of writes. */
  get bitmap(): Bitmap {
    return this.#slice.bitmap;
  }

  /** Whether nobody holds the region any more. */
  get closed(): boolean {
    return this.#holds.released;
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

  /** The same as {@linkcode HostRegion.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}
