/**
 * Who wrote, as the kernel knows it.
 *
 * @module
 */
import { closeDescriptor } from "../../ffi/descriptor.ts";
import { pageSize } from "../../ffi/memory.ts";
import {
  openPagemap,
  PAGE,
  RUN_WORDS,
  SCAN,
  scanPageRuns,
  scanPages,
  wide,
} from "../../ffi/pagemap.ts";
import { SystemError } from "../../ffi/system_error.ts";
import {
  FAULTS_OF,
  openWriteProtection,
  protectRegistered,
  registerMemory,
} from "../../ffi/userfaultfd.ts";
import { OwnedDescriptor } from "../backend/mmap/owned_descriptor.ts";
import { type Bitmap, forAll, NoBitmap } from "../bitmap/bitmap.ts";
import { RegionNotTrackable } from "../error/tracking_error.ts";
import { MemoryClosed } from "../error/volatile_memory_error.ts";
import type { GuestMemoryRegion } from "../guest/region.ts";
import { checkRegions } from "./check_regions.ts";
import { FoundPages } from "./found_pages.ts";
import { trackLoading } from "./lazy/fault_handler.ts";
import { ensureAvailable, type MappedRegion, mappedRegion, pagesLength } from "./mapped_region.ts";

/**
 * Marks in the regions' bitmaps what anybody has written through the mappings of this process, pages
 * at a time: the library, raw views, code that has a host address, system calls that read into
 * memory, other threads, guests on KVM. The kernel protects the pages, takes the protection away at
 * the first write, and says which pages have none (`UFFD_FEATURE_WP_ASYNC` and `PAGEMAP_SCAN`). It
 * takes Linux 6.7 and no privilege.
 *
 * {@linkcode WriteTracker.collect} adds to what the regions' bitmaps have already.
 * {@linkcode takeDirty}, `dirtyRuns` and `merge` are used as ever.
 *
 * It is exact in whole pages: those of the host, or huge pages of hugetlbfs. Reading is
 * never a write, and what is written again with the same bytes is. The first write to a page after
 * each `collect` takes the kernel about a microsecond, all others nothing. What else there is to know:
 *
 * - **Not seen** is what does not go through the page tables of this process: other mappings of the
 *   same memory in other processes, `pwrite` to its file, truncation of it. Another process has a
 *   tracker of its own, or marks an {@linkcode AtomicBitmap.over} shared memory. A child process that
 *   is forked is not tracked, and the parent still is.
 * - **Discarded** pages are marked by `discard` itself. Marks of the tracker may follow.
 * - **Regions** are those of the map when it starts. Regions that are inserted later take a tracker of
 *   their own: `WriteTracker.start([region])`. A region that this thread has closed is not tracked any
 *   more, whoever else maps it.
 * - **Pages**: tracking takes page tables for all of the memory, also for what was never touched: 2 MiB
 *   for each GiB. Transparent huge pages of private memory stay whole until the first write of each,
 *   those of shared memory are mapped in single pages. Pages that the kernel merges with others
 *   (`mergeable`) may count as written.
 *
 * @example
 * ```ts
 * import {
 *   AtomicBitmap,
 *   capabilities,
 *   GuestAddress,
 *   GuestMemoryMmap,
 *   pageSize,
 *   takeDirty,
 * } from "@vmm/guest-memory";
 * import { WriteTracker } from "@vmm/guest-memory/snapshot";
 * import { assertEquals } from "@std/assert";
 *
 * const page = pageSize();
 * using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 2 ** 20]], {
 *   bitmap: (length) => new AtomicBitmap(length, page),
 * });
 * if (capabilities().trackers.writeTracker.available) {
 *   using tracker = WriteTracker.start(memory);
 *   // A view that the library does not mark.
 *   memory.getSlice(GuestAddress(3 * page), 1).rawView()[0] = 1;
 *   assertEquals(tracker.collect(), page);
 *   using dirty = takeDirty(memory);
 *   assertEquals([...dirty], [[GuestAddress(3 * page), page]]);
 *   assertEquals(tracker.collect(), 0);
 * }
 * ```
 */
export class WriteTracker implements Disposable {
  readonly #pagemap: OwnedDescriptor;
  readonly #resources: DisposableStack;
  #targets: readonly Target[];

  private constructor(pagemap: OwnedDescriptor, resources: DisposableStack, targets: Target[]) {
    if (!(pagemap instanceof OwnedDescriptor)) throw new TypeError("Illegal constructor");
    this.#pagemap = pagemap;
    this.#resources = resources;
    this.#targets = targets;
  }

  /**
   * Starts tracking. What was written before is not reported.
   *
   * @param memory The memory, or some regions. Each is mapped by this library and has a bitmap.
   * @returns The tracker. Close it, or the pages stay protected.
   * @throws {TrackingUnavailable} The kernel cannot do it here.
   * @throws {RegionNotTrackable} A region has no bitmap or is not mapped, or another tracker has its
   * mapping, that of another map or thread perhaps. Nothing is tracked then.
   * @throws {MemoryClosed} The memory is closed.
   * @throws {SystemError} A call failed for another reason.
   */
  static start(memory: Iterable<GuestMemoryRegion>): WriteTracker {
    checkRegions(memory);
    const mapped = [...memory].map(targetOf).sort((a, b) => a.start - b.start);
    using resources = new DisposableStack();
    const pagemap = new OwnedDescriptor(ensureAvailable(openPagemap), "write tracker");
    resources.use({ [Symbol.dispose]: () => pagemap.close() });
    // Closed since by what was asked afterwards, and other memory may be there now.
    if (mapped.some(({ mapping }) => mapping.released)) throw new MemoryClosed("mapping");
    let own: number | undefined;
    const targets = mapped.map((target): Target => {
      // Memory that is being loaded has a descriptor, and cannot have two.
      const tracking = trackLoading(target.mapping, target.startAddr);
      if (tracking !== undefined) {
        resources.defer(() => tracking.end());
        return { ...target, userfaultfd: resources.adopt(tracking.fd, closeDescriptor) };
      }
      own ??= resources.adopt(ensureAvailable(openWriteProtection), closeDescriptor);
      const registered = { ...target, userfaultfd: own };
      register(registered);
      return registered;
    });
    for (const target of targets) splitHugePages(pagemap.fd, target);
    for (const range of rangesOf(targets)) arm(pagemap.fd, range);
    return new WriteTracker(pagemap, resources.move(), targets);
  }

  /** Whether the tracker is closed. */
  get closed(): boolean {
    return this.#pagemap.closed;
  }

  /**
   * Marks what was written since the last call, or the start, in the regions' bitmaps, and protects it
   * again, in one step: a write that other threads make meanwhile is found now or by the next call.
   *
   * @returns Bytes that were written, in whole pages, as far as these are in the regions.
   * @throws {DescriptorClosed} The tracker is closed.
   * @throws {SystemError} A call failed.
   * @throws The error of a bitmap that cannot be marked. The next call marks it again.
   */
  collect(): number {
    const { fd: pagemap } = this.#pagemap;
    this.#targets = this.#targets.filter(({ mapping }) => !mapping.released);
    const targets = this.#targets;
    let bytes = 0;
    try {
      for (const target of targets) if (target.isReplaced) register(target);
      for (const range of rangesOf(targets)) bytes += findWritten(pagemap, range);
    } finally {
      // A bitmap may be the caller's: nothing of it runs before the last system call.
      forAll(targets, ({ found, bitmap }) => found.moveTo(bitmap));
    }
    return bytes;
  }

  /** Ends tracking. What was written since the last `collect` is not reported. Closing again does nothing. */
  close(): void {
    this.#targets = [];
    this.#resources.dispose();
  }

  /** The same as {@linkcode WriteTracker.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** A region that is tracked. */
interface Target extends MappedTarget {
  /** The descriptor with which its memory is registered. */
  readonly userfaultfd: number;
}

/** A region that is to be tracked. */
interface MappedTarget extends MappedRegion {
  readonly bitmap: Bitmap;
  /** What its bitmap does not have yet. */
  readonly found: FoundPages;
  /** Its host addresses. */
  readonly start: number;
  readonly end: number;
  /** Whether other memory may take the place of a part: by a discard, or by its owner. */
  readonly isReplaced: boolean;
}

// A hole counts too. All were protected, so that one which is not had a page that was discarded, or
// written and then taken back by the kernel, as it does with pages of files and of shared memory.
const WRITTEN = { mask: PAGE.written, returned: PAGE.written, flags: SCAN.protect };

function targetOf(region: GuestMemoryRegion): MappedTarget {
  const { bitmap } = region;
  const mapped = mappedRegion(region);
  if (bitmap === NoBitmap) {
    throw new RegionNotTrackable(
      mapped.startAddr,
      "it has no bitmap to mark: map it with the option bitmap",
    );
  }
  const { address, length, kind, shared } = mapped.mapping.shape;
  const isReplaced = kind === "foreign" || kind === "file" && !shared;
  const found = new FoundPages(length, pageSize());
  return { ...mapped, bitmap, found, start: address, end: address + length, isReplaced };
}

function register({ userfaultfd, startAddr, start, mapping }: Target): void {
  try {
    registerMemory(userfaultfd, start, pagesLength(mapping), FAULTS_OF.write);
  } catch (error) {
    if (!(error instanceof SystemError && error.code === "EBUSY")) throw error;
    throw new RegionNotTrackable(
      startAddr,
      "another write tracker, or a lazy restore of another thread, has its memory",
      error,
    );
  }
}

/** Host addresses to scan. */
interface Range {
  readonly address: number;
  length: number;
  /** The targets in it: one, but for regions that map the same. Who scans takes what was written. */
  readonly targets: Target[];
}

// The ranges of targets that are in order of their addresses.
function rangesOf(targets: readonly Target[]): Range[] {
  const ranges: Range[] = [];
  for (const target of targets) {
    const { start: address, mapping } = target;
    const length = pagesLength(mapping);
    const last = ranges.at(-1);
    if (last === undefined || address >= last.address + last.length) {
      ranges.push({ address, length, targets: [target] });
    } else {
      last.length = Math.max(last.length, address + length - last.address);
      last.targets.push(target);
    }
  }
  return ranges;
}

// The first write to a huge page of shared memory, or of a file, would unmap all of it, and all of it
// would count as written.
function splitHugePages(pagemap: number, { userfaultfd, start, mapping }: Target): void {
  const { kind, shared, pageSize: granule } = mapping.shape;
  // Those of private memory are split by their first write, and those of hugetlbfs stay whole.
  if (kind === "anonymous" && !shared || granule !== pageSize()) return;
  const range = { address: start, length: pagesLength(mapping) };
  scanPages(pagemap, { ...range, mask: PAGE.huge }, (offset, length) => {
    protectRegistered(userfaultfd, start + offset, length);
  });
}

function arm(pagemap: number, { address, length }: Range): void {
  const flags = SCAN.protect | SCAN.checkProtection;
  ensureAvailable(() => scanPages(pagemap, { address, length, flags }));
}

// Returns the bytes that were found.
function findWritten(pagemap: number, { address, length, targets }: Range): number {
  const scan = { address, length, ...WRITTEN };
  let bytes = 0;
  const [{ found, end }] = targets as [Target];
  if (targets.length === 1) {
    let last = address;
    scanPageRuns(pagemap, scan, (runs) => {
      bytes += found.addRuns(runs, address);
      last = wide(runs.words, (runs.count - 1) * RUN_WORDS + 2);
    });
    // The last page may end beyond the memory.
    return bytes - Math.max(0, last - end);
  }
  scanPages(pagemap, scan, (offset, count) => {
    for (const { start, end, found } of targets) {
      const from = Math.max(address + offset, start);
      const to = Math.min(address + offset + count, end);
      if (from >= to) continue;
      found.add(from - start, to - from);
      bytes += to - from;
    }
  });
  return bytes;
}
