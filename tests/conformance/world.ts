/**
 * The memory of a layout, and what a trace says of its state.
 *
 * @module
 */
import {
  AtomicBitmap,
  GuestMemoryHeap,
  GuestMemoryMmap,
  type GuestMemoryRegion,
  type GuestRegionCollection,
  MemoryRegionAddress,
  type RegionOptions,
  type VolatileSlice,
} from "@vmm/guest-memory";
import { pattern, sha256 } from "./pattern.ts";
import { guestAddressOf, type Json, type JsonObject, listOf, numberOf } from "./trace.ts";

/** What the memory of a layout is made of. */
export type Backend = "mmap" | "heap";

/** A stretch of one region. */
export interface Piece {
  /** The region's index. */
  readonly k: number;
  readonly offset: number;
  readonly length: number;
}

/** The memory of a layout. */
export class World implements Disposable {
  readonly backend: Backend;
  readonly memory: GuestRegionCollection<GuestMemoryRegion>;
  readonly regions: readonly GuestMemoryRegion[];
  /** Each region's bitmap; none where the layout has no bitmaps. */
  readonly bitmaps: readonly AtomicBitmap[];

  /** Builds the memory that a layout's line describes. */
  constructor(setup: JsonObject, backend: Backend) {
    const bitmaps: AtomicBitmap[] = [];
    const page = setup["page"] ?? null;
    const options: RegionOptions = page === null ? {} : {
      bitmap(length) {
        const bitmap = new AtomicBitmap(length, numberOf(page));
        bitmaps.push(bitmap);
        return bitmap;
      },
    };
    const ranges = listOf(setup["regions"]).map((range) => {
      const [base, size] = listOf(range);
      return [guestAddressOf(base), numberOf(size)] as const;
    });
    this.backend = backend;
    this.memory = backend === "mmap"
      ? GuestMemoryMmap.fromRanges(ranges, options)
      : GuestMemoryHeap.fromRanges(ranges, options);
    this.regions = [...this.memory];
    this.bitmaps = bitmaps;
    const fill = setup["fill"] ?? null;
    if (fill !== null) this.#fill(numberOf(fill));
  }

  /** The region of an index. */
  region(k: Json | undefined): GuestMemoryRegion {
    const region = this.regions[numberOf(k)];
    if (region === undefined) throw new TypeError(`Cannot read the trace: no region ${k}`);
    return region;
  }

  /** The index of a region. */
  indexOf(region: GuestMemoryRegion): number {
    return this.regions.indexOf(region);
  }

  /** Where a slice is. */
  locate(slice: VolatileSlice): Piece {
    const k = this.regions.findIndex((region) => region.asVolatileSlice().memory === slice.memory);
    const offset = slice.start - this.regions[k]!.asVolatileSlice().start;
    return { k, offset, length: slice.len };
  }

  /** Where a host address is: in which region, and at which offset. */
  locateHost(host: bigint): Json {
    const offsets = this.regions.map((region) =>
      Number(host - region.getHostAddress(MemoryRegionAddress(0)))
    );
    const k = offsets.findIndex((offset, i) => offset >= 0 && offset < this.regions[i]!.len);
    return [k, offsets[k] ?? null];
  }

  /** The stretches of a range up to the first hole, by the layout's own list of regions. */
  pieces(address: number, count: number): Piece[] {
    const pieces: Piece[] = [];
    for (const [k, { startAddr, len }] of this.regions.entries()) {
      const offset = address - startAddr;
      if (count === 0 || offset < 0 || offset >= len) continue;
      const length = Math.min(len - offset, count);
      pieces.push({ k, offset, length });
      address += length;
      count -= length;
    }
    return pieces;
  }

  /** Live bytes, behind the back of dirty tracking. */
  raw({ k, offset, length }: Piece): Uint8Array {
    return this.regions[k]!.asVolatileSlice().getSlice(offset, length).rawView();
  }

  /** How many pages are dirty. */
  get dirtyPages(): number {
    return this.bitmaps.reduce((sum, bitmap) => sum + bitmap.dirtyPages, 0);
  }

  /** The dirty pages of each region, as runs. */
  dirtyRuns(): Json {
    return this.bitmaps.map(pageRuns);
  }

  /** Marks everything clean. */
  resetDirty(): void {
    for (const bitmap of this.bitmaps) bitmap.reset();
  }

  /** The digest of all content. */
  digest(): string {
    return sha256(this.regions.map(contentOf)).slice(0, 16);
  }

  /** The digest of each region's content. */
  sha256(): Json {
    return this.regions.map((region) => sha256([contentOf(region)]));
  }

  /** Closes the memory. */
  [Symbol.dispose](): void {
    this.memory.close();
  }

  #fill(seed: number): void {
    for (const [k, region] of this.regions.entries()) {
      region.asVolatileSlice().rawView().set(pattern(seed + k >>> 0, region.len));
    }
  }
}

function contentOf(region: GuestMemoryRegion): Uint8Array {
  return region.asVolatileSlice().readOnlyView();
}

/** The dirty pages of a bitmap as runs of pages, where the bitmap itself has runs of bytes. */
export function pageRuns(bitmap: AtomicBitmap): Json {
  return Array.from(bitmap.dirtyRuns(), ([offset, length]) => {
    const first = offset / bitmap.pageSize;
    return [first, Math.ceil((offset + length) / bitmap.pageSize) - first];
  });
}

/** The runs of set bits in the words of a bitmap. */
export function wordRuns(words: Uint32Array): Json {
  const runs: [number, number][] = [];
  for (let page = 0; page < words.length * 32; page++) {
    if ((words[page >>> 5]! >>> (page & 31) & 1) === 0) continue;
    const last = runs.at(-1);
    if (last !== undefined && last[0] + last[1] === page) last[1]++;
    else runs.push([page, 1]);
  }
  return runs;
}

/** A region as a trace shows it. */
export function rangeOf({ startAddr, len }: GuestMemoryRegion): Json {
  return [startAddr, len];
}

/** A list of regions as a trace shows it. */
export function listRegions(regions: Iterable<GuestMemoryRegion>): Json {
  return Array.from(regions, rangeOf);
}
