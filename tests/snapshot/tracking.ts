/**
 * Tests of what the kernel knows of writes.
 *
 * @module
 */
import {
  AtomicBitmap,
  capabilities,
  type GuestDirtyRun,
  type GuestMemory,
  GuestMemoryMmap,
  type MmapOptions,
  pageSize,
  takeDirty,
  type TrackerName,
} from "../../mod.ts";
import { gpa } from "../support/values.ts";

/** Why there is no such tracker here; `undefined` where there is. */
export function reasonOf(tracker: TrackerName): string | undefined {
  try {
    return capabilities().trackers[tracker].reason;
  } catch (error) {
    return (error as Error).message;
  }
}

function testOf(tracker: TrackerName) {
  const reason = reasonOf(tracker);
  const ignore = reason !== undefined;
  return (name: string, fn: () => void | Promise<void>) =>
    Deno.test({ name: ignore ? `${name} (ignored: ${reason})` : name, ignore, fn });
}

/** A test that needs a write tracker: ignored, and its name says why, where there is none. */
export const trackerTest: (name: string, fn: () => void | Promise<void>) => void = testOf(
  "writeTracker",
);

/** A test that needs the list of private copies. */
export const restoreTest: (name: string, fn: () => void | Promise<void>) => void = testOf(
  "writtenSinceRestore",
);

/** A memory whose bitmaps have a bit for each page of the host. */
export function trackedMemory(
  ranges: readonly (readonly [start: number, pages: number])[],
  options: MmapOptions = {},
): GuestMemoryMmap<AtomicBitmap> {
  const page = pageSize();
  return GuestMemoryMmap.fromRanges(
    ranges.map(([start, pages]) => [gpa(start), pages * page] as const),
    { ...options, bitmap: (length) => new AtomicBitmap(length, page) },
  );
}

/** The dirty pages of a memory, which are taken: the guest address of each. */
export function takePages(memory: GuestMemory): number[] {
  using dirty = takeDirty(memory);
  return pagesOf(dirty);
}

/** The guest address of each page in some runs. */
export function pagesOf(runs: Iterable<GuestDirtyRun>): number[] {
  const pages: number[] = [];
  for (const [start, length] of runs) {
    for (let at = 0; at < length; at += pageSize()) pages.push(start + at);
  }
  return pages;
}
