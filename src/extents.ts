/**
 * Where the bytes of guest memory lie in the host.
 *
 * @module
 */
import type { Bitmap } from "./bitmap/bitmap.ts";
import { type HostMemory, seamReach } from "./host_memory.ts";
import { HostRegion } from "./host_region.ts";
import type { GuestMemoryRegion } from "./region.ts";
import { RegionIndex } from "./region_index.ts";
import { VolatileSlice } from "./volatile_slice.ts";

/**
 * Guest addresses whose bytes are those of one host memory, from its first to its last: those of a
 * region, or those around the place where two regions meet.
 */
export class Extent {
  /** The guest address of the memory's first byte. */
  readonly startAddr: number;
  /** Bytes. */
  readonly len: number;
  /** The guest address after its last byte. */
  readonly end: number;
  /** The bytes. */
  readonly memory: HostMemory;
  /** All of them as a slice. */
  readonly slice: VolatileSlice;
  /** Who is told of writes; `undefined` for nobody. */
  readonly bitmap: Bitmap | undefined;
  /** Where in the bitmap the extent begins. */
  readonly bitmapStart: number;
  readonly #next: Extent | undefined;
  #seam: Extent | undefined;

  /**
   * Gives all of a memory a place.
   *
   * @param startAddr The guest address of its first byte.
   * @param slice All of the memory.
   * @param next The extent of the region that begins where this one ends.
   */
  constructor(startAddr: number, slice: VolatileSlice, next?: Extent) {
    this.startAddr = startAddr;
    this.len = slice.len;
    this.end = startAddr + slice.len;
    this.memory = slice.memory;
    this.slice = slice;
    const { tracking } = slice;
    this.bitmap = tracking?.bitmap;
    this.bitmapStart = tracking?.start ?? 0;
    this.#next = next;
  }

  /**
   * The extent over the end of this one and the start of the next: an access that goes from one to
   * the other is one access then. `undefined` where they do not adjoin in the host too.
   */
  get seam(): Extent | undefined {
    const seam = this.#seam;
    return seam !== undefined && !seam.memory.closed ? seam : this.#sew();
  }

  #sew(): Extent | undefined {
    const next = this.#next;
    // A seam would have to mark two bitmaps.
    if (next === undefined || this.bitmap !== undefined || next.bitmap !== undefined) {
      return undefined;
    }
    const memory = this.memory.seam(next.memory);
    if (memory === undefined) return undefined;
    const slice = new VolatileSlice(memory, 0, memory.u8.length);
    return this.#seam = new Extent(this.end - seamReach(this.len), slice);
  }
}

/** Finds extents by address. */
export class Extents {
  readonly #index: RegionIndex<Extent>;

  /** @param regions Regions, sorted and apart. Those that are not plain host memory have no extent. */
  constructor(regions: readonly GuestMemoryRegion[]) {
    const extents: Extent[] = [];
    let next: Extent | undefined;
    for (const region of regions.toReversed()) {
      if (!hasExtent(region)) continue;
      const slice = region.asVolatileSlice();
      const meets = next?.startAddr === region.startAddr + region.len;
      next = new Extent(region.startAddr, slice, meets ? next : undefined);
      extents.push(next);
    }
    this.#index = new RegionIndex(extents.reverse());
  }

  /**
   * The extent that has a range of at least one byte, if one has. It may also be one that begins above
   * the address of a range in a hole: the offset in its memory is negative then, which the memory
   * refuses.
   *
   * @param addr Where the range begins.
   * @param length Its bytes.
   */
  at(addr: number, length: number): Extent | undefined {
    const guess = this.#index.guess(addr);
    if (guess !== undefined && addr + length <= guess.end && length > 0) return guess;
    return length > 0 ? this.#search(guess, addr, length) : undefined;
  }

  #search(guess: Extent | undefined, addr: number, length: number): Extent | undefined {
    const extent = guess !== undefined && addr < guess.end ? guess : this.#index.find(addr);
    if (extent === undefined) return undefined;
    if (addr + length <= extent.end) return extent;
    const { seam } = extent;
    const inSeam = seam !== undefined && addr >= seam.startAddr && addr + length <= seam.end;
    return inSeam ? seam : undefined;
  }
}

const ACCESSES = [
  "asVolatileSlice",
  "getSlice",
  "read",
  "readObj",
  "readVolatileFrom",
  "write",
  "writeObj",
  "writeVolatileTo",
] as const;

// A region that does anything in a way of its own, or whose slice does, has to be asked each time.
function hasExtent(region: GuestMemoryRegion): region is HostRegion {
  if (!(region instanceof HostRegion)) return false;
  if (!ACCESSES.every((access) => region[access] === HostRegion.prototype[access])) return false;
  const slice = region.asVolatileSlice();
  if (Object.getPrototypeOf(slice) !== VolatileSlice.prototype) return false;
  const { memory, start, len } = slice;
  return start === 0 && len === memory.u8.length && len === region.len;
}
