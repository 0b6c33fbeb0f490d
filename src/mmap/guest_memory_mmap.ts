/**
 * Guest memory in mappings.
 *
 * @module
 */
import { findRoom } from "../../ffi/memory.ts";
import type { GuestAddress, GuestUsize } from "../address.ts";
import { GuestRegionCollection } from "../region_collection.ts";
import type { FileOffset } from "./file_offset.ts";
import { GuestRegionMmap } from "./guest_region_mmap.ts";
import { type MmapOptions, MmapRegion, type MmapRegionHandle } from "./mmap_region.ts";

/** Guest memory in mappings. Mirrors `GuestMemoryMmap`. */
export type GuestMemoryMmap = GuestRegionCollection<GuestRegionMmap>;

/**
 * Makes guest memory in mappings. Mirrors the functions of `GuestMemoryMmap`.
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
   * Maps anonymous memory for each range. Ranges that adjoin are mapped side by side if there is room,
   * so that an access from one to the next is one copy.
   *
   * @param ranges Each region's start and size in bytes, by rising start.
   * @param options How they are mapped: see {@linkcode MmapRegion}, whose errors it throws.
   * @throws {GuestRegionCollectionError} There is no range, or they are unsorted or overlap.
   */
  fromRanges(
    ranges: Iterable<readonly [GuestAddress, GuestUsize]>,
    options?: MmapOptions,
  ): GuestMemoryMmap;
  /**
   * Maps a file, or anonymous memory, for each range.
   *
   * @param ranges Each region's start, size in bytes, and file if there is one, by rising start.
   * @param options How they are mapped.
   * @throws {GuestRegionCollectionError} There is no range, or they are unsorted or overlap.
   */
  fromRangesWithFiles(
    ranges: Iterable<readonly [GuestAddress, GuestUsize, (FileOffset | undefined)?]>,
    options?: MmapOptions,
  ): GuestMemoryMmap;
  /**
   * Takes regions that are mapped already: see {@linkcode GuestRegionCollection.fromRegions}.
   *
   * @param regions The regions by rising start.
   */
  fromRegions(regions: readonly GuestRegionMmap[]): GuestMemoryMmap;
  /**
   * A handle of a memory for another thread of the program, to be sent with `postMessage`. It holds
   * every region until it is attached; see {@linkcode MmapRegion.share}.
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
      // Nobody will attach these: they must not hold their mappings for ever.
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

function mapAll(ranges: Iterable<MmapRange>, options: MmapOptions = {}): GuestMemoryMmap {
  const regions: GuestRegionMmap[] = [];
  const list = [...ranges];
  let run = findRun(list, 0);
  try {
    for (const [i, [start, size, file]] of list.entries()) {
      if (i === run.end) run = findRun(list, i);
      // At 0, the kernel chooses.
      const hint = BigInt(run.room === 0 ? 0 : run.room + (start - run.startAddr));
      regions.push(GuestRegionMmap.fromRange(start, size, { ...options, file, hint }));
    }
    return GuestRegionCollection.fromRegions(regions);
  } catch (error) {
    for (const region of regions) region.close();
    throw error;
  }
}

/** Ranges that adjoin in the guest. */
interface Run {
  /** Where the first begins. */
  readonly startAddr: GuestAddress;
  /** The index after that of the last. */
  readonly end: number;
  /** Where in the host there is room for all, side by side; 0 for one range by itself. */
  readonly room: number;
}

// Those that adjoin in the guest adjoin in the host too, so that an access over the place where two
// meet is one.
function findRun(ranges: readonly MmapRange[], first: number): Run {
  const startAddr = ranges[first]?.[0] ?? 0 as GuestAddress;
  let addr: number = startAddr;
  let end = first;
  while (end < ranges.length && (end === first || ranges[end]![0] === addr)) {
    addr += ranges[end++]![1];
  }
  return { startAddr, end, room: end - first > 1 ? findRoom(addr - startAddr) : 0 };
}
