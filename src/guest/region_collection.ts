/**
 * Guest memory as a sorted list of regions.
 *
 * @module
 */
import { ADDRESS_SPACE_END, type GuestAddress, type GuestUsize } from "../address.ts";
import type { ByteValued } from "../codec/byte_valued.ts";
import { type AtomicAccess, checkInteger, elementIndex } from "../codec/scalar.ts";
import { InvalidGuestRegion, MemoryRegionOverlap } from "../error/region_collection_error.ts";
import { NoMemoryRegion, UnsortedMemoryRegions } from "../error/region_collection_error.ts";
import { MemoryClosed } from "../error/volatile_memory_error.ts";
import { byteLength } from "../host/bytes.ts";
import type { Permissions } from "../permissions.ts";
import { byteSize, hex } from "../text/number_format.ts";
import { advance, isCursorSink, isCursorSource, peek } from "../volatile/cursor.ts";
import { type ByteSink, type ByteSource, isVectoredSink } from "../volatile/stream.ts";
import { isVectoredSource, readInto, writeFrom } from "../volatile/stream.ts";
import type { AccessCallback } from "./access.ts";
import { type GuestAddressSpace, GuestMemoryLoadGuard } from "./address_space.ts";
import { GuestMemory } from "./guest_memory.ts";
import { HostRanges } from "./host_range.ts";
import { RefCount } from "./ref_count.ts";
import type { GuestMemoryRegion } from "./region.ts";
import { RegionIndex } from "./region_index.ts";
import { setHostRangesOf } from "./vectored.ts";
import { checkAddress, checkCount, checkNumber } from "../text/argument.ts";

/**
 * Guest memory as a sorted list of regions that do not overlap. Mirrors `GuestRegionCollection`.
 *
 * The list is an immutable value (rule 6): {@linkcode GuestRegionCollection.insertRegion} and
 * {@linkcode GuestRegionCollection.removeRegion} return a new one that shares the regions. Close
 * every collection; a region is closed with the last collection that contains it.
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
  static {
    setHostRangesOf((memory) => #ranges in memory ? memory.#ranges : undefined);
  }

  #regions: readonly R[];
  readonly #references: RefCount = new RefCount("guest memory", () => this.#close());
  #index: RegionIndex<R>;
  #ranges: HostRanges;

  /**
   * Adds a reference to each of some regions, which are in order. Without argument, the collection
   * is empty. Mirrors `new`; use {@linkcode GuestRegionCollection.fromRegions} to hand regions
   * over.
   */
  constructor(regions: readonly R[] = []) {
    super();
    checkRegions(regions);
    // A copy: the list must not change under the collection.
    this.#regions = [...regions];
    this.#index = new RegionIndex(this.#regions);
    // A derived class that overrides findRegion is called each time.
    const finds = this.findRegion === GuestRegionCollection.prototype.findRegion;
    this.#ranges = new HostRanges(finds ? this.#regions : []);
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
   * It becomes their owner: from here on, closing it closes them.
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
    for (const region of regions) region.onInserted();
    return collection;
  }

  /**
   * A collection with one more region. This one does not change.
   *
   * @param region The region. The new collection becomes its owner.
   * @returns The new collection. Close it too.
   * @throws {MemoryRegionOverlap} It overlaps one that is there.
   */
  insertRegion(region: R): GuestRegionCollection<R> {
    const regions = [...this.#open(), region].sort((a, b) => a.startAddr - b.startAddr);
    const collection = this.withRegions(regions);
    region.onInserted();
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
    checkNumber("size", size);
    const regions = this.#open();
    const region = this.findRegion(base);
    if (region === undefined || region.startAddr !== base || region.len !== size) {
      throw new NoMemoryRegion(
        `Cannot remove ${byteSize(size)} at ${hex(base)}: no region has that start and size`,
      );
    }
    region.onRemoved();
    return [this.withRegions(regions.filter((other) => other !== region)), region];
  }

  /**
   * A collection of other regions: what `insertRegion` and `removeRegion` return. A derived class
   * returns one of its kind.
   *
   * @param regions The regions, in order.
   */
  protected withRegions(regions: readonly R[]): GuestRegionCollection<R> {
    return new GuestRegionCollection(regions);
  }

  /** The region that contains an address, or `undefined` in a hole. */
  findRegion(addr: GuestAddress): R | undefined {
    // Written out, not called: the call shows in look-ups of 4 ns.
    if (typeof addr !== "number") checkAddress(addr);
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

  /** Calls a function for each part of a range: see {@linkcode IoMemory.access}. */
  override access(
    count: number,
    addr: GuestAddress,
    permissions: Permissions,
    callback: AccessCallback<R>,
  ): number {
    // What a host range refused comes here, also where views across a boundary were closed.
    this.#ranges.forget();
    return super.access(count, addr, permissions, callback);
  }

  // Fast path of nearly every access: straight to host memory. Through region and slice a 512-byte
  // copy takes 25 % longer. Everything else, and every error, falls through to `super`. From here
  // to the typed array or the C function, the functions share V8's inlining budget:
  // docs/architecture.md.

  /** Copies from memory into a buffer: see {@linkcode Bytes.read}. */
  override read(buf: Uint8Array, addr: GuestAddress): number {
    const length = byteLength(buf);
    const range = this.#ranges.at(addr, length);
    if (range !== undefined && range.memory.copyOut(addr - range.startAddr, buf, length)) {
      return length;
    }
    return super.read(buf, addr);
  }

  /** Copies from a buffer into memory: see {@linkcode Bytes.write}. */
  override write(buf: Uint8Array, addr: GuestAddress): number {
    const length = byteLength(buf);
    const range = this.#ranges.at(addr, length);
    if (range !== undefined && range.memory.copyIn(addr - range.startAddr, buf, length)) {
      range.bitmap?.markDirty(range.bitmapStart + (addr - range.startAddr), length);
      return length;
    }
    return super.write(buf, addr);
  }

  /** Reads a value: see {@linkcode Bytes.readObj}. */
  override readObj<T>(codec: ByteValued<T>, addr: GuestAddress): T {
    const size = codec.byteLength;
    const range = this.#ranges.at(addr, size);
    if (range?.memory.canAccess(addr - range.startAddr, size)) {
      try {
        return codec.read(range.memory, addr - range.startAddr);
      } finally {
        // The codec may have closed the memory.
        range.memory.ensureOpen();
      }
    }
    return super.readObj(codec, addr);
  }

  /** Writes a value: see {@linkcode Bytes.writeObj}. */
  override writeObj<T>(codec: ByteValued<T>, value: T, addr: GuestAddress): void {
    const size = codec.byteLength;
    const range = this.#ranges.at(addr, size);
    if (range === undefined) return super.writeObj(codec, value, addr);
    const offset = addr - range.startAddr;
    const { memory } = range;
    if (!memory.canAccess(offset, size)) return super.writeObj(codec, value, addr);
    try {
      codec.write(memory, offset, value);
    } finally {
      // Also when the codec threw: it may have written a part.
      range.bitmap?.markDirty(range.bitmapStart + offset, size);
      // The codec, or a getter of the value, may have closed the memory.
      memory.ensureOpen();
    }
  }

  /** Reads an integer atomically: see {@linkcode Bytes.load}. It has to be in one region. */
  override load<T extends number | bigint>(codec: AtomicAccess<T>, addr: GuestAddress): T {
    const size = codec.byteLength;
    const range = this.#ranges.at(addr, size);
    if (range === undefined) return super.load(codec, addr);
    // No aligned integer crosses a boundary, so one in a boundary view is in one region.
    const offset = addr - range.startAddr;
    if ((offset & size - 1) !== 0 || !range.memory.canAccess(offset, size)) {
      return super.load(codec, addr);
    }
    const index = elementIndex(offset, size);
    return Atomics.load(codec.elements(range.memory) as Uint32Array, index) as T;
  }

  /** Writes an integer atomically: see {@linkcode Bytes.store}. It has to be in one region. */
  override store<T extends number | bigint>(
    codec: AtomicAccess<T>,
    value: T,
    addr: GuestAddress,
  ): void {
    checkInteger("value", value, codec);
    const size = codec.byteLength;
    const range = this.#ranges.at(addr, size);
    if (range === undefined) return super.store(codec, value, addr);
    const offset = addr - range.startAddr;
    if ((offset & size - 1) !== 0 || !range.memory.canAccess(offset, size)) {
      return super.store(codec, value, addr);
    }
    const index = elementIndex(offset, size);
    Atomics.store(codec.elements(range.memory) as Uint32Array, index, value as number);
    range.bitmap?.markDirty(range.bitmapStart + offset, size);
  }

  /** Reads from a stream into memory: see {@linkcode Bytes.readVolatileFrom}. */
  override readVolatileFrom(addr: GuestAddress, src: ByteSource, count: number): number {
    checkCount(count);
    if (isCursorSource(src)) {
      const bytes = peek(src, count);
      if (bytes.length > 0) return advance(src, this.write(bytes, addr));
    }
    const slice = isVectoredSource(src) ? this.#ranges.sliceAt(addr, count) : undefined;
    if (slice === undefined) return super.readVolatileFrom(addr, src, count);
    return readInto(slice, src);
  }

  /** Writes memory to a stream: see {@linkcode Bytes.writeVolatileTo}. */
  override writeVolatileTo(addr: GuestAddress, dst: ByteSink, count: number): number {
    checkCount(count);
    if (isCursorSink(dst)) {
      const bytes = peek(dst, count);
      if (bytes.length > 0) return advance(dst, this.read(bytes, addr));
    }
    const slice = isVectoredSink(dst) ? this.#ranges.sliceAt(addr, count) : undefined;
    if (slice === undefined) return super.writeVolatileTo(addr, dst, count);
    return writeFrom(slice, dst);
  }

  /** Whether {@linkcode GuestRegionCollection.close} was called. */
  get closed(): boolean {
    return this.#references.released;
  }

  /** Adds a reference. The memory is closed when this and the creator's reference are gone. */
  retain(): void {
    this.#references.retain();
  }

  /** Removes a reference. */
  release(): void {
    this.#references.release();
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
   * Ends the creator's reference. With the last one the regions are released: those in no other
   * collection are closed, and what they mapped is unmapped. Every access throws
   * {@linkcode MemoryClosed} from then on. Closing again does nothing.
   */
  close(): void {
    this.#references.close();
  }

  /** The same as {@linkcode GuestRegionCollection.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** A table of the regions, or one line when closed. */
  override toString(): string {
    return this.closed ? `${this.constructor.name} (closed)` : super.toString();
  }

  #open(): readonly R[] {
    if (this.closed) throw new MemoryClosed("guest memory");
    return this.#regions;
  }

  #close(): void {
    const regions = this.#regions;
    this.#regions = [];
    this.#index = new RegionIndex<R>([]);
    this.#ranges = new HostRanges([]);
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

// Lookups rely on this of a custom region.
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
