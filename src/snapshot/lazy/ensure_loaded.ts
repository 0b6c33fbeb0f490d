/**
 * Memory whose pages are still to be loaded.
 *
 * @module
 */
import { GuestRegionMmap } from "../../backend/mmap/guest_region_mmap.ts";
import { mappingOf } from "../../backend/mmap/mapped_memory.ts";
import { memoryOf } from "../../backend/mmap/mmap_region.ts";
import { RestoreUnfinished } from "../../error/fault_error.ts";
import type { GuestAddress } from "../../address.ts";
import type { GuestMemoryRegion } from "../../guest/region.ts";
import type { Place } from "../layout.ts";

/**
 * Refuses memory of which the kernel does not know all pages: what is not loaded looks like a hole.
 *
 * @throws {RestoreUnfinished} A region is such memory, whichever thread loads it.
 */
export function ensureLoaded(places: Iterable<Place<GuestMemoryRegion>>): void {
  for (const { range: region, startAddr } of places) {
    if (!(region instanceof GuestRegionMmap)) continue;
    if (mappingOf(memoryOf(region.mmap)).isRestoring) {
      throw new RestoreUnfinished(startAddr as GuestAddress);
    }
  }
}
