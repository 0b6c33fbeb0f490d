/**
 * The translations that memory behind an IOMMU remembers.
 *
 * @module
 */
import type { GuestAddress } from "../address.ts";
import type { GuestMemoryRegion } from "../guest/region.ts";
import { Permissions } from "../permissions.ts";
import type { VolatileSlice } from "../volatile/volatile_slice.ts";
import { checkNumber } from "../text/argument.ts";

/** A page of I/O virtual addresses. */
export interface TranslatedPage {
  /** Its first address. */
  readonly iova: number;
  /** The address after its last byte. */
  readonly end: number;
  /** The guest physical address of its first byte. */
  readonly physical: GuestAddress;
  /** The region that has all of it. */
  readonly region: GuestMemoryRegion | undefined;
  /** Its bytes, with what records writes to them; `undefined` if they are not in one piece. */
  readonly piece: VolatileSlice | undefined;
}

// Pages for each kind of access. A device uses the pages of its rings, and of a few buffers.
const SLOTS = 64;

/**
 * Remembers pages of I/O virtual addresses, the last one for each slot, as long as the IOMMU's
 * mappings stay as they are.
 */
export class TranslationCache {
  /** Bytes of a page, a power of two. */
  readonly pageSize: number;
  readonly #pagesPerByte: number;
  #generation: number | undefined;
  #readable: (TranslatedPage | undefined)[] = emptySlots();
  #writable: (TranslatedPage | undefined)[] = emptySlots();

  /**
   * Remembers nothing yet.
   *
   * @param pageSize Bytes of a page.
   * @throws {RangeError} It is no power of two from 1 to 2^30.
   */
  constructor(pageSize: number) {
    checkNumber("pageSize", pageSize);
    if (!(pageSize >= 1 && pageSize <= 2 ** 30 && Number.isInteger(Math.log2(pageSize)))) {
      throw new RangeError(
        `Cannot remember pages of ${pageSize} bytes: it must be a power of two up to 2^30`,
      );
    }
    this.pageSize = pageSize;
    this.#pagesPerByte = 1 / pageSize;
  }

  /**
   * Forgets every page unless the mappings are those of a generation, which is remembered.
   *
   * @returns Whether they are.
   */
  keep(generation: number): boolean {
    if (generation === this.#generation) return true;
    this.#generation = generation;
    this.#readable = emptySlots();
    this.#writable = emptySlots();
    return false;
  }

  /** The remembered page that has all of a range of at least one byte. */
  find(iova: number, length: number, permissions: Permissions): TranslatedPage | undefined {
    const slots = permissions === Permissions.Read ? this.#readable : this.#writable;
    const page = slots[iova * this.#pagesPerByte & SLOTS - 1];
    // A difference: a sum beyond 2^53 would be rounded.
    const isInside = page !== undefined && iova >= page.iova && length <= page.end - iova;
    return isInside && length > 0 && Number.isInteger(iova) ? page : undefined;
  }

  /** Remembers a page, if the mappings are those of a generation still. */
  add(generation: number, permissions: Permissions, page: TranslatedPage): void {
    if (generation !== this.#generation) return;
    const slots = permissions === Permissions.Read ? this.#readable : this.#writable;
    slots[page.iova * this.#pagesPerByte & SLOTS - 1] = page;
  }
}

function emptySlots(): (TranslatedPage | undefined)[] {
  return Array.from({ length: SLOTS });
}
