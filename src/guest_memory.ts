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
import { CallbackOutOfRange, GuestAddressOverflow } from "./guest_memory_error.ts";
import { InvalidGuestAddress } from "./guest_memory_error.ts";
import { showAsText } from "./inspect.ts";
import type { ReadSource, WriteSink } from "./io.ts";
import { type AccessCallback, checkCount, IoMemory, sliceOf } from "./io_memory.ts";
import { byteSize, hex } from "./number_format.ts";
import type { Permissions } from "./permissions.ts";
import type { GuestMemoryRegion } from "./region.ts";
import type { AtomicAccess } from "./scalar.ts";
import type { VolatileSlice } from "./volatile_slice.ts";

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
export abstract class GuestMemory<R extends GuestMemoryRegion = GuestMemoryRegion> extends IoMemory
  implements Iterable<R> {
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
    const offset = region?.toRegionAddr(addr);
    return offset === undefined ? undefined : [region!, offset];
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
   * @param _permissions What will be done with it: guest physical memory gives every permission.
   */
  checkRange(base: GuestAddress, length: number, _permissions?: Permissions): boolean {
    // A region of one's own may claim to go on beyond the end of the address space.
    if (!Number.isInteger(length) || length < 0 || length > ADDRESS_SPACE_END - base) return false;
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
    return sliceOf(region, addr - region.startAddr as MemoryRegionAddress, count);
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

  /**
   * {@linkcode GuestMemory.tryAccess} as {@linkcode IoMemory} has it. Guest physical memory gives
   * every permission; what a mapping's protection refuses, the access itself throws.
   */
  access(
    count: number,
    addr: GuestAddress,
    _permissions: Permissions,
    callback: AccessCallback<R>,
  ): number {
    return this.tryAccess(count, addr, callback);
  }

  /** The memory itself: its addresses are physical. */
  get physicalMemory(): this {
    return this;
  }

  /** Reads a value: see {@linkcode Bytes.readObj}. */
  override readObj<T>(codec: ByteValued<T>, addr: GuestAddress): T {
    const region = this.#regionOf(addr, codec.byteLength);
    if (region === undefined) return super.readObj(codec, addr);
    return region.readObj(codec, addr - region.startAddr as MemoryRegionAddress);
  }

  /** Writes a value: see {@linkcode Bytes.writeObj}. */
  override writeObj<T>(codec: ByteValued<T>, value: T, addr: GuestAddress): void {
    const region = this.#regionOf(addr, codec.byteLength);
    if (region === undefined) return super.writeObj(codec, value, addr);
    region.writeObj(codec, value, addr - region.startAddr as MemoryRegionAddress);
  }

  /** Reads an integer atomically: see {@linkcode Bytes.load}. It has to lie in one region. */
  override load<T extends number | bigint>(codec: AtomicAccess<T>, addr: GuestAddress): T {
    const region = this.#regionAt(addr);
    return region.load(codec, addr - region.startAddr as MemoryRegionAddress);
  }

  /** Writes an integer atomically: see {@linkcode Bytes.store}. It has to lie in one region. */
  override store<T extends number | bigint>(
    codec: AtomicAccess<T>,
    value: T,
    addr: GuestAddress,
  ): void {
    const region = this.#regionAt(addr);
    region.store(codec, value, addr - region.startAddr as MemoryRegionAddress);
  }

  /** Reads from a stream into memory: see {@linkcode Bytes.readVolatileFrom}. */
  override readVolatileFrom(addr: GuestAddress, src: ReadSource, count: number): number {
    const region = this.#regionOf(addr, count);
    if (region === undefined) return super.readVolatileFrom(addr, src, count);
    const offset = addr - region.startAddr as MemoryRegionAddress;
    return region.readVolatileFrom(offset, src, count);
  }

  /** Writes memory to a stream: see {@linkcode Bytes.writeVolatileTo}. */
  override writeVolatileTo(addr: GuestAddress, dst: WriteSink, count: number): number {
    const region = this.#regionOf(addr, count);
    if (region === undefined) return super.writeVolatileTo(addr, dst, count);
    const offset = addr - region.startAddr as MemoryRegionAddress;
    return region.writeVolatileTo(offset, dst, count);
  }

  /** A line for each region, and one for each hole between them. */
  override toString(): string {
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

  // The region that holds all of a range, which is not empty.
  #regionOf(addr: GuestAddress, length: number): R | undefined {
    const region = length > 0 ? this.findRegion(addr) : undefined;
    if (region === undefined || addr - region.startAddr + length > region.len) return undefined;
    return region;
  }

  // tryAccess without its error: 0 where the first byte is in no region.
  #access(count: number, addr: GuestAddress, callback: AccessCallback<R>): number {
    checkCount(count);
    let total = 0;
    while (total < count) {
      const cursor = addr + total as GuestAddress;
      const region = this.findRegion(cursor);
      if (region === undefined) break;
      const offset = cursor - region.startAddr as MemoryRegionAddress;
      // A memory of one's own may return a region that does not hold the address.
      if (!(offset >= 0 && offset < region.len)) break;
      const length = Math.min(region.len - offset, count - total);
      if (length > ADDRESS_SPACE_END - cursor) throw new GuestAddressOverflow();
      const done = callback(total, length, offset, region);
      if (done === 0) break;
      total += checkDone(done, length);
    }
    return total;
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

// A region or a callback that lies must not move an access out of its range.
function checkDone(done: number, expected: number): number {
  if (done >= 0 && done <= expected && Number.isInteger(done)) return done;
  throw new CallbackOutOfRange(expected, done);
}
