/**
 * Guest memory as a sorted list of regions.
 *
 * @module
 */
import { ADDRESS_SPACE_END, type GuestAddress, type GuestUsize } from "./address.ts";
import { type GuestAddressSpace, GuestMemoryLoadGuard } from "./address_space.ts";
import type { ByteValued } from "./byte_valued.ts";
import { Extents } from "./extents.ts";
import { GuestMemory } from "./guest_memory.ts";
import { checkCount } from "./io_memory.ts";
import { Holds } from "./holds.ts";
import {
  isCursor,
  knowsVectors,
  readInto,
  type ReadSource,
  writeFrom,
  type WriteSink,
} from "./io.ts";
import { byteSize, hex } from "./number_format.ts";
import type { GuestMemoryRegion } from "./region.ts";
import { RegionIndex } from "./region_index.ts";
import { InvalidGuestRegion, MemoryRegionOverlap } from "./region_collection_error.ts";
import { NoMemoryRegion, UnsortedMemoryRegions } from "./region_collection_error.ts";
import { MemoryClosed, toGuestMemoryError } from "./volatile_memory_error.ts";
import type { VolatileSlice } from "./volatile_slice.ts";

/**
 * Guest memory as a sorted list of regions that do not overlap. Mirrors `GuestRegionCollection`.
 *
 * The list is an immutable value (rule 6): {@linkcode GuestRegionCollection.insertRegion} and
 * {@linkcode GuestRegionCollection.removeRegion} return a new one that shares the regions. Every
 * collection is closed by itself, and a region is closed with the last collection that holds it.
 *
 * @typeParam R The kind of its regions.
 *
 * @example
 * ```ts
 * import { GuestAddress, GuestRegionCollection, GuestRegionHeap, u8 } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * using small = GuestRegionCollection.fromRegions([new GuestRegionHeap(GuestAddress(0), 0x1000)]);
 * using large = small.insertRegion(new GuestRegionHeap(GuestAddress(0x8000), 0x1000));
 * large.writeObj(u8, 7, GuestAddress(0));
 * assertEquals(small.readObj(u8, GuestAddress(0)), 7);
 * assertEquals([small.numRegions, large.numRegions], [1, 2]);
 * ```
 */
export class GuestRegionCollection<R extends GuestMemoryRegion = GuestMemoryRegion>
  extends GuestMemory<R>
  implements GuestAddressSpace<GuestRegionCollection<R>>, Disposable {
  #regions: readonly R[];
  readonly #holds: Holds = new Holds("guest memory", () => this.#close());
  #index: RegionIndex<R>;
  #extents: Extents;

  /**
   * Holds regions that are in order, beside whoever holds them. Without argument, the collection is
   * empty. Mirrors `new`; use {@linkcode GuestRegionCollection.fromRegions} to hand regions over.
   */
  constructor(regions: readonly R[] = []) {
    super();
    checkRegions(regions);
    // A copy: the list must not change under the collection.
    this.#regions = [...regions];
    this.#index = new RegionIndex(this.#regions);
    // A class of one's own that finds regions in another way has to be asked each time.
    const finds = this.findRegion === GuestRegionCollection.prototype.findRegion;
    this.#extents = new Extents(finds ? this.#regions : []);
    let held = 0;
    try {
      for (; held < this.#regions.length; held++) this.#regions[held]!.retain();
    } catch (error) {
      for (const region of this.#regions.slice(0, held)) region.release();
      throw error;
    }
  }

  /**
   * Makes a collection of at least one region.
   *
   * It becomes their holder: from here on, closing it is what closes them.
   *
   * @param regions The regions by rising start, adjacent or with holes between them.
   * @returns The collection.
   * @throws {NoMemoryRegion} There is none.
   * @throws {UnsortedMemoryRegions} They are not sorted.
   * @throws {MemoryRegionOverlap} Two overlap.
   * @throws {InvalidGuestRegion} One is empty or ends beyond 2^53.
   */
  static fromRegions<R extends GuestMemoryRegion>(regions: readonly R[]): GuestRegionCollection<R> {
    if (regions.length === 0) {
      throw new NoMemoryRegion("Cannot make a collection of regions: there is no region");
    }
    const collection = new GuestRegionCollection(regions);
    for (const region of regions) region.handOver();
    return collection;
  }

  /**
   * A collection with one more region. This one does not change.
   *
   * @param region The region. The new collection becomes its holder.
   * @returns The new collection, to be closed by itself.
   * @throws {MemoryRegionOverlap} It overlaps one that is there.
   */
  insertRegion(region: R): GuestRegionCollection<R> {
    const regions = [...this.#open(), region].sort((a, b) => a.startAddr - b.startAddr);
    const collection = new GuestRegionCollection(regions);
    region.handOver();
    return collection;
  }

  /**
   * A collection without one region. This one does not change, and keeps the region mapped until it
   * is closed.
   *
   * @param base The exact start of the region.
   * @param size Its exact size.
   * @returns The new collection, which may be empty, and the region. Close both.
   * @throws {NoMemoryRegion} No region has that start and size.
   */
  removeRegion(base: GuestAddress, size: GuestUsize): [GuestRegionCollection<R>, R] {
    const regions = this.#open();
    const region = this.findRegion(base);
    if (region === undefined || region.startAddr !== base || region.len !== size) {
      throw new NoMemoryRegion(
        `Cannot remove ${byteSize(size)} at ${hex(base)}: no region has that start and size`,
      );
    }
    region.handBack();
    return [new GuestRegionCollection(regions.filter((other) => other !== region)), region];
  }

  /** The region that holds an address, or `undefined` in a hole. */
  findRegion(addr: GuestAddress): R | undefined {
    const region = this.#index.find(addr);
    if (region === undefined) this.#open();
    return region;
  }

  /** How many regions there are. */
  override get numRegions(): number {
    return this.#open().length;
  }

  /** The regions by rising address. */
  [Symbol.iterator](): ArrayIterator<R> {
    return this.#open().values();
  }

  // What follows is the way of nearly every access: to host memory at once. By way of the region and
  // its slice, which compare bounds once each, a copy of 512 bytes takes a quarter longer. Everything
  // else goes by regions, and whatever goes wrong is told by them.

  /** Copies from memory into a buffer: see {@linkcode Bytes.read}. */
  override read(buf: Uint8Array, addr: GuestAddress): number {
    const { length } = buf;
    const extent = this.#extents.at(addr, length);
    if (extent !== undefined && extent.memory.copyOut(addr - extent.startAddr, buf, length)) {
      return length;
    }
    return super.read(buf, addr);
  }

  /** Copies from a buffer into memory: see {@linkcode Bytes.write}. */
  override write(buf: Uint8Array, addr: GuestAddress): number {
    const { length } = buf;
    const extent = this.#extents.at(addr, length);
    if (extent !== undefined && extent.memory.copyIn(addr - extent.startAddr, buf, length)) {
      extent.bitmap?.markDirty(extent.bitmapStart + (addr - extent.startAddr), length);
      return length;
    }
    return super.write(buf, addr);
  }

  /** Reads a value: see {@linkcode Bytes.readObj}. */
  override readObj<T>(codec: ByteValued<T>, addr: GuestAddress): T {
    const extent = this.#extents.at(addr, codec.byteLength);
    if (extent?.memory.canRead(addr - extent.startAddr, codec.byteLength)) {
      return codec.read(extent.memory, addr - extent.startAddr);
    }
    return super.readObj(codec, addr);
  }

  /** Writes a value: see {@linkcode Bytes.writeObj}. */
  override writeObj<T>(codec: ByteValued<T>, value: T, addr: GuestAddress): void {
    const extent = this.#extents.at(addr, codec.byteLength);
    if (extent === undefined) return super.writeObj(codec, value, addr);
    const offset = addr - extent.startAddr;
    const { memory } = extent;
    if (!memory.canWrite(offset, codec.byteLength)) return super.writeObj(codec, value, addr);
    try {
      codec.write(memory, offset, value);
    } finally {
      // Also when the codec threw: it may have written a part.
      extent.bitmap?.markDirty(extent.bitmapStart + offset, codec.byteLength);
    }
  }

  /** Reads from a stream into memory: see {@linkcode Bytes.readVolatileFrom}. */
  override readVolatileFrom(addr: GuestAddress, src: ReadSource, count: number): number {
    checkCount(count);
    if (isCursor(src)) {
      const bytes = src.next(count);
      if (bytes.length > 0) return src.advance(this.write(bytes, addr));
    }
    const slice = knowsVectors(src) ? this.#sliceOf(addr, count) : undefined;
    if (slice === undefined) return super.readVolatileFrom(addr, src, count);
    return readInto(slice, src, toGuestMemoryError);
  }

  /** Writes memory to a stream: see {@linkcode Bytes.writeVolatileTo}. */
  override writeVolatileTo(addr: GuestAddress, dst: WriteSink, count: number): number {
    checkCount(count);
    if (isCursor(dst)) {
      const bytes = dst.next(count);
      if (bytes.length > 0) return dst.advance(this.read(bytes, addr));
    }
    const slice = knowsVectors(dst) ? this.#sliceOf(addr, count) : undefined;
    if (slice === undefined) return super.writeVolatileTo(addr, dst, count);
    return writeFrom(slice, dst, toGuestMemoryError);
  }

  /** Whether {@linkcode GuestRegionCollection.close} was called. */
  get closed(): boolean {
    return this.#holds.released;
  }

  /** Adds a holder. The memory is closed when it and whoever made the memory are gone. */
  retain(): void {
    this.#holds.retain();
  }

  /** Removes a holder. */
  release(): void {
    this.#holds.release();
  }

  /**
   * This memory as an address space whose map never changes: see {@linkcode GuestAddressSpace}.
   *
   * @returns A guard that keeps it open.
   */
  memory(): GuestMemoryLoadGuard<this> {
    return new GuestMemoryLoadGuard(this);
  }

  /**
   * Lets go of the regions: those that no other collection holds are closed, and what they mapped is
   * unmapped. Every access throws {@linkcode MemoryClosed} from then on. Closing again does nothing.
   */
  close(): void {
    this.#holds.close();
  }

  /** The same as {@linkcode GuestRegionCollection.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** A table of the regions, or one line when closed. */
  override toString(): string {
    return this.closed ? `${this.constructor.name} (closed)` : super.toString();
  }

  // A range as one slice, also where two regions meet, if it may be read and written: for streams
  // that would take the parts of a range in one call too.
  #sliceOf(addr: GuestAddress, count: number): VolatileSlice | undefined {
    const extent = this.#extents.at(addr, count);
    if (extent === undefined) return undefined;
    const { memory, slice, startAddr } = extent;
    const offset = addr - startAddr;
    const open = memory.canRead(offset, count) && memory.canWrite(offset, count);
    return open ? slice.getSlice(offset, count) : undefined;
  }

  #open(): readonly R[] {
    if (this.closed) throw new MemoryClosed("guest memory");
    return this.#regions;
  }

  #close(): void {
    const regions = this.#regions;
    this.#regions = [];
    this.#index = new RegionIndex<R>([]);
    this.#extents = new Extents([]);
    const errors: unknown[] = [];
    for (const region of regions) {
      try {
        region.release();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length === 1) throw errors[0];
    if (errors.length > 1) throw new AggregateError(errors, "Cannot close all regions");
  }
}

function checkRegions(regions: readonly GuestMemoryRegion[]): void {
  let previous: GuestMemoryRegion | undefined;
  for (const region of regions) {
    checkRange(region);
    if (previous !== undefined) checkOrder(previous, region);
    previous = region;
  }
}

// A region of one's own may say anything; lookups rely on this much.
function checkRange({ startAddr, len, lastAddr }: GuestMemoryRegion): void {
  const isRange = Number.isSafeInteger(startAddr) && startAddr >= 0 && Number.isSafeInteger(len) &&
    len > 0 && len <= ADDRESS_SPACE_END - startAddr && lastAddr === startAddr + (len - 1);
  if (isRange) return;
  throw new InvalidGuestRegion(
    `Cannot hold a region at ${hex(startAddr)} of ${len} bytes: ` +
      "it is empty, ends beyond 2^53 or has another last address",
  );
}

function checkOrder(previous: GuestMemoryRegion, next: GuestMemoryRegion): void {
  if (previous.startAddr > next.startAddr) {
    throw new UnsortedMemoryRegions(
      `Cannot hold regions out of order: ${hex(next.startAddr)} follows ${hex(previous.startAddr)}`,
    );
  }
  if (previous.lastAddr >= next.startAddr) {
    throw new MemoryRegionOverlap(
      `Cannot hold regions that overlap: ${hex(previous.startAddr)}-${hex(previous.lastAddr)} ` +
        `and ${hex(next.startAddr)}-${hex(next.lastAddr)}`,
    );
  }
}
