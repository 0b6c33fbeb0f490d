/**
 * What was written to copies of a file.
 *
 * @module
 */
import { closeDescriptor } from "../../ffi/descriptor.ts";
import { openPagemap, PAGE, scanPages } from "../../ffi/pagemap.ts";
import { readSystemFile } from "../../ffi/process.ts";
import type { Mapping } from "../backend/mmap/mapping.ts";
import { RegionNotTrackable, TrackingUnavailable } from "../error/tracking_error.ts";
import { MemoryClosed } from "../error/volatile_memory_error.ts";
import type { GuestDirtyRun } from "../guest/dirty_runs.ts";
import type { GuestMemoryRegion } from "../guest/region.ts";
import { checkRegions } from "./check_regions.ts";
import { ensureAvailable, type MappedRegion, mappedRegion, pagesLength } from "./mapped_region.ts";

/**
 * The bytes of a guest that may differ from the file that it maps privately (`Backing.file(file, {
 * private: true })`): what anybody has written or discarded through this mapping since it was made, in
 * whole pages. Nothing has to be started before, no bitmap is needed, and nothing is taken: the next
 * call lists it again. It takes Linux 6.7 and no privilege.
 *
 * A page counts when it has a copy of its own. Writing makes one, and so do the options `prefault` and
 * `lock`, which take pages to write. A write of the same bytes counts too. Writes to the file by others
 * do not.
 *
 * @param memory The memory, or some regions, by rising address.
 * @returns The runs by rising address, across adjacent regions as if they were one. Made during
 * iteration, a region at a time, of which each is as it is then.
 * @throws {RegionNotTrackable} A region is no private mapping of a file, or a write tracker has it.
 * @throws {TrackingUnavailable} The kernel does not list its pages.
 * @throws {MemoryClosed} The memory is closed, before or during the iteration.
 *
 * @example The pages of a clone that a diff has to have
 * ```ts
 * import { Backing, capabilities, GuestAddress, GuestMemoryMmap, pageSize } from "@vmm/guest-memory";
 * import { writtenSinceRestore } from "@vmm/guest-memory/snapshot";
 * import { assertEquals } from "@std/assert";
 *
 * const path = Deno.makeTempFileSync();
 * Deno.truncateSync(path, 2 ** 20);
 * using file = Deno.openSync(path);
 * using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 2 ** 20]], {
 *   backing: Backing.file(file, { private: true }),
 * });
 * memory.write(Uint8Array.of(1), GuestAddress(5 * pageSize()));
 * if (capabilities().trackers.writtenSinceRestore.available) {
 *   const written = [...writtenSinceRestore(memory)];
 *   assertEquals(written, [[GuestAddress(5 * pageSize()), pageSize()]]);
 * }
 * ```
 */
export function writtenSinceRestore(
  memory: Iterable<GuestMemoryRegion>,
): Generator<GuestDirtyRun, void, void> {
  checkRegions(memory);
  const regions = [...memory].map(mappedRegion);
  withPagemap((pagemap) => {
    for (const region of regions) ensureListable(pagemap, region);
  });
  return runsOf(regions);
}

// What the kernel can list: private copies of a file's pages that no write tracker protects. Protected
// holes look like pages that were swapped out.
function ensureListable(pagemap: number, { startAddr, mapping }: MappedRegion): void {
  if (mapping.released) throw new MemoryClosed("mapping");
  const { address, kind, shared } = mapping.shape;
  if (kind !== "file" || shared) {
    throw new RegionNotTrackable(
      startAddr,
      "it is no private mapping of a file: use its bitmap, or a WriteTracker",
    );
  }
  const range = { address, length: pagesLength(mapping) };
  ensureAvailable(() => {
    scanPages(pagemap, { ...range, mask: PAGE.wpAllowed }, () => {
      throw new RegionNotTrackable(startAddr, "a write tracker has its memory: close that first");
    });
  });
}

function withPagemap<T>(use: (pagemap: number) => T): T {
  const pagemap = ensureAvailable(openPagemap);
  try {
    return use(pagemap);
  } finally {
    closeDescriptor(pagemap);
  }
}

function* runsOf(regions: readonly MappedRegion[]): Generator<GuestDirtyRun, void, void> {
  let pending: [start: number, length: number] | undefined;
  for (const region of regions) {
    for (const [offset, length] of copiesIn(region)) {
      const start = region.startAddr + offset;
      if (pending !== undefined && pending[0] + pending[1] === start) pending[1] += length;
      else {
        if (pending !== undefined) yield pending as unknown as GuestDirtyRun;
        pending = [start, length];
      }
    }
  }
  if (pending !== undefined) yield pending as unknown as GuestDirtyRun;
}

type Run = [offset: number, length: number];

function copiesIn(region: MappedRegion): Run[] {
  const { mapping } = region;
  return withPagemap((pagemap) => {
    ensureListable(pagemap, region);
    const { address, length } = mapping.shape;
    const runs: Run[] = [];
    const scan = (start: number, end: number) => {
      const range = { address: address + start, length: end - start };
      scanPages(pagemap, { ...range, ...COPIES }, (offset, count) => {
        runs.push([start + offset, count]);
      });
    };
    let done = 0;
    // A page that was discarded is not there until it is touched: its mapping shows it.
    for (const [offset, count] of replacedIn(mapping)) {
      scan(done, offset);
      runs.push([offset, count]);
      done = offset + count;
    }
    scan(done, pagesLength(mapping));
    return runs.map(([offset, count]): Run => [offset, Math.min(count, length - offset)]);
  });
}

const COPIES = { mask: PAGE.file, inverted: PAGE.file, anyOf: PAGE.present | PAGE.swapped };

// The parts of a mapping whose place other memory has taken, by rising offset.
function replacedIn(mapping: Mapping): Run[] {
  const text = readSystemFile("/proc/self/maps");
  if (text === undefined) throw new TrackingUnavailable("/proc/self/maps cannot be read");
  const { address } = mapping.shape;
  const end = address + pagesLength(mapping);
  const runs: Run[] = [];
  // 7f0000000000-7f0000001000 rw-p 00000000 00:00 0
  for (const [, from, to] of text.matchAll(/^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ 0(?: |$)/gm)) {
    const [first, last] = [
      Math.max(parseInt(from!, 16), address),
      Math.min(parseInt(to!, 16), end),
    ];
    if (first < last) runs.push([first - address, last - first]);
  }
  return runs;
}
