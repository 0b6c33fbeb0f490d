/**
 * The physical memory of a guest: regions with holes between them, accessed by guest address.
 *
 * | Item | What it is |
 * | --- | --- |
 * | {@linkcode GuestMemory} | what any guest memory can do, given its regions |
 * | {@linkcode GuestMemoryRegion} | one contiguous range of it |
 * | {@linkcode GuestRegionCollection} | guest memory as a sorted list of regions |
 * | {@linkcode GuestMemoryError} | the base of what goes wrong |
 *
 * @module
 */
import { Address, ADDRESS_SPACE_END, type GuestAddress } from "./address.ts";
import type { MemoryRegionAddress } from "./address.ts";
import type { ByteValued } from "./byte_valued.ts";
import type { Bytes } from "./bytes.ts";
import { CallbackOutOfRange, GuestAddressOverflow } from "./guest_memory_error.ts";
import { InvalidBackendAddress, InvalidGuestAddress } from "./guest_memory_error.ts";
import { showAsText } from "./inspect.ts";
import type { ReadSource, WriteSink } from "./io.ts";
import { byteSize, hex } from "./number_format.ts";
import type { GuestMemoryRegion } from "./region.ts";
import type { AtomicAccess } from "./scalar.ts";
import { withScratch } from "./scratch.ts";
import { PartialBuffer } from "./volatile_memory_error.ts";
import type { VolatileSlice } from "./volatile_slice.ts";

/**
 * Accesses a part of a range that lies in one region, for {@linkcode GuestMemory.tryAccess}.
 *
 * @param total Bytes of the range that are done already.
 * @param count Bytes of the range in this region, from `offset`.
 * @param offset Where they begin in the region.
 * @param region The region.
 * @returns Bytes that were accessed: `count`, or fewer, and 0 to stop.
 */
export type AccessCallback<R extends GuestMemoryRegion> = (
  total: number,
  count: number,
  offset: MemoryRegionAddress,
  region: R,
) => number;

/**
 * The physical memory of a guest. Mirrors the trait `GuestMemory` (up to 0.16) and
 * `GuestMemoryBackend` (0.18), with the blanket `Bytes<GuestAddress>`.
 *
 * Accesses go over adjacent regions as if they were one, and end at a hole. Atomic accesses and
 * {@linkcode GuestMemory.getSlice} stay in one region. The list of regions does not change: see
 * {@linkcode GuestRegionCollection.insertRegion}.
 *
 * A memory of your own defines `findRegion` and iteration.
 *
 * @typeParam R The kind of its regions.
 */
export abstract class GuestMemory<R extends GuestMemoryRegion = GuestMemoryRegion>
  implements Bytes<GuestAddress>, Iterable<R> {
  static {
    showAsText(this);
  }

  /**
   * The region that holds an address.
   *
   * @param addr The address.
   * @returns The region, or `undefined` in a hole.
   */
  abstract findRegion(addr: GuestAddress): R | undefined;

  /** The regions by rising address. Mirrors `iter` and the trait `GuestMemoryIterator`. */
  abstract [Symbol.iterator](): Iterator<R>;

  /** How many regions there are. */
  get numRegions(): number {
    let count = 0;
    for (const _ of this) count++;
    return count;
  }

  /** The highest address of all regions; 0 where there is none. */
  get lastAddr(): GuestAddress {
    let last = 0;
    for (const region of this) last = Math.max(last, region.lastAddr);
    return last as GuestAddress;
  }

  /** The region that holds an address and the offset in it, or `undefined` in a hole. */
  toRegionAddr(addr: GuestAddress): [R, MemoryRegionAddress] | undefined {
    const region = this.findRegion(addr);
    return region && [region, addr - region.startAddr as MemoryRegionAddress];
  }

  /** Whether a region holds the address. */
  addressInRange(addr: GuestAddress): boolean {
    return this.findRegion(addr) !== undefined;
  }

  /** The address itself if a region holds it. */
  checkAddress(addr: GuestAddress): GuestAddress | undefined {
    return this.addressInRange(addr) ? addr : undefined;
  }

  /**
   * Whether regions hold all of a range. They hold every range of zero bytes.
   *
   * @param base Where the range begins.
   * @param length Bytes.
   */
  checkRange(base: GuestAddress, length: number): boolean {
    if (!(length >= 0)) return false;
    return this.#access(length, base, (_total, count) => count) === length;
  }

  /**
   * `base + offset` if a region holds it. There may be holes between the two.
   *
   * @param base The address to count from.
   * @param offset Bytes.
   */
  checkedOffset(base: GuestAddress, offset: number): GuestAddress | undefined {
    const sum = Address.checkedAdd(base, offset);
    return sum === undefined ? undefined : this.checkAddress(sum);
  }

  /**
   * The host virtual address (HVA) of a byte: see {@linkcode GuestMemoryRegion.getHostAddress}. It
   * holds for the bytes up to the end of the region.
   *
   * @param addr The byte's address.
   * @throws {InvalidGuestAddress} It is in no region.
   * @throws {HostAddressNotAvailable} Its region has no host address.
   */
  getHostAddress(addr: GuestAddress): bigint {
    const region = this.#regionAt(addr);
    return region.getHostAddress(addr - region.startAddr as MemoryRegionAddress);
  }

  /**
   * A range as one slice. It has to lie in one region.
   *
   * @param addr Where it begins.
   * @param count Bytes.
   * @throws {InvalidGuestAddress} The first byte is in no region.
   * @throws {InvalidBackendAddress} The range leaves the region.
   */
  getSlice(addr: GuestAddress, count: number): VolatileSlice {
    const region = this.#regionAt(addr);
    return region.getSlice(addr - region.startAddr as MemoryRegionAddress, count);
  }

  /**
   * A range as slices, one for each region it lies in. A range of zero bytes has none.
   *
   * @param addr Where it begins.
   * @param count Bytes.
   * @returns The slices, made as they are asked for. At a hole the iterator throws
   * {@linkcode InvalidGuestAddress} with the hole's address; {@linkcode stopOnError} turns that
   * into an end.
   */
  *getSlices(addr: GuestAddress, count: number): Generator<VolatileSlice, void, void> {
    let done = 0;
    while (done < count) {
      const cursor = advance(addr, done);
      const region = this.#regionAt(cursor);
      const offset = cursor - region.startAddr as MemoryRegionAddress;
      const length = Math.min(region.len - offset, count - done);
      const slice = region.getSlice(offset, length);
      if (slice.len !== length || length <= 0) {
        throw new InvalidBackendAddress(
          `Cannot use a slice of ${slice.len} bytes: ${length} were asked of ${region}`,
        );
      }
      yield slice;
      done += length;
    }
  }

  /**
   * Calls a function for each part of a range that lies in one region, in order, until the range is
   * done, a hole is met or the function returns 0.
   *
   * @param count Bytes of the range.
   * @param addr Where it begins.
   * @param access The function. Where it returns less than it was asked, it is called again for the
   * rest.
   * @returns Bytes that were accessed.
   * @throws {InvalidGuestAddress} The first byte is in no region.
   * @throws {CallbackOutOfRange} The function returned more than it was asked.
   *
   * @example
   * ```ts
   * import { GuestAddress, GuestMemoryHeap } from "@vmm/guest-memory";
   * import { assertEquals } from "@std/assert";
   *
   * const memory = GuestMemoryHeap.fromRanges([
   *   [GuestAddress(0), 0x1000],
   *   [GuestAddress(0x1000), 0x1000],
   * ]);
   * const parts: number[] = [];
   * memory.tryAccess(0x180, GuestAddress(0xf00), (_total, count) => {
   *   parts.push(count);
   *   return count;
   * });
   * assertEquals(parts, [0x100, 0x80]);
   * ```
   */
  tryAccess(count: number, addr: GuestAddress, access: AccessCallback<R>): number {
    const total = this.#access(count, addr, access);
    if (total === 0 && count > 0) this.#regionAt(addr);
    return total;
  }

  /** Copies from memory into a buffer: see {@linkcode Bytes.read}. */
  read(buf: Uint8Array, addr: GuestAddress): number {
    if (buf.length === 0) return 0;
    const region = this.#regionAt(addr);
    const done = region.read(buf, addr - region.startAddr as MemoryRegionAddress);
    if (done === buf.length) return done;
    return this.#continue(buf, addr, done, (region, rest, offset) => region.read(rest, offset));
  }

  /** Copies from a buffer into memory: see {@linkcode Bytes.write}. */
  write(buf: Uint8Array, addr: GuestAddress): number {
    if (buf.length === 0) return 0;
    const region = this.#regionAt(addr);
    const done = region.write(buf, addr - region.startAddr as MemoryRegionAddress);
    if (done === buf.length) return done;
    return this.#continue(buf, addr, done, (region, rest, offset) => region.write(rest, offset));
  }

  /** Fills a buffer from memory: see {@linkcode Bytes.readSlice}. */
  readSlice(buf: Uint8Array, addr: GuestAddress): void {
    const completed = this.read(buf, addr);
    if (completed !== buf.length) {
      throw new PartialBuffer(buf.length, completed);
    }
  }

  /** Copies all of a buffer into memory: see {@linkcode Bytes.writeSlice}. */
  writeSlice(buf: Uint8Array, addr: GuestAddress): void {
    const completed = this.write(buf, addr);
    if (completed !== buf.length) {
      throw new PartialBuffer(buf.length, completed);
    }
  }

  /** Reads a value: see {@linkcode Bytes.readObj}. */
  readObj<T>(codec: ByteValued<T>, addr: GuestAddress): T {
    const size = codec.byteLength;
    const region = this.findRegion(addr);
    if (region !== undefined && addr - region.startAddr + size <= region.len) {
      return region.readObj(codec, addr - region.startAddr as MemoryRegionAddress);
    }
    return withScratch(size, (memory, bytes) => {
      this.readSlice(bytes, addr);
      return codec.read(memory, 0);
    });
  }

  /** Writes a value: see {@linkcode Bytes.writeObj}. */
  writeObj<T>(codec: ByteValued<T>, value: T, addr: GuestAddress): void {
    const size = codec.byteLength;
    const region = this.findRegion(addr);
    if (region !== undefined && addr - region.startAddr + size <= region.len) {
      region.writeObj(codec, value, addr - region.startAddr as MemoryRegionAddress);
      return;
    }
    withScratch(size, (memory, bytes) => {
      codec.write(memory, 0, value);
      this.writeSlice(bytes, addr);
    });
  }

  /** Reads an integer atomically: see {@linkcode Bytes.load}. It has to lie in one region. */
  load<T extends number | bigint>(codec: AtomicAccess<T>, addr: GuestAddress): T {
    const region = this.#regionAt(addr);
    return region.load(codec, addr - region.startAddr as MemoryRegionAddress);
  }

  /** Writes an integer atomically: see {@linkcode Bytes.store}. It has to lie in one region. */
  store<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: GuestAddress): void {
    const region = this.#regionAt(addr);
    region.store(codec, value, addr - region.startAddr as MemoryRegionAddress);
  }

  /** Reads from a stream into memory: see {@linkcode Bytes.readVolatileFrom}. */
  readVolatileFrom(addr: GuestAddress, src: ReadSource, count: number): number {
    return this.#transfer(
      count,
      addr,
      (region, offset, length) => region.readVolatileFrom(offset, src, length),
    );
  }

  /** Reads exactly from a stream into memory: see {@linkcode Bytes.readExactVolatileFrom}. */
  readExactVolatileFrom(addr: GuestAddress, src: ReadSource, count: number): void {
    const completed = this.tryAccess(count, addr, (_total, length, offset, region) => {
      region.readExactVolatileFrom(offset, src, length);
      return length;
    });
    if (completed !== count) throw new PartialBuffer(count, completed);
  }

  /** Writes memory to a stream: see {@linkcode Bytes.writeVolatileTo}. */
  writeVolatileTo(addr: GuestAddress, dst: WriteSink, count: number): number {
    return this.#transfer(
      count,
      addr,
      (region, offset, length) => region.writeVolatileTo(offset, dst, length),
    );
  }

  /** Writes memory exactly to a stream: see {@linkcode Bytes.writeAllVolatileTo}. */
  writeAllVolatileTo(addr: GuestAddress, dst: WriteSink, count: number): void {
    const completed = this.tryAccess(count, addr, (_total, length, offset, region) => {
      region.writeAllVolatileTo(offset, dst, length);
      return length;
    });
    if (completed !== count) throw new PartialBuffer(count, completed);
  }

  /** A line for each region, and one for each hole between them. */
  toString(): string {
    const lines: string[] = [];
    let end: number | undefined;
    let total = 0;
    for (const region of this) {
      if (end !== undefined && region.startAddr > end) {
        lines.push(
          `  ${hex(end)}-${hex(region.startAddr - 1)} hole ${byteSize(region.startAddr - end)}`,
        );
      }
      lines.push(`  ${region}`);
      total += region.len;
      end = region.startAddr + region.len;
    }
    const regions = `${this.numRegions} region${this.numRegions === 1 ? "" : "s"}`;
    return [`${this.constructor.name} ${byteSize(total)} in ${regions}`, ...lines].join("\n");
  }

  #regionAt(addr: GuestAddress): R {
    const region = this.findRegion(addr);
    if (region === undefined) throw new InvalidGuestAddress(addr);
    return region;
  }

  // tryAccess without its error: 0 where the first byte is in no region.
  #access(count: number, addr: GuestAddress, access: AccessCallback<R>): number {
    let total = 0;
    while (total < count) {
      const cursor = advance(addr, total);
      const region = this.findRegion(cursor);
      if (region === undefined) break;
      const offset = cursor - region.startAddr as MemoryRegionAddress;
      const length = Math.min(region.len - offset, count - total);
      const done = access(total, length, offset, region);
      if (done === 0) break;
      // A region or a callback that lies must not move the cursor out of the range.
      if (!(done > 0 && done <= length)) {
        throw new CallbackOutOfRange(length, done);
      }
      total += done;
    }
    return total;
  }

  // The rest of a copy whose first region took `done` bytes.
  #continue(
    buf: Uint8Array,
    addr: GuestAddress,
    done: number,
    copy: (region: R, rest: Uint8Array, offset: MemoryRegionAddress) => number,
  ): number {
    // A region that lies must not move the cursor out of the buffer.
    if (!(done >= 0 && done < buf.length)) {
      throw new CallbackOutOfRange(buf.length, done);
    }
    if (done === 0) return 0;
    return done +
      this.#access(
        buf.length - done,
        advance(addr, done),
        (total, count, offset, region) =>
          copy(region, buf.subarray(done + total, done + total + count), offset),
      );
  }

  // One stream operation a region, ended by the first that is short, so that what was transferred
  // is a prefix.
  #transfer(
    count: number,
    addr: GuestAddress,
    transfer: (region: R, offset: MemoryRegionAddress, length: number) => number,
  ): number {
    let short = false;
    return this.tryAccess(count, addr, (_total, length, offset, region) => {
      if (short) return 0;
      const done = transfer(region, offset, length);
      short = done < length;
      return done;
    });
  }
}

/**
 * Iterates over slices up to the first error: a first one is thrown, a later one ends the
 * iteration. Mirrors `stop_on_error`.
 *
 * @param slices What {@linkcode GuestMemory.getSlices} returned.
 * @returns The slices before the error.
 *
 * @example
 * ```ts
 * import { GuestAddress, GuestMemoryHeap, stopOnError } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 0x1000]]);
 * const slices = [...stopOnError(memory.getSlices(GuestAddress(0xf00), 0x200))];
 * assertEquals(slices.map((slice) => slice.len), [0x100]);
 * ```
 */
export function* stopOnError(
  slices: Iterable<VolatileSlice>,
): Generator<VolatileSlice, void, void> {
  let first = true;
  try {
    for (const slice of slices) {
      first = false;
      yield slice;
    }
  } catch (error) {
    if (first) throw error;
  }
}

function advance(addr: GuestAddress, count: number): GuestAddress {
  const cursor = addr + count;
  // The end of the address space itself is in no region, so the access ends there like at a hole.
  if (cursor > ADDRESS_SPACE_END) throw new GuestAddressOverflow();
  return cursor as GuestAddress;
}
