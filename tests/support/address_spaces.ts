/**
 * Maps of regions that change.
 *
 * @module
 */
import {
  type GuestAddress,
  GuestMemoryAtomic,
  GuestMemoryHeap,
  GuestRegionHeap,
} from "../../mod.ts";
import { gpa } from "./values.ts";

/** Bytes of a page. */
export const PAGE = 4096;
/** The address of a page. */
export const pageAt = (page: number): GuestAddress => gpa(page * PAGE);

/** A region of one page. */
export function heapRegion(page: number): GuestRegionHeap {
  return new GuestRegionHeap(pageAt(page), PAGE);
}

/** Publishes a map of some pages. */
export function heapSpace(...pages: number[]): GuestMemoryAtomic<GuestMemoryHeap> {
  return new GuestMemoryAtomic(
    GuestMemoryHeap.fromRanges(pages.map((page) => [pageAt(page), PAGE])),
  );
}

/** Publishes a map with one more region. */
export async function plug(space: GuestMemoryAtomic<GuestMemoryHeap>, page: number): Promise<void> {
  using exclusive = await space.lock();
  exclusive.replace(exclusive.memory.insertRegion(heapRegion(page)));
}
