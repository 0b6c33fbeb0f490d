/**
 * The dirty bytes of a whole guest.
 *
 * @module
 */
import type { GuestAddress } from "../address.ts";
import type { GuestMemory } from "./guest_memory.ts";
import type { GuestMemoryRegion } from "./region.ts";
import type { Bitmap } from "../bitmap/bitmap.ts";
import type { RunSource } from "../bitmap/run_source.ts";

/** Bytes of a guest that were written. */
export type GuestDirtyRun = readonly [addr: GuestAddress, length: number];

/**
 * The dirty bytes of a guest as runs, by rising address, across adjacent regions as if they were
 * one.
 *
 * @param memory The memory. Regions whose bitmap cannot list its marks have no runs.
 * @returns The runs, made during iteration, a region at a time.
 *
 * @example
 * ```ts
 * import { AtomicBitmap, dirtyRuns, GuestAddress, GuestMemoryHeap } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const memory = GuestMemoryHeap.fromRanges(
 *   [[GuestAddress(0x1_0000), 0x4000], [GuestAddress(0x1_4000), 0x4000]],
 *   { bitmap: (length) => new AtomicBitmap(length) },
 * );
 * memory.write(new Uint8Array(0x2000), GuestAddress(0x1_3000));
 * assertEquals([...dirtyRuns(memory)], [[GuestAddress(0x1_3000), 0x2000]]);
 * ```
 */
export function dirtyRuns(memory: GuestMemory): Generator<GuestDirtyRun, void, void> {
  return runsOfRegions(memory);
}

/** The runs of regions, or of what was taken of their bitmaps. */
export function* runsOfRegions(
  regions: Iterable<Pick<GuestMemoryRegion, "startAddr" | "len" | "bitmap">>,
): Generator<GuestDirtyRun, void, void> {
  let pending: [number, number] | undefined;
  for (const { startAddr, len, bitmap } of regions) {
    if (!listsRuns(bitmap)) continue;
    const runs: [number, number][] = pending === undefined ? [] : [pending];
    bitmap.forEachDirtyRun(
      (offset, length) => {
        const start = startAddr + offset;
        const last = runs.at(-1);
        if (last !== undefined && last[0] + last[1] === start) last[1] += length;
        else runs.push([start, length]);
      },
      0,
      len,
    );
    // The last run may continue in the next region.
    pending = runs.pop();
    yield* runs as unknown as GuestDirtyRun[];
  }
  if (pending !== undefined) yield pending as unknown as GuestDirtyRun;
}

function listsRuns(bitmap: Bitmap): bitmap is Bitmap & RunSource {
  return "forEachDirtyRun" in bitmap;
}
