/**
 * How much of a mapping is in RAM, and how much of it a file stores.
 *
 * @module
 */
import type { GuestMemoryMmap } from "@vmm/guest-memory";
import { reasonOf } from "./backings_error.ts";

const SMAPS = "/proc/self/smaps";
const DESCRIPTORS = "/proc/self/fd";

/** Why figures cannot be seen in this process; `null` where they can. */
export interface Unseen {
  /** Of bytes in RAM. */
  readonly resident: string | null;
  /** Of the blocks of a memfd. */
  readonly blocks: string | null;
}

/** Finds out what this process may see. */
export function whatIsUnseen(): Unseen {
  return {
    resident: whyNot(() => Deno.readTextFileSync(SMAPS)),
    blocks: whyNot(() => Deno.statSync(`${DESCRIPTORS}/0`)),
  };
}

function whyNot(look: () => void): string | null {
  try {
    look();
    return null;
  } catch (error) {
    return reasonOf(error) ?? String(error);
  }
}

/**
 * Bytes of a memory of one region that are in RAM and mapped.
 *
 * @param memory The memory.
 */
export function residentBytes(memory: GuestMemoryMmap): number {
  const { hostAddress: start, len } = memory.describe()[0]!;
  const end = start + len;
  let bytes = 0;
  let isInside = false;
  for (const line of Deno.readTextFileSync(SMAPS).split("\n")) {
    const bounds = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
    if (bounds !== null) {
      const [first, last] = [parseInt(bounds[1]!, 16), parseInt(bounds[2]!, 16)];
      isInside = first < end && start < last;
      // The kernel has joined it with anonymous memory beside it: of such memory mincore(2) is exact.
      if (isInside && (first < start || last > end)) return residentByPages(memory);
    } else if (isInside) {
      // Huge pages of hugetlbfs do not count as Rss.
      bytes += 1024 * Number(/^(?:Rss|(?:Private|Shared)_Hugetlb): +(\d+) kB/.exec(line)?.[1] ?? 0);
    }
  }
  return bytes;
}

function residentByPages(memory: GuestMemoryMmap): number {
  return memory.residentRanges().reduce((sum, [, length]) => sum + length, 0);
}

/**
 * `st_blocks` of the memfd of a memory; `null` where it has none.
 *
 * @param memory The memory.
 */
export function memfdBlocks(memory: GuestMemoryMmap): number | null {
  const { kind, fd } = memory.describe()[0]!;
  return kind === "memfd" && fd !== null ? Deno.statSync(`${DESCRIPTORS}/${fd}`).blocks : null;
}
