/**
 * How much of each region is in the host's RAM.
 *
 * @module
 */
import type { GuestAddress, GuestMemoryMmap } from "@vmm/guest-memory";

/**
 * The bytes of each region that are in the host's RAM.
 *
 * @param memory The memory whose regions are meant.
 * @returns A figure for each region, by its start.
 */
export function residentBytes(memory: GuestMemoryMmap): Map<GuestAddress, number> {
  return new Map(
    Array.from(memory, (region) => [region.startAddr, region.mmap.residentBytes()] as const),
  );
}
