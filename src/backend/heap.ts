/**
 * Guest memory on the JavaScript heap: for tests, other runtimes and comparisons.
 *
 * @module
 */
import type { GuestAddress, GuestUsize } from "../address.ts";
import { type Bitmap, NoBitmap } from "../bitmap/bitmap.ts";
import { HostMemory } from "../host/host_memory.ts";
import { HostRegion, type RegionOptions } from "../guest/host_region.ts";
import { GuestRegionCollection } from "../guest/region_collection.ts";
import { VolatileSlice } from "../volatile/volatile_slice.ts";

/** How a region on the heap is made. */
export interface HeapOptions<B extends Bitmap = Bitmap> extends RegionOptions<B> {
  /** Whether it is a `SharedArrayBuffer`, which Workers can share. */
  readonly shared?: boolean;
}

/**
 * A region in an `ArrayBuffer` or a `SharedArrayBuffer`. It has no host address. When the buffer is
 * transferred, or shrunk below the size of the region, accesses throw {@linkcode MemoryClosed}.
 *
 * @typeParam B The kind of its bitmap: what the option `bitmap` returns.
 *
 * @example Over an existing buffer
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
export class GuestRegionHeap<B extends Bitmap = Bitmap> extends HostRegion<B> {
  /** The buffer with the region's bytes. */
  readonly buffer: ArrayBuffer | SharedArrayBuffer;

  /**
   * Makes a region.
   *
   * @param startAddr The guest address of the first byte.
   * @param memory The number of bytes, or a buffer.
   * @param options How it is made.
   * @throws {TypeError} It is to be shared, and this page has no `SharedArrayBuffer`.
   */
  constructor(
    startAddr: GuestAddress,
    memory: number | ArrayBuffer | SharedArrayBuffer,
    options: HeapOptions<B> = {},
  ) {
    const buffer = typeof memory === "number" ? makeBuffer(memory, options.shared) : memory;
    const host = new HostMemory(buffer);
    const { length } = host.u8;
    const bitmap = options.bitmap?.(length, startAddr) ?? NoBitmap;
    super(startAddr, new VolatileSlice(host, 0, length, bitmap), () => host.close());
    this.buffer = buffer;
  }

  /** What `toString` shows after the region's range. */
  protected override describe(): string {
    const kind = this.buffer instanceof ArrayBuffer ? " heap" : " shared heap";
    return this.closed ? `${kind} (closed)` : kind;
  }
}

function makeBuffer(
  length: number,
  shared: boolean | undefined,
): ArrayBuffer | SharedArrayBuffer {
  if (!shared) return new ArrayBuffer(length);
  if (typeof SharedArrayBuffer === "undefined") {
    throw new TypeError("Cannot share memory: the page has to be cross-origin isolated for that");
  }
  return new SharedArrayBuffer(length);
}

/** Guest memory on the heap. */
export type GuestMemoryHeap<B extends Bitmap = Bitmap> = GuestRegionCollection<GuestRegionHeap<B>>;

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
  fromRanges<B extends Bitmap = Bitmap>(
    ranges: Iterable<readonly [GuestAddress, GuestUsize]>,
    options?: HeapOptions<B>,
  ): GuestMemoryHeap<B>;
} = {
  fromRanges: (ranges, options) =>
    GuestRegionCollection.fromRegions(
      Array.from(ranges, ([start, size]) => new GuestRegionHeap(start, size, options)),
    ),
};
