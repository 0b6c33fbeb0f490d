/**
 * Guest memory on JavaScript's own heap: for tests, other runtimes, and to compare with.
 *
 * @module
 */
import type { GuestAddress, GuestUsize, MemoryRegionAddress } from "./address.ts";
import { type Bitmap, NoBitmap } from "./bitmap/bitmap.ts";
import { Holds } from "./holds.ts";
import { HostMemory } from "./host_memory.ts";
import { GuestMemoryRegion } from "./region.ts";
import { GuestRegionCollection } from "./region_collection.ts";
import { toGuestMemoryError } from "./volatile_memory_error.ts";
import { VolatileSlice } from "./volatile_slice.ts";

/** How the regions of a memory are made, whatever they consist of. */
export interface RegionOptions {
  /**
   * Makes the bitmap of a region of `length` bytes at a guest address, which is 0 for a mapping
   * that has no place yet. By default writes are not tracked.
   */
  readonly bitmap?: (length: number, startAddr: GuestAddress) => Bitmap;
}

/** How a region on the heap is made. */
export interface HeapOptions extends RegionOptions {
  /** Whether it is a `SharedArrayBuffer`, which Workers can share. */
  readonly shared?: boolean;
}

/**
 * A region in an `ArrayBuffer` or a `SharedArrayBuffer`. It has no host address.
 *
 * @example Over a buffer of the caller's
 * ```ts
 * import { GuestAddress, GuestRegionHeap, MemoryRegionAddress, u8 } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const buffer = new SharedArrayBuffer(0x1000);
 * using region = new GuestRegionHeap(GuestAddress(0x8000), buffer);
 * region.writeObj(u8, 7, MemoryRegionAddress(1));
 * assertEquals(new Uint8Array(buffer)[1], 7);
 * ```
 */
export class GuestRegionHeap extends GuestMemoryRegion implements Disposable {
  /** The guest physical address of the first byte. */
  readonly startAddr: GuestAddress;
  /** Bytes. */
  readonly len: GuestUsize;
  /** The buffer that holds the region. */
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
  readonly #slice: VolatileSlice;
  readonly #holds: Holds;

  /**
   * Makes a region.
   *
   * @param startAddr The guest address of the first byte.
   * @param memory The number of bytes, or a buffer that holds them.
   * @param options How it is made.
   */
  constructor(
    startAddr: GuestAddress,
    memory: number | ArrayBuffer | SharedArrayBuffer,
    options: HeapOptions = {},
  ) {
    super();
    const Buffer = options.shared ? SharedArrayBuffer : ArrayBuffer;
    this.startAddr = startAddr;
    this.buffer = typeof memory === "number" ? new Buffer(memory) : memory;
    this.len = this.buffer.byteLength;
    const host = new HostMemory(this.buffer);
    const bitmap = options.bitmap?.(this.len, startAddr) ?? NoBitmap;
    this.#slice = new VolatileSlice(host, 0, this.len, bitmap);
    this.#holds = new Holds("region", () => host.close());
  }

  /** Who is told of writes. */
  get bitmap(): Bitmap {
    return this.#slice.bitmap;
  }

  /** All of the region's memory. */
  override asVolatileSlice(): VolatileSlice {
    return this.#slice;
  }

  /** A part of the region's memory. */
  override getSlice(offset: MemoryRegionAddress, count: number): VolatileSlice {
    try {
      return this.#slice.getSlice(offset, count);
    } catch (error) {
      throw toGuestMemoryError(error);
    }
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

  /** The same as {@linkcode GuestRegionHeap.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** What `toString` says of the region beyond its range. */
  protected override describe(): string {
    const kind = this.buffer instanceof ArrayBuffer ? " heap" : " shared heap";
    return this.#holds.released ? `${kind} (closed)` : kind;
  }
}

/** Guest memory on the heap. */
export type GuestMemoryHeap = GuestRegionCollection<GuestRegionHeap>;

/**
 * Makes guest memory on the heap, with the same names as {@linkcode GuestMemoryMmap}.
 *
 * @example
 * ```ts
 * import { GuestAddress, GuestMemoryHeap, u32 } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const memory = GuestMemoryHeap.fromRanges([
 *   [GuestAddress(0), 0x1000],
 *   [GuestAddress(0x1000), 0x1000],
 * ]);
 * memory.writeObj(u32, 0x12345678, GuestAddress(0xffe));
 * assertEquals(memory.readObj(u32, GuestAddress(0xffe)), 0x12345678);
 * ```
 */
export const GuestMemoryHeap: {
  /**
   * Makes memory of zeroed regions.
   *
   * @param ranges Each region's start and size in bytes, by rising start.
   * @param options How the regions are made.
   */
  fromRanges(
    ranges: Iterable<readonly [GuestAddress, GuestUsize]>,
    options?: HeapOptions,
  ): GuestMemoryHeap;
} = {
  fromRanges: (ranges, options) =>
    GuestRegionCollection.fromRegions(
      Array.from(ranges, ([start, size]) => new GuestRegionHeap(start, size, options)),
    ),
};
