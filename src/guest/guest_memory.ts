/**
 * The physical memory of a guest: regions with holes between them, accessed by guest address.
 *
 * | Item | What it is |
 * | --- | --- |
 * | {@linkcode GuestMemory} | what any guest memory can do, given its regions |
 * | {@linkcode GuestMemoryRegion} | one contiguous range of it |
 * | {@linkcode GuestRegionCollection} | guest memory as a sorted list of regions |
 * | {@linkcode GuestMemoryError} | the base class of errors |
 *
 * @module
 */
import { Address, ADDRESS_SPACE_END, type GuestAddress } from "../address.ts";
import type { MemoryRegionAddress } from "../address.ts";
import { CallbackOutOfRange, GuestAddressOverflow } from "../error/guest_memory_error.ts";
import { InvalidGuestAddress } from "../error/guest_memory_error.ts";
import type { Permissions } from "../permissions.ts";
import { showAsText } from "../text/inspect.ts";
import { byteSize, hex } from "../text/number_format.ts";
import type { VolatileSlice } from "../volatile/volatile_slice.ts";
import { type AccessCallback, sliceOf } from "./access.ts";
import { IoMemory } from "./io_memory.ts";
import type { GuestMemoryRegion } from "./region.ts";
import { checkAddress, checkCount, checkNumber } from "../text/argument.ts";

/**
 * The physical memory of a guest. Mirrors the trait `GuestMemory` (up to 0.16) and
 * `GuestMemoryBackend` (0.18), with the blanket `Bytes<GuestAddress>`.
 *
 * Accesses continue across adjacent regions as if they were one, and end at a hole. Atomic accesses
 * and {@linkcode GuestMemory.getSlice} stay in one region. The list of regions does not change: see
 * {@linkcode GuestRegionCollection.insertRegion}.
 *
 * A custom memory defines `findRegion` and iteration.
 *
 * @typeParam R The kind of its regions.
 *
 * @example A device works on any of them
 * ```ts
 * import {
 *   GuestAddress,
 *   guestAddress,
 *   type GuestMemory,
 *   GuestMemoryHeap,
 *   u64,
 * } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * function follow(memory: GuestMemory, pointer: GuestAddress): bigint {
 *   return memory.readObj(u64, memory.readObj(guestAddress, pointer));
 * }
 *
 * const memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 0x1000]]);
 * memory.writeObj(guestAddress, GuestAddress(0x800), GuestAddress(0x10));
 * memory.writeObj(u64, 7n, GuestAddress(0x800));
 * assertEquals(follow(memory, GuestAddress(0x10)), 7n);
 * assertEquals([...memory].map((region) => region.len), [0x1000]);
 * ```
 */
export abstract class GuestMemory<R extends GuestMemoryRegion = GuestMemoryRegion> extends IoMemory
  implements Iterable<R> {
  static {
    showAsText(this);
  }

  /**
   * The region that contains an address.
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

  /** The region that contains an address and the offset in it, or `undefined` in a hole. */
  toRegionAddr(addr: GuestAddress): [R, MemoryRegionAddress] | undefined {
    const region = this.findRegion(addr);
    const offset = region?.toRegionAddr(addr);
    return offset === undefined ? undefined : [region!, offset];
  }

  /** Whether a region contains the address. */
  addressInRange(addr: GuestAddress): boolean {
    return this.findRegion(addr) !== undefined;
  }

  /** The address itself if a region contains it. */
  checkAddress(addr: GuestAddress): GuestAddress | undefined {
    return this.addressInRange(addr) ? addr : undefined;
  }

  /**
   * Whether regions contain all of a range. They contain every range of zero bytes.
   *
   * @param base Where the range begins.
   * @param length Bytes.
   * @param _permissions What will be done with it: guest physical memory gives every permission.
   */
  checkRange(base: GuestAddress, length: number, _permissions?: Permissions): boolean {
    // A custom region may claim to extend beyond the end of the address space.
    checkAddress(base);
    checkNumber("length", length);
    if (!Number.isInteger(length) || length < 0 || length > ADDRESS_SPACE_END - base) return false;
    return this.#access(length, base, (_total, count) => count) === length;
  }

  /**
   * `base + offset` if a region contains it. There may be holes between the two.
   *
   * @param base The address to count from.
   * @param offset Bytes.
   */
  checkedOffset(base: GuestAddress, offset: number): GuestAddress | undefined {
    checkNumber("offset", offset);
    const sum = Address.checkedAdd(base, offset);
    return sum === undefined ? undefined : this.checkAddress(sum);
  }

  /**
   * The host virtual address (HVA) of a byte: see {@linkcode GuestMemoryRegion.getHostAddress}. The
   * bytes up to the end of the region follow it.
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
   * A range as one slice. It has to be in one region, which has to be in host memory.
   *
   * @param addr Where it begins.
   * @param count Bytes.
   * @throws {InvalidGuestAddress} The first byte is in no region.
   * @throws {InvalidBackendAddress} The range leaves the region.
   * @throws {HostAddressNotAvailable} The region is not in host memory.
   */
  getSlice(addr: GuestAddress, count: number): VolatileSlice {
    const region = this.#regionAt(addr);
    return sliceOf(region, addr - region.startAddr as MemoryRegionAddress, count);
  }

  /**
   * Calls a function for each part of a range that is in one region, in order, up to the end of the
   * range, up to a hole, or until the function returns 0.
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

  // tryAccess without its error: 0 where the first byte is in no region.
  #access(count: number, addr: GuestAddress, callback: AccessCallback<R>): number {
    checkAddress(addr);
    checkCount(count);
    let total = 0;
    while (total < count) {
      const cursor = addr + total as GuestAddress;
      const region = this.findRegion(cursor);
      if (region === undefined) break;
      const offset = cursor - region.startAddr as MemoryRegionAddress;
      // A custom memory may return a region that does not contain the address.
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

// A wrong region or callback must not move an access out of its range.
function checkDone(done: number, expected: number): number {
  if (done >= 0 && done <= expected && Number.isInteger(done)) return done;
  throw new CallbackOutOfRange(expected, done);
}
