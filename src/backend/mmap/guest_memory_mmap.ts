/**
 * Guest memory in mappings.
 *
 * @module
 */
import type { OpenFile } from "../../../ffi/descriptor_of.ts";
import type { GuestAddress, GuestUsize } from "../../address.ts";
import { type Bitmap, NoBitmap } from "../../bitmap/bitmap.ts";
import { InvalidGuestAddress } from "../../error/guest_memory_error.ts";
import type { GuestMemoryRegion } from "../../guest/region.ts";
import { GuestRegionCollection } from "../../guest/region_collection.ts";
import { checkCount, checkNumber } from "../../text/argument.ts";
import { Backing } from "./backing.ts";
import type { FileOffset } from "./file_offset.ts";
import { GuestRegionMmap } from "./guest_region_mmap.ts";
import { mapAll } from "./map_memory.ts";
import { MappedMemory, mappingOf } from "./mapped_memory.ts";
import type { Mapping } from "./mapping.ts";
import type { MmapRegionHandle } from "./mmap_handle.ts";
import { type MappingPlan, type MmapOptions, readOptions } from "./mmap_options.ts";
import { memoryOf, MmapRegion, regionOver } from "./mmap_region.ts";
import { prefaultAll, type PrefaultOptions } from "./prefault.ts";
import { descriptionOf, rangesOf, type RegionDescription } from "./region_description.ts";

/** A range of a guest to map: its start, its bytes, and options that only it has. */
export type MmapRange<B extends Bitmap = Bitmap> = readonly [
  startAddr: GuestAddress,
  size: GuestUsize,
  options?: MmapOptions<B>,
];

/** Guest memory on its way to another thread: each region's start and mapping. */
export type GuestMemoryHandle = readonly {
  readonly startAddr: GuestAddress;
  readonly mapping: MmapRegionHandle;
}[];

/**
 * Guest memory in mappings. Mirrors `GuestMemoryMmap`.
 *
 * @typeParam B The kind of its bitmaps.
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
export class GuestMemoryMmap<B extends Bitmap = Bitmap>
  extends GuestRegionCollection<GuestRegionMmap<B>> {
  /**
   * Maps memory for each range: all of them, or none. Ranges that are adjacent in the guest are so
   * in the host too, so that an access across their boundary is one copy. A host address is a
   * multiple of 2 MiB where ranges that are adjacent have as much.
   *
   * @param ranges Each region's start and size in bytes, by rising start, and options of its own.
   * @param options How they are mapped: see {@linkcode MmapRegion}, whose errors it throws.
   * @throws {GuestRegionCollectionError} There is no range, or they are unsorted or overlap.
   */
  static fromRanges<B extends Bitmap = Bitmap>(
    ranges: Iterable<MmapRange<B>>,
    options: MmapOptions<B> = {},
  ): GuestMemoryMmap<B> {
    const { bitmap } = options;
    const base = readOptions(options);
    return mapRanges([...ranges].map(([startAddr, size, own]) => {
      const makeBitmap = own?.bitmap ?? bitmap;
      return { startAddr, size, plan: own ? readOptions(own, base) : base, bitmap: makeBitmap };
    }));
  }

  /**
   * Maps a file, shared, or what the options say, for each range.
   *
   * @param ranges Each region's start, size in bytes, and file if there is one, by rising start.
   * @param options How they are mapped.
   * @throws {GuestRegionCollectionError} There is no range, or they are unsorted or overlap.
   */
  static fromRangesWithFiles<B extends Bitmap = Bitmap>(
    ranges: Iterable<readonly [GuestAddress, GuestUsize, (FileOffset | undefined)?]>,
    options: MmapOptions<B> = {},
  ): GuestMemoryMmap<B> {
    const withBackings = [...ranges].map(([startAddr, size, file]): MmapRange<B> =>
      file === undefined ? [startAddr, size] : [startAddr, size, { backing: Backing.file(file) }]
    );
    return GuestMemoryMmap.fromRanges(withBackings, options);
  }

  /**
   * Takes regions that are mapped already: see {@linkcode GuestRegionCollection.fromRegions}.
   *
   * @param regions The regions by rising start.
   */
  static override fromRegions<B extends Bitmap>(
    regions: readonly GuestRegionMmap<B>[],
  ): GuestMemoryMmap<B>;
  /** Takes regions of other kinds too, as {@linkcode GuestRegionCollection.fromRegions} does. */
  static override fromRegions<R extends GuestMemoryRegion>(
    regions: readonly R[],
  ): GuestRegionCollection<R>;
  static override fromRegions(
    regions: readonly GuestMemoryRegion[],
  ): GuestRegionCollection {
    const all = [...regions];
    const isMapped = all.length > 0 && all.every((region) => region instanceof GuestRegionMmap);
    if (!isMapped) return GuestRegionCollection.fromRegions(all);
    const memory = new GuestMemoryMmap(all);
    for (const region of all) region.onInserted();
    return memory;
  }

  /**
   * Maps memory that another process described, by descriptors that it sent or that were opened
   * under `/proc/PID/fd`: the same bytes at the same guest addresses.
   *
   * @param descriptions What {@linkcode GuestMemoryMmap.describe} returned there.
   * @param files The descriptors, one for each number that is in the descriptions, in the order in
   * which the numbers appear there: regions of the same file have the same number. They may be closed
   * afterwards.
   * @param options How the memory is mapped.
   * @throws {TypeError} A description has no descriptor, as of anonymous memory, or a wrong kind.
   * @throws {RangeError} There are fewer descriptors, or more, than numbers.
   * @throws {MappingPastEof} A file is shorter than its description says.
   */
  static fromDescription<B extends Bitmap = Bitmap>(
    descriptions: readonly RegionDescription[],
    files: readonly OpenFile[],
    options: Omit<MmapOptions<B>, "backing"> = {},
  ): GuestMemoryMmap<B> {
    return GuestMemoryMmap.fromRangesWithFiles(rangesOf(descriptions, files), options);
  }

  /**
   * Attaches memory that another thread shared: the same regions at the same addresses.
   *
   * @param handle What the other thread sent. It can be used once.
   * @param bitmap Makes a bitmap of this thread for each region, from its start,
   * in place of the one that the other thread has: the dirty log of a vhost-user device, say.
   * @returns The memory, to be closed by itself. What it maps is unmapped when every thread has
   * closed it.
   * @throws {MemoryClosed} The handle, or a copy of it, was used already.
   * @throws {InvalidHandle} It was altered, or is of another process. None of the memory
   * is held by it afterwards.
   */
  static attach(
    handle: GuestMemoryHandle,
    bitmap?: (startAddr: GuestAddress) => Bitmap,
  ): GuestMemoryMmap {
    const entries = [...handle];
    const regions: GuestRegionMmap[] = [];
    try {
      for (const { startAddr, mapping } of entries) {
        regions.push(placed(MmapRegion.attach(mapping, bitmap?.(startAddr)), startAddr));
      }
      return GuestMemoryMmap.fromRegions(regions);
    } catch (error) {
      for (const region of regions) region.close();
      // What the rest of the handle holds has to be given back too.
      for (const entry of entries.slice(regions.length)) giveBack(entry?.mapping);
      throw error;
    }
  }

  /**
   * A handle of the memory for another thread of the program, to be sent with `postMessage`. It has
   * a reference to every mapping until it is attached; see {@linkcode MmapRegion.share}.
   *
   * @returns The handle: one for each thread.
   */
  share(): GuestMemoryHandle {
    const handles: GuestMemoryHandle[number][] = [];
    try {
      for (const { startAddr, mmap } of this) handles.push({ startAddr, mapping: mmap.share() });
      return handles;
    } catch (error) {
      // Nobody will attach these: they must not keep their mappings for ever.
      for (const { mapping } of handles) MmapRegion.attach(mapping).close();
      throw error;
    }
  }

  /**
   * What each region is, for another process: as numbers and text, which JSON can take. Asking keeps
   * the memory mapped until it is closed, as asking for a host address does.
   *
   * @returns The descriptions by rising address. Send the descriptors they name with them, as by
   * {@linkcode UnixSocket.send}.
   */
  describe(): RegionDescription[] {
    return [...this].map((region) => descriptionOf(region, mappingOf(memoryOf(region.mmap))));
  }

  /**
   * Gives the whole pages inside a range back to the host: see {@linkcode MmapRegion.discard}. Holes
   * are passed over.
   *
   * @param addr The guest address of the first byte.
   * @param count Bytes.
   * @returns Bytes that were given back.
   */
  discard(addr: GuestAddress, count: number): number {
    let givenBack = 0;
    for (const { mmap, offset, length } of this.#partsOf(addr, count)) {
      givenBack += mmap.discard(offset, length);
    }
    return givenBack;
  }

  /**
   * Takes all pages of all regions now: see {@linkcode MmapRegion.prefault}.
   *
   * @param options How.
   */
  async prefault(options: PrefaultOptions = {}): Promise<void> {
    await prefaultAll([...this].map(({ mmap }) => mappingOf(memoryOf(mmap))), options);
  }

  /**
   * Sets bytes, and marks them dirty: see {@linkcode MmapRegion.fill}.
   *
   * @param addr The guest address of the first byte.
   * @param count Bytes.
   * @param value The value of each byte, from 0 to 255.
   * @throws {InvalidGuestAddress} A byte is in no region. Nothing is set then.
   */
  fill(addr: GuestAddress, count: number, value: number): void {
    for (const { mmap, offset, length } of this.#allPartsOf(addr, count)) {
      mmap.fill(offset, length, value);
    }
  }

  /**
   * Whether bytes are all zero: see {@linkcode MmapRegion.isZero}.
   *
   * @param addr The guest address of the first byte.
   * @param count Bytes.
   * @throws {InvalidGuestAddress} A byte is in no region.
   */
  isZero(addr: GuestAddress, count: number): boolean {
    const parts = this.#allPartsOf(addr, count);
    return parts.every(({ mmap, offset, length }) => mmap.isZero(offset, length));
  }

  /**
   * Writes the changes of all shared mappings back to their files: see {@linkcode MmapRegion.flush}.
   *
   * @param wait Whether to return only when the files have them.
   */
  flush(wait: boolean = true): void {
    for (const { mmap } of this) mmap.flush(wait);
  }

  /**
   * The ranges that are in the host's RAM: see {@linkcode MmapRegion.residentRanges}.
   *
   * @returns Guest addresses and bytes, in order.
   */
  residentRanges(): [startAddr: GuestAddress, length: number][] {
    return [...this].flatMap(({ startAddr, mmap }) =>
      mmap.residentRanges().map(([offset, length]): [GuestAddress, number] => [
        startAddr + offset as GuestAddress,
        length,
      ])
    );
  }

  /** The memory with one more region: see {@linkcode GuestRegionCollection.insertRegion}. */
  override insertRegion(region: GuestRegionMmap<B>): GuestMemoryMmap<B> {
    return super.insertRegion(region) as GuestMemoryMmap<B>;
  }

  /** The memory without a region: see {@linkcode GuestRegionCollection.removeRegion}. */
  override removeRegion(
    base: GuestAddress,
    size: GuestUsize,
  ): [GuestMemoryMmap<B>, GuestRegionMmap<B>] {
    return super.removeRegion(base, size) as [GuestMemoryMmap<B>, GuestRegionMmap<B>];
  }

  /** A memory of other regions. */
  protected override withRegions(regions: readonly GuestRegionMmap<B>[]): GuestMemoryMmap<B> {
    return new GuestMemoryMmap(regions);
  }

  // The parts of a range that are in regions.
  #partsOf(addr: GuestAddress, count: number): Part[] {
    checkNumber("addr", addr);
    checkCount(count);
    const end = addr + count;
    return [...this].flatMap(({ startAddr, len, mmap }) => {
      const from = Math.max(addr, startAddr);
      const to = Math.min(end, startAddr + len);
      return from < to ? [{ mmap, from, offset: from - startAddr, length: to - from }] : [];
    });
  }

  // The parts of a range that is in regions with all its bytes.
  #allPartsOf(addr: GuestAddress, count: number): Part[] {
    const parts = this.#partsOf(addr, count);
    let at: number = addr;
    for (const { from, length } of parts) {
      if (from !== at) break;
      at += length;
    }
    if (at !== addr + count) throw new InvalidGuestAddress(at as GuestAddress);
    return parts;
  }
}

/** A part of a range. */
interface Part {
  readonly mmap: MmapRegion;
  /** The guest address of its first byte. */
  readonly from: number;
  /** Where it begins in the region. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

/** A range with its options, as they were read. */
interface Range<B extends Bitmap> {
  readonly startAddr: GuestAddress;
  readonly size: GuestUsize;
  readonly plan: MappingPlan;
  readonly bitmap: MmapOptions<B>["bitmap"];
}

function mapRanges<B extends Bitmap>(ranges: readonly Range<B>[]): GuestMemoryMmap<B> {
  // The bitmaps come first: a failure of the caller's function must not leave mappings behind.
  const bitmaps = ranges.map(({ bitmap, size, startAddr }) =>
    bitmap?.(size, startAddr) ?? NoBitmap
  );
  const mappings: Mapping[] = mapAll(ranges);
  const regions: GuestRegionMmap<B>[] = [];
  try {
    for (const [i, { startAddr, plan }] of ranges.entries()) {
      const file = plan.backing.kind === "file" ? plan.backing.file : undefined;
      const memory = new MappedMemory(mappings[i]!);
      regions.push(placed(regionOver(memory, bitmaps[i] as B, file), startAddr));
    }
    return GuestMemoryMmap.fromRegions(regions);
  } catch (error) {
    for (const region of regions) region.close();
    for (const mapping of mappings.slice(regions.length)) mapping.release();
    throw error;
  }
}

function placed<B extends Bitmap>(
  mmap: MmapRegion<B>,
  startAddr: GuestAddress,
): GuestRegionMmap<B> {
  try {
    return new GuestRegionMmap(mmap, startAddr);
  } catch (error) {
    mmap.close();
    throw error;
  }
}

function giveBack(handle: MmapRegionHandle): void {
  try {
    MmapRegion.attach(handle).close();
  } catch {
    // It holds nothing: it was used, altered, or is the one that failed.
  }
}
