/**
 * Guest memory in mappings.
 *
 * @module
 */
import { findFreeRange } from "../../../ffi/memory.ts";
import type { GuestAddress, GuestUsize } from "../../address.ts";
import type { Bitmap } from "../../bitmap/bitmap.ts";
import { GuestRegionCollection } from "../../guest/region_collection.ts";
import type { FileOffset } from "./file_offset.ts";
import { GuestRegionMmap } from "./guest_region_mmap.ts";
import type { MmapRegionHandle } from "./mmap_handle.ts";
import type { MmapOptions } from "./mmap_options.ts";
import { MmapRegion } from "./mmap_region.ts";

/** Guest memory in mappings. Mirrors `GuestMemoryMmap`. */
export type GuestMemoryMmap<B extends Bitmap = Bitmap> = GuestRegionCollection<GuestRegionMmap<B>>;

/**
 * Makes guest memory in mappings. Mirrors the functions of `GuestMemoryMmap`. The memory is a
 * {@linkcode GuestRegionCollection}: there is no class of this name for `instanceof`.
 *
 * @example
 * ```ts
 * import { GuestAddress, GuestMemoryMmap, u64 } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = GuestMemoryMmap.fromRanges([
 *   [GuestAddress(0), 3 * 2 ** 30],
 *   [GuestAddress(2 ** 32), 2 ** 30],
 * ]);
 * memory.writeObj(u64, 42n, GuestAddress(2 ** 32 + 8));
 * assertEquals(memory.readObj(u64, GuestAddress(2 ** 32 + 8)), 42n);
 * assertEquals(memory.findRegion(GuestAddress(2 ** 32 - 1)), undefined);
 * ```
 */
export const GuestMemoryMmap: {
  /**
   * Maps anonymous memory for each range. Adjacent ranges are mapped adjacent in the host too if
   * possible, so that an access across their boundary is one copy.
   *
   * @param ranges Each region's start and size in bytes, by rising start.
   * @param options How they are mapped: see {@linkcode MmapRegion}, whose errors it throws.
   * @throws {GuestRegionCollectionError} There is no range, or they are unsorted or overlap.
   */
  fromRanges<B extends Bitmap = Bitmap>(
    ranges: Iterable<readonly [GuestAddress, GuestUsize]>,
    options?: MmapOptions<B>,
  ): GuestMemoryMmap<B>;
  /**
   * Maps a file, or anonymous memory, for each range.
   *
   * @param ranges Each region's start, size in bytes, and file if there is one, by rising start.
   * @param options How they are mapped.
   * @throws {GuestRegionCollectionError} There is no range, or they are unsorted or overlap.
   */
  fromRangesWithFiles<B extends Bitmap = Bitmap>(
    ranges: Iterable<readonly [GuestAddress, GuestUsize, (FileOffset | undefined)?]>,
    options?: MmapOptions<B>,
  ): GuestMemoryMmap<B>;
  /**
   * Takes regions that are mapped already: see {@linkcode GuestRegionCollection.fromRegions}.
   *
   * @param regions The regions by rising start.
   */
  fromRegions<B extends Bitmap = Bitmap>(
    regions: readonly GuestRegionMmap<B>[],
  ): GuestMemoryMmap<B>;
  /**
   * A handle of a memory for another thread of the program, to be sent with `postMessage`. It has a
   * reference to every mapping until it is attached; see {@linkcode MmapRegion.share}.
   *
   * @param memory The memory.
   * @returns The handle: one for each thread.
   */
  share(memory: GuestMemoryMmap): GuestMemoryHandle;
  /**
   * Attaches memory that another thread shared: the same regions at the same addresses.
   *
   * @param handle What the other thread sent. It can be used once.
   * @returns The memory, to be closed by itself. What it maps is unmapped when every thread has
   * closed it.
   * @throws {MemoryClosed} The handle was used already.
   */
  attach(handle: GuestMemoryHandle): GuestMemoryMmap;
} = {
  fromRanges: (ranges, options) => mapAll(ranges, options),
  fromRangesWithFiles: (ranges, options) => mapAll(ranges, options),
  fromRegions: (regions) => GuestRegionCollection.fromRegions(regions),
  share: (memory) => {
    const handles: GuestMemoryHandle[number][] = [];
    try {
      for (const { startAddr, mmap } of memory) handles.push({ startAddr, mapping: mmap.share() });
      return handles;
    } catch (error) {
      // Nobody will attach these: they must not keep their mappings for ever.
      for (const { mapping } of handles) MmapRegion.attach(mapping).close();
      throw error;
    }
  },
  attach: (handle) => {
    const regions: GuestRegionMmap[] = [];
    try {
      for (const { startAddr, mapping } of handle) {
        regions.push(new GuestRegionMmap(MmapRegion.attach(mapping), startAddr));
      }
      return GuestRegionCollection.fromRegions(regions);
    } catch (error) {
      for (const region of regions) region.close();
      throw error;
    }
  },
};

/** Guest memory on its way to another thread: each region's start and mapping. */
export type GuestMemoryHandle = readonly {
  readonly startAddr: GuestAddress;
  readonly mapping: MmapRegionHandle;
}[];

type MmapRange = readonly [GuestAddress, GuestUsize, (FileOffset | undefined)?];

function mapAll<B extends Bitmap>(
  ranges: Iterable<MmapRange>,
  options: MmapOptions<B> = {},
): GuestMemoryMmap<B> {
  const regions: GuestRegionMmap<B>[] = [];
  const list = [...ranges];
  let group = findAdjacentGroup(list, 0);
  try {
    for (const [i, [start, size, file]] of list.entries()) {
      if (i === group.end) group = findAdjacentGroup(list, i);
      const { hostAddress, startAddr } = group;
      const hint = BigInt(hostAddress === 0 ? 0 : hostAddress + (start - startAddr));
      regions.push(GuestRegionMmap.fromRange(start, size, { ...options, file, hint }));
    }
    return GuestRegionCollection.fromRegions(regions);
  } catch (error) {
    for (const region of regions) region.close();
    throw error;
  }
}

/** Ranges that are adjacent in the guest. */
interface AdjacentGroup {
  /** Where the first begins. */
  readonly startAddr: GuestAddress;
  /** The index after that of the last. */
  readonly end: number;
  /** Where in the host all of them can be mapped, adjacent; 0 leaves the choice to the kernel. */
  readonly hostAddress: number;
}

// Ranges that are adjacent in the guest are mapped adjacent in the host too, so that an access
// across the boundary is one access.
function findAdjacentGroup(ranges: readonly MmapRange[], first: number): AdjacentGroup {
  const startAddr = ranges[first]?.[0] ?? 0 as GuestAddress;
  let addr: number = startAddr;
  let end = first;
  while (end < ranges.length && (end === first || ranges[end]![0] === addr)) {
    addr += ranges[end++]![1];
  }
  const hostAddress = end - first > 1 ? findFreeRange(addr - startAddr) : 0;
  return { startAddr, end, hostAddress };
}
