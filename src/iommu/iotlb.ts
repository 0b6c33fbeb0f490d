/**
 * The translations an IOMMU remembers.
 *
 * @module
 */
import { ADDRESS_SPACE_END, type GuestAddress } from "../address.ts";
import { IommuMisconfigured, IotlbFails, type IovaRange } from "../error/iommu_error.ts";
import { hex } from "../text/number_format.ts";
import { wrongKind } from "../text/argument.ts";
import { checkPermissions, Permissions } from "../permissions.ts";

/** A range of guest physical addresses that a part of a range was translated to. */
export interface MappedRange {
  /** The first address. */
  readonly base: GuestAddress;
  /** Bytes. */
  readonly length: number;
}

interface Mapping {
  readonly start: number;
  readonly end: number;
  readonly target: number;
  readonly permissions: Permissions;
}

/**
 * Translations from I/O virtual to guest physical addresses, by byte. Mirrors `Iotlb`. Mappings
 * stay until they are invalidated.
 *
 * @example
 * ```ts
 * import { GuestAddress, Iotlb, IotlbFails, Permissions } from "@vmm/guest-memory";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const tlb = new Iotlb();
 * tlb.setMapping(GuestAddress(0x1000), GuestAddress(0x8000), 0x1000, Permissions.Read);
 * assertEquals(tlb.lookup(GuestAddress(0x1ff0), 0x10, Permissions.Read), [
 *   { base: GuestAddress(0x8ff0), length: 0x10 },
 * ]);
 * const fails = assertThrows(
 *   () => tlb.lookup(GuestAddress(0x1ff0), 0x20, Permissions.Write),
 *   IotlbFails,
 * );
 * assertEquals(fails.misses, [{ base: 0x2000, length: 0x10 }]);
 * assertEquals(fails.accessFails, [{ base: 0x1ff0, length: 0x10 }]);
 * ```
 */
export class Iotlb {
  // Sorted by start, and apart.
  #mappings: Mapping[] = [];
  #generation = 0;

  /** A number that changes with every mapping, for {@linkcode Iommu.generation}. */
  get generation(): number {
    return this.#generation;
  }

  /**
   * Maps a range. What was mapped there before is replaced.
   *
   * @param iova The first I/O virtual address.
   * @param mapTo The guest physical address that it is translated to.
   * @param length Bytes, at least 1.
   * @param permissions The permissions of the range.
   * @throws {IommuMisconfigured} A range is empty or ends beyond 2^53.
   */
  setMapping(
    iova: GuestAddress,
    mapTo: GuestAddress,
    length: number,
    permissions: Permissions,
  ): void {
    ensureRange(mapTo, length);
    checkPermissions(permissions);
    this.invalidateMapping(iova, length);
    let mapping: Mapping = { start: iova, end: iova + length, target: mapTo, permissions };
    let index = this.#firstEndingAfter(iova);
    // Adjacent mappings that continue it are merged with it: guests map page by page.
    const before = this.#mappings[index - 1];
    const after = this.#mappings[index];
    let replaced = 0;
    if (after !== undefined && follows(mapping, after)) {
      mapping = { ...mapping, end: after.end };
      replaced++;
    }
    if (before !== undefined && follows(before, mapping)) {
      mapping = { ...before, end: mapping.end };
      replaced++;
      index--;
    }
    this.#mappings.splice(index, replaced, mapping);
  }

  /**
   * Removes the mappings of a range. What is mapped around it stays.
   *
   * @param iova The first address.
   * @param length Bytes, at least 1.
   * @throws {IommuMisconfigured} The range is empty or ends beyond 2^53.
   */
  invalidateMapping(iova: GuestAddress, length: number): void {
    ensureRange(iova, length);
    this.#generation++;
    const end = iova + length;
    const first = this.#firstEndingAfter(iova);
    let last = first;
    const rests: Mapping[] = [];
    for (; last < this.#mappings.length && this.#mappings[last]!.start < end; last++) {
      const mapping = this.#mappings[last]!;
      if (mapping.start < iova) rests.push({ ...mapping, end: iova });
      if (mapping.end > end) {
        rests.push({ ...mapping, start: end, target: mapping.target + (end - mapping.start) });
      }
    }
    this.#mappings.splice(first, last - first, ...rests);
  }

  /** Removes all mappings. */
  invalidateAll(): void {
    this.#generation++;
    this.#mappings = [];
  }

  /**
   * Translates all of a range, or throws.
   *
   * @param iova The first address.
   * @param length Bytes. A range of zero bytes has no translations, at any address.
   * @param permissions What will be done.
   * @returns Guest physical ranges, in order, as long as the range in all.
   * @throws {IotlbFails} Parts of it are not mapped, or not for this.
   * @throws {IommuMisconfigured} The range ends beyond 2^53.
   */
  lookup(iova: GuestAddress, length: number, permissions: Permissions): MappedRange[] {
    if (length === 0) return [];
    ensureRange(iova, length);
    const found: MappedRange[] = [];
    const misses: IovaRange[] = [];
    const accessFails: IovaRange[] = [];
    const end = iova + length;
    let cursor: number = iova;
    for (let i = this.#firstEndingAfter(iova); cursor < end; i++) {
      const mapping = this.#mappings[i];
      const start = Math.min(mapping?.start ?? end, end);
      if (start > cursor) misses.push({ base: cursor, length: start - cursor });
      if (mapping === undefined || start === end) break;
      const from = Math.max(start, cursor);
      const count = Math.min(mapping.end, end) - from;
      if (Permissions.allow(mapping.permissions, permissions)) {
        found.push({
          base: mapping.target + (from - mapping.start) as GuestAddress,
          length: count,
        });
      } else {
        accessFails.push({ base: from, length: count });
      }
      cursor = from + count;
    }
    if (misses.length > 0 || accessFails.length > 0) throw new IotlbFails(misses, accessFails);
    return found;
  }

  // The index of the first mapping that ends after an address: it contains the address or is above.
  #firstEndingAfter(address: number): number {
    let low = 0;
    let high = this.#mappings.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#mappings[middle]!.end > address) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

// Whether b continues a, on both sides of the translation and with the same permissions.
function follows(a: Mapping, b: Mapping): boolean {
  return a.end === b.start && a.target + (a.end - a.start) === b.target &&
    a.permissions === b.permissions;
}

function ensureRange(base: number, length: number): void {
  const isRange = Number.isSafeInteger(base) && base >= 0 && Number.isInteger(length) &&
    length > 0 && length <= ADDRESS_SPACE_END - base;
  if (isRange) return;
  if (typeof base !== "number") throw wrongKind("address", base, "a number");
  if (typeof length !== "number") throw wrongKind("length", length, "a number");
  throw new IommuMisconfigured(
    `a range of ${length} bytes at ${hex(base)} is empty, ends beyond 2^53 or begins at no address`,
  );
}
