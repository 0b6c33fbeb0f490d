/**
 * Where the bytes of guest memory are in the host.
 *
 * @module
 */
import { type Bitmap, NoBitmap } from "../bitmap/bitmap.ts";
import { BoundaryBitmap } from "../bitmap/boundary_bitmap.ts";
import { boundaryWindow, HostMemory } from "../host/host_memory.ts";
import { VolatileSlice } from "../volatile/volatile_slice.ts";
import type { GuestMemoryRegion } from "./region.ts";
import { RegionIndex } from "./region_index.ts";
import { checkAddress } from "../text/argument.ts";

/**
 * A guest range backed by one contiguous {@linkcode HostMemory}: a region, or the bytes on both
 * sides of a boundary.
 */
export class HostRange {
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
  /** What records writes; `undefined` for nothing. */
  readonly bitmap: Bitmap | undefined;
  /** Where in the bitmap the range begins. */
  readonly bitmapStart: number;
  readonly #next: HostRange | undefined;
  #boundary: HostRange | undefined;

  /**
   * Gives all of a memory a guest address.
   *
   * @param startAddr The guest address of its first byte.
   * @param slice All of the memory.
   * @param next The range of the region that begins where this one ends.
   */
  constructor(startAddr: number, slice: VolatileSlice, next?: HostRange) {
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
   * The range across the boundary of this one and the next: with it, an access across the boundary
   * is one access. `undefined` if they are not adjacent in the host too.
   */
  get boundary(): HostRange | undefined {
    const boundary = this.#boundary;
    const isOpen = boundary !== undefined && boundary.memory.openLength > 0;
    return isOpen ? boundary : this.#viewBoundary();
  }

  #viewBoundary(): HostRange | undefined {
    const next = this.#next;
    if (next === undefined) return undefined;
    const memory = this.memory.boundaryView(next.memory);
    if (memory === undefined) return undefined;
    const before = boundaryWindow(this.len);
    const bitmap = this.bitmap === undefined && next.bitmap === undefined
      ? NoBitmap
      : new BoundaryBitmap(
        before,
        { bitmap: this.bitmap ?? NoBitmap, start: this.bitmapStart + this.len - before },
        { bitmap: next.bitmap ?? NoBitmap, start: next.bitmapStart },
      );
    const slice = new VolatileSlice(memory, 0, memory.length, bitmap);
    return this.#boundary = new HostRange(this.end - before, slice);
  }
}

/** Finds host ranges by guest address. */
export class HostRanges {
  readonly #index: RegionIndex<HostRange>;
  // The range of the access before: most accesses are near it, and a comparison with it takes a
  // third of the look-up.
  #last: HostRange = NO_RANGE;

  /** @param regions Regions, sorted, without overlaps. Those without a `hostSlice` have no range. */
  constructor(regions: readonly GuestMemoryRegion[]) {
    const ranges: HostRange[] = [];
    let next: HostRange | undefined;
    for (const region of regions.toReversed()) {
      const slice = region.hostSlice;
      if (slice === undefined || !isWholeMemory(slice, region.len)) continue;
      const meets = next?.startAddr === region.startAddr + region.len;
      next = new HostRange(region.startAddr, slice, meets ? next : undefined);
      ranges.push(next);
    }
    this.#index = new RegionIndex(ranges.reverse());
  }

  /**
   * The host range that contains a guest range of at least one byte, if there is one. It may have
   * been closed since the last look-up: where it refuses an access, {@linkcode HostRanges.forget} it.
   *
   * @param addr Where the guest range begins.
   * @param length Its bytes.
   * @throws {TypeError} The address is not a number.
   */
  at(addr: number, length: number): HostRange | undefined {
    if (typeof addr !== "number") checkAddress(addr);
    const last = this.#last;
    if (addr >= last.startAddr && addr + length <= last.end && length > 0) return last;
    const guess = this.#index.guess(addr);
    if (
      guess !== undefined && addr >= guess.startAddr && addr + length <= guess.end && length > 0
    ) {
      return this.#last = guess;
    }
    return this.#search(addr, length);
  }

  /**
   * A guest range as one slice, also across a boundary of two regions, if it may be read and
   * written: for streams, which take the parts of a range in one call.
   *
   * @param addr Where the guest range begins.
   * @param length Its bytes.
   */
  sliceAt(addr: number, length: number): VolatileSlice | undefined {
    const range = this.at(addr, length);
    if (range === undefined) return undefined;
    const { memory, startAddr, bitmap, bitmapStart } = range;
    const offset = addr - startAddr;
    if (!memory.canAccess(offset, length)) return undefined;
    return new VolatileSlice(memory, offset, length, bitmap, bitmapStart + offset);
  }

  /** Looks the next range up, whatever the last one was. */
  forget(): void {
    this.#last = NO_RANGE;
  }

  #search(addr: number, length: number): HostRange | undefined {
    const range = length > 0 ? this.#index.find(addr) : undefined;
    if (range === undefined) return undefined;
    if (addr + length <= range.end) return this.#last = range;
    const { boundary } = range;
    const inside = boundary !== undefined && addr >= boundary.startAddr &&
      addr + length <= boundary.end;
    return inside ? this.#last = boundary : undefined;
  }
}

const NO_RANGE = new HostRange(0, new VolatileSlice(new HostMemory(new ArrayBuffer(0)), 0, 0));

// A host range begins at offset 0 of its memory. A class derived from VolatileSlice may override
// accesses.
function isWholeMemory(slice: VolatileSlice, len: number): boolean {
  return Object.getPrototypeOf(slice) === VolatileSlice.prototype && slice.start === 0 &&
    slice.len === slice.memory.length && slice.len === len;
}
