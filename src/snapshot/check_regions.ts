/**
 * What functions of snapshots take as memory.
 *
 * @module
 */
import type { GuestMemoryRegion } from "../guest/region.ts";
import { wrongKind } from "../text/argument.ts";

/**
 * Refuses what is no list of regions. None of them is asked.
 *
 * @throws {TypeError} It is something else.
 */
export function checkRegions(memory: Iterable<GuestMemoryRegion>): void {
  if (typeof memory?.[Symbol.iterator] === "function") return;
  throw wrongKind("memory", memory, "a guest memory or a list of regions");
}
