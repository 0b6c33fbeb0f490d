/**
 * A snapshot of memory that is being written.
 *
 * @module
 */
import type { OpenFile } from "../../../ffi/descriptor_of.ts";
import { closeDescriptor } from "../../../ffi/descriptor.ts";
import { pageSize } from "../../../ffi/memory.ts";
import { SystemError } from "../../../ffi/system_error.ts";
import {
  FAULTS_OF,
  openWriteFaults,
  protectRegistered,
  registerMemory,
} from "../../../ffi/userfaultfd.ts";
import { Mapping } from "../../backend/mmap/mapping.ts";
import { RegionNotTrackable } from "../../error/tracking_error.ts";
import { MemoryClosed } from "../../error/volatile_memory_error.ts";
import type { GuestMemoryRegion } from "../../guest/region.ts";
import { checkFlag, wrongKind } from "../../text/argument.ts";
import { checkRegions } from "../check_regions.ts";
import { type Content, Contents, type SkippedPages } from "../content.ts";
import { layoutOf } from "../layout.ts";
import { ensureHandling } from "../lazy/ensure_handling.ts";
import { ensureLoaded } from "../lazy/ensure_loaded.ts";
import { manifestOf } from "../manifest.ts";
import { type MappedRegion, mappedRegion, pagesLength } from "../mapped_region.ts";
import { TargetFile } from "../target_file.ts";
import { Output, transfer } from "../transfer.ts";
import {
  readSnapshotOptions,
  type SnapshotOptions,
  type SnapshotReport,
} from "../write_snapshot.ts";
import { WrittenHash } from "../written_hash.ts";
import type { SavedRange } from "./page_saver.ts";
import { Saver } from "./saver.ts";

/** How memory is saved while it is written. */
export interface RunningSnapshotOptions extends SnapshotOptions {
  /**
   * Stops all writers, and returns when they have stopped. What memory has then is what the snapshot
   * has. Without it, what is written while the memory is being protected may be in it or not.
   */
  readonly pause?: () => void | Promise<void>;
  /** Lets the writers continue: called once the memory is protected, or cannot be. */
  readonly resume?: () => void | Promise<void>;
  /** See {@linkcode LazyOptions.userModeOnly}. */
  readonly userModeOnly?: boolean;
}

/**
 * Writes the memory of a guest that runs to a file, as {@linkcode writeSnapshot} does, with what it had
 * at one moment. The kernel protects all pages then (`userfaultfd(2)`); a thread of this library saves
 * each before it is first written, and all others in between. The writer of such a page waits for about
 * 15 microseconds. Linux 5.19 and later.
 *
 * The guest is paused for as long as protecting takes: some 10 milliseconds for each GiB that it has
 * used. Other mappings of the same memory, in this or other processes, can write without being noticed.
 * What is discarded meanwhile may be in the file or not. Permissions cannot be taken away meanwhile
 * ({@linkcode MappingShared}). The thread that calls this has to live until it returns: with a Worker that
 * is terminated, writers may wait for ever. Marks are neither read nor changed.
 *
 * @param memory The memory, or some regions: anonymous memory, memfds, and copies of a memfd.
 * @param file As of {@linkcode writeSnapshot}.
 * @param options How.
 * @returns What was written.
 * @throws {FaultsUnavailable} The kernel does not let this process handle page faults.
 * @throws {RegionNotTrackable} A region is other memory, or a {@linkcode WriteTracker} has it, or
 * another region has the same.
 * @throws {RestoreUnfinished} Pages of the memory are still to be loaded.
 * @throws {SnapshotRefused} The file cannot take a snapshot.
 * @throws {SnapshotFailed} A call failed: the storage is full, perhaps. The file is refused by
 * {@linkcode restore}.
 * @throws {MemoryClosed} The memory is closed.
 * @throws What `pause`, `resume` or `onProgress` throws, or the reason of the signal.
 *
 * @example
 * ```ts
 * import { capabilities, GuestAddress, GuestMemoryMmap, u32 } from "@vmm/guest-memory";
 * import { restore, snapshotWhileRunning } from "@vmm/guest-memory/snapshot";
 * import { assertEquals } from "@std/assert";
 *
 * if (capabilities().calls.pageFaults.available) {
 *   const ranges = [[GuestAddress(0), 2 ** 20]] as const;
 *   using memory = GuestMemoryMmap.fromRanges(ranges);
 *   memory.writeObj(u32, 1, GuestAddress(0x8000));
 *   using file = Deno.openSync(Deno.makeTempFileSync(), { read: true, write: true });
 *   await snapshotWhileRunning(memory, file, {
 *     // The guest would run on here.
 *     resume: () => memory.writeObj(u32, 2, GuestAddress(0x8000)),
 *   });
 *   using restored = restore(ranges, file, { mode: "eager" });
 *   assertEquals(restored.readObj(u32, GuestAddress(0x8000)), 1);
 * }
 * ```
 */
export async function snapshotWhileRunning(
  memory: Iterable<GuestMemoryRegion>,
  file: OpenFile,
  options: RunningSnapshotOptions = {},
): Promise<SnapshotReport> {
  checkRegions(memory);
  const { pause, resume, userModeOnly = false } = options;
  for (const [name, value] of Object.entries({ pause, resume })) {
    if (value === undefined || typeof value === "function") continue;
    throw wrongKind(name, value, "a function");
  }
  checkFlag("userModeOnly", userModeOnly);
  const { skip, generation, sha256, plan } = readSnapshotOptions(options);
  plan.signal?.throwIfAborted();
  const layout = layoutOf(memory);
  const { places, length } = layout;
  ensureLoaded(places);
  const regions = places.map(({ range }) => mappedRegion(range));
  ensureDistinct(regions);
  using contents = new Contents(places);
  using target = new TargetFile(file);
  target.ensureReplaceable(places.map(({ range }) => range));
  using hash = sha256 ? new WrittenHash(target, length) : undefined;
  using resources = new DisposableStack();
  const userfaultfd = resources.adopt(
    ensureHandling(() => openWriteFaults(userModeOnly)),
    closeDescriptor,
  );
  const common = { userfaultfd, file: target.fd, pageSize: pageSize() };
  const steps = hash === undefined ? length : 2 * length;
  await using saver = new Saver({ ...common, skipsZeros: skip === "zero" }, plan, length, steps);
  await saver.ready;
  plan.signal?.throwIfAborted();
  // Other memory may be there by now.
  if (regions.some(({ mapping }) => mapping.released)) throw new MemoryClosed("mapping");
  target.begin(length);
  const ended = Promise.withResolvers<void>();
  // No mapping goes away while it is protected.
  const holds = regions.map(({ mapping }) => mapping.during(() => ended.promise));
  try {
    await whilePaused(pause, resume, () => {
      // The thread reads the memory: nobody may take that permission away.
      for (const { mapping } of regions) {
        resources.adopt(Mapping.attach(mapping.share()), (hold) => hold.releaseExtra());
      }
      for (const region of regions) register(userfaultfd, region);
      const ranges = places.map(({ position }, index): SavedRange => {
        const { shape: { address, length } } = regions[index]!.mapping;
        const content = contents.all[index]!;
        return { address, length, position, runs: runsOf(content, skip) };
      });
      for (const { mapping } of regions) {
        protectRegistered(userfaultfd, mapping.shape.address, pagesLength(mapping));
      }
      saver.begin(ranges);
    });
    const written = await saver.finished();
    await transfer("write the snapshot", plan, length, new Output(target.fd), rest(), steps);
    const manifest = manifestOf(layout, length, generation, hash?.digest());
    return { bytes: length, written, manifest };
  } finally {
    await saver[Symbol.asyncDispose]();
    // Whoever still waits is let go.
    resources.dispose();
    ended.resolve();
    await Promise.all(holds);
  }

  function* rest(): Generator<number, void, void> {
    if (hash !== undefined) yield* hash.pieces();
    target.finish(plan.sync);
  }
}

// A page is saved once, and may be written then.
function ensureDistinct(regions: readonly MappedRegion[]): void {
  let end = 0;
  for (const { startAddr, mapping } of regions.toSorted((a, b) => addressOf(a) - addressOf(b))) {
    const { address } = mapping.shape;
    if (address < end) {
      throw new RegionNotTrackable(
        startAddr,
        "another region has the same memory: pause the guest, and use writeSnapshot()",
      );
    }
    end = address + pagesLength(mapping);
  }
}

function addressOf({ mapping }: MappedRegion): number {
  return mapping.shape.address;
}

// The first error counts. The writers continue in any case.
async function whilePaused(
  pause: RunningSnapshotOptions["pause"],
  resume: RunningSnapshotOptions["resume"],
  protect: () => void,
): Promise<void> {
  const errors: unknown[] = [];
  try {
    await pause?.();
    protect();
  } catch (error) {
    errors.push(error);
  }
  try {
    await resume?.();
  } catch (error) {
    errors.push(error);
  }
  if (errors.length > 0) throw errors[0];
}

function register(userfaultfd: number, { startAddr, mapping }: MappedRegion): void {
  try {
    registerMemory(userfaultfd, mapping.shape.address, pagesLength(mapping), FAULTS_OF.write);
  } catch (error) {
    const hint = error instanceof SystemError ? HINTS[error.code] : undefined;
    throw hint === undefined ? error : new RegionNotTrackable(startAddr, hint, error);
  }
}

const HINTS: Readonly<Record<string, string>> = {
  EBUSY: "a write tracker, or another snapshot, has its memory: close that first",
  EINVAL: "the kernel cannot hold its writes back: pause the guest, and use writeSnapshot()",
};

// The parts that have content now.
function runsOf(content: Content, skip: SkippedPages): Float64Array {
  if (skip === "nothing") return Float64Array.of(0, content.length);
  const runs: number[] = [];
  content.list((offset, length) => runs.push(offset, length));
  return Float64Array.from(runs);
}
