/**
 * Memory whose pages are loaded when they are touched.
 *
 * @module
 */
import type { OpenFile } from "../../../ffi/descriptor_of.ts";
import { duplicate } from "../../../ffi/descriptor.ts";
import {
  FAULTS_OF,
  openMissingPages,
  registerMemory,
  unregisterMemory,
} from "../../../ffi/userfaultfd.ts";
import { GuestMemoryMmap } from "../../backend/mmap/guest_memory_mmap.ts";
import { GuestRegionMmap } from "../../backend/mmap/guest_region_mmap.ts";
import { mappingOf } from "../../backend/mmap/mapped_memory.ts";
import type { Mapping } from "../../backend/mmap/mapping.ts";
import { memoryOf } from "../../backend/mmap/mmap_region.ts";
import { OwnedDescriptor } from "../../backend/mmap/owned_descriptor.ts";
import { NotRestoring } from "../../error/fault_error.ts";
import { RegionNotTrackable, TrackingUnavailable } from "../../error/tracking_error.ts";
import { MemoryClosed } from "../../error/volatile_memory_error.ts";
import type { GuestMemoryRegion } from "../../guest/region.ts";
import type { GuestAddress } from "../../address.ts";
import { FileOffset } from "../../backend/mmap/file_offset.ts";
import { checkFlag } from "../../text/argument.ts";
import { checkRegions } from "../check_regions.ts";
import { type GuestRange, layoutOf, type Place } from "../layout.ts";
import { pagesLength } from "../mapped_region.ts";
import type { TransferProgress } from "../transfer.ts";
import { ensureHandling } from "./ensure_handling.ts";
import { Loading, type LoadOptions, type LoadPlan, readLoadOptions } from "./loading.ts";
import { pagesOf, type WorkingSet, workingSetOf } from "./working_set.ts";

/** How pages are loaded when they are touched. */
export interface LazyOptions extends LoadOptions {
  /** What was touched first by guests of the same snapshot: it is loaded before all else. */
  readonly workingSet?: WorkingSet;
  /**
   * Whether faults of this program's own code alone are handled, which takes no privilege. System calls
   * that access a page that is not loaded then fail with `EFAULT`, and a guest on KVM ends. False by
   * default.
   */
  readonly userModeOnly?: boolean;
  /**
   * Whether a thread of this process loads the pages. True by default. Without, another process has to
   * do it: send it {@linkcode FaultHandler.fd} and {@linkcode FaultHandler.ranges}, for a
   * {@linkcode FaultServer}.
   */
  readonly thread?: boolean;
}

/** Memory of a process, for another process that loads its pages: numbers alone, for JSON. */
export interface FaultRange {
  /** The host address of its first byte, in the process whose memory it is. */
  readonly hostAddress: number;
  /** Bytes, of whole pages. */
  readonly len: number;
  /** Where its content begins in the file. */
  readonly position: number;
}

/** Options as they were read from the caller, once. */
export interface LazyPlan extends LoadPlan {
  readonly workingSet: WorkingSet;
  readonly userModeOnly: boolean;
  readonly thread: boolean;
}

/** @throws {TypeError} An option is of another kind. */
export function readLazyOptions(options: LazyOptions): LazyPlan {
  const { workingSet = [], userModeOnly = false, thread = true } = options;
  checkFlag("userModeOnly", userModeOnly);
  checkFlag("thread", thread);
  return { ...readLoadOptions(options), workingSet, userModeOnly, thread };
}

// Those of this thread. They end with their mapping.
const handlers = new WeakMap<Mapping, FaultHandler>();

let make: (memory: GuestMemoryMmap, fd: number, plan: LazyPlan) => FaultHandler;
let track: (handler: FaultHandler, mapping: Mapping, startAddr: GuestAddress) => LoadTracking;

/**
 * Loads the pages of a memory when they are touched.
 *
 * @param memory The memory, of whose pages none is there.
 * @param fd The file, which may be closed afterwards.
 * @param plan How.
 * @throws {FaultsUnavailable} The kernel does not let this process do it.
 * @throws {InvalidGuestAddress} The working set is of other memory.
 * @throws {SystemError} A call failed.
 */
export function loadWhenTouched(memory: GuestMemoryMmap, fd: number, plan: LazyPlan): void {
  make(memory, fd, plan);
}

/** The tracking of writes to memory that is being loaded. */
export interface LoadTracking {
  /** A descriptor with which the memory is registered, for its protection too. The caller closes it. */
  readonly fd: number;
  /** Ends it. */
  end(): void;
}

/**
 * Prepares the tracking of writes to memory that is being loaded.
 *
 * @param mapping Its mapping.
 * @param startAddr Where it is in the guest, for errors.
 * @returns What there is for it; `undefined` if this thread does not load the memory.
 * @throws {RegionNotTrackable} Another tracker has it, or another process loads it.
 * @throws {TrackingUnavailable} The kernel cannot do it.
 */
export function trackLoading(mapping: Mapping, startAddr: GuestAddress): LoadTracking | undefined {
  const handler = handlers.get(mapping);
  return handler && track(handler, mapping, startAddr);
}

/**
 * Loads the pages of a memory that {@linkcode restore} made in mode `"lazy"`: from the file, when they
 * are touched, by a thread of this library; and the others in between, 16 pages at a time. Touching a
 * page that is not loaded takes about 10 microseconds (`userfaultfd(2)`), by whatever code: this
 * library, views, system calls, other threads, guests on KVM.
 *
 * When all pages are loaded, the memory is as any other. Until then:
 *
 * - `discard` is obeyed: what was discarded reads zero, and is never loaded.
 * - A {@linkcode WriteTracker} of the thread that restored the memory works. Loading a page is no write.
 *   Holes are then loaded page by page too, until the tracker is closed.
 * - {@linkcode writeSnapshot} refuses the memory.
 * - If the file cannot be read, the thread writes so to the standard error, as the thread that waits for
 *   a page hears nothing else; {@linkcode FaultHandler.done} is rejected; and the page is tried again
 *   each second. {@linkcode FaultHandler.restart} takes another file.
 *
 * The thread that restored the memory has to live until then: with a Worker that is terminated, the
 * loading ends too, and whoever touches a page waits for ever.
 *
 * It ends with the memory: when that is closed, and no other thread holds it. A program does not end
 * before, unless another process loads. The file is read by the kernel alone: a file that is cut off
 * is an error, no `SIGBUS`.
 *
 * @example
 * ```ts
 * import { capabilities, GuestAddress } from "@vmm/guest-memory";
 * import { FaultHandler, restore } from "@vmm/guest-memory/snapshot";
 * import { assertEquals } from "@std/assert";
 *
 * const path = Deno.makeTempFileSync();
 * Deno.truncateSync(path, 2 ** 20);
 * if (capabilities().calls.pageFaults.available) {
 *   using file = Deno.openSync(path);
 *   using memory = restore([[GuestAddress(0), 2 ** 20]], file, { mode: "lazy" });
 *   // The guest may run already. When this is settled, the file is not needed any more.
 *   const handler = FaultHandler.of(memory);
 *   await handler.done;
 *   assertEquals(handler.progress, { bytes: 2 ** 20, total: 2 ** 20 });
 * }
 * Deno.removeSync(path);
 * ```
 */
export class FaultHandler {
  static {
    make = (memory, fd, plan) => new FaultHandler(memory, fd, plan);
    track = (handler, mapping, startAddr) => handler.#track(mapping, startAddr);
  }

  readonly #userfaultfd: OwnedDescriptor;
  readonly #canProtect: boolean;
  // Without the regions: memory that nobody refers to is given back.
  readonly #places: readonly Place<GuestRange>[];
  readonly #mappings: readonly Mapping[];
  readonly #loading: Loading;
  // Mappings that are still to be served, and what ends their service.
  readonly #served = new Map<Mapping, () => void>();
  readonly #tracked = new Set<Mapping>();
  #isLoaded = false;

  private constructor(memory: GuestMemoryMmap, fd: number, plan: LazyPlan) {
    if (!(memory instanceof GuestMemoryMmap)) throw new TypeError("Illegal constructor");
    const { places, length } = layoutOf<GuestRegionMmap>(memory);
    this.#places = places.map(({ startAddr, len, position }) => {
      return { range: { startAddr, len }, startAddr, len, position };
    });
    this.#mappings = places.map(({ range: { mmap } }) => mappingOf(memoryOf(mmap)));
    const workingSet = pagesOf(plan.workingSet, places);
    const opened = ensureHandling(() => openMissingPages(plan.userModeOnly));
    this.#canProtect = opened.canProtect;
    this.#userfaultfd = new OwnedDescriptor(opened.fd, "handler of faults");
    try {
      const { fd: userfaultfd } = opened;
      for (const mapping of this.#mappings) {
        registerMemory(userfaultfd, mapping.shape.address, pagesLength(mapping), FAULTS_OF.missing);
      }
      const ranges = this.ranges.map(({ hostAddress, len, position }) => {
        return { address: hostAddress, length: len, position };
      });
      const task = { userfaultfd, ranges, length, workingSet, plan };
      this.#loading = new Loading(task, fd, () => this.#onLoaded());
      try {
        if (plan.thread) this.#loading.start();
      } catch (error) {
        this.#loading.close();
        throw error;
      }
    } catch (error) {
      this.#userfaultfd.close();
      throw error;
    }
    for (const mapping of this.#mappings) this.#serve(mapping);
  }

  /**
   * The handler of a memory.
   *
   * @param memory The memory, or some regions.
   * @throws {NotRestoring} This thread has not restored it lazily, or all its pages are loaded.
   * @throws {MemoryClosed} It is closed.
   */
  static of(memory: Iterable<GuestMemoryRegion>): FaultHandler {
    checkRegions(memory);
    for (const region of memory) {
      if (!(region instanceof GuestRegionMmap)) continue;
      const handler = handlers.get(mappingOf(memoryOf(region.mmap)));
      if (handler !== undefined) return handler;
    }
    throw new NotRestoring(
      "the memory is loaded, or was restored in another way or by another thread",
    );
  }

  /**
   * Settles when all pages are loaded. It is rejected when a page cannot be loaded, or the memory is
   * closed before. Nobody has to wait for it. What another process loads is not seen here: it settles
   * after {@linkcode FaultHandler.restart} only.
   */
  get done(): Promise<void> {
    return this.#loading.done;
  }

  /**
   * How far loading is, holes included, in bytes of the file. What another process loads is not seen
   * here.
   */
  get progress(): TransferProgress {
    return this.#loading.progress;
  }

  /** How many faults were answered, by threads of this process. */
  get faults(): number {
    return this.#loading.faults;
  }

  /**
   * What was touched before it was loaded, in this order, with the option `record`: for the option
   * `workingSet` of the next restore.
   */
  workingSet(): WorkingSet {
    return workingSetOf(this.#loading.recorded(), this.#places);
  }

  /**
   * The descriptor of the faults, for another process that handles them. It stays the handler's: should
   * the process end, this one can take over.
   *
   * @throws {DescriptorClosed} All pages are loaded, or the memory is closed.
   */
  get fd(): number {
    return this.#userfaultfd.fd;
  }

  /** The memory, for another process that handles the faults. */
  get ranges(): FaultRange[] {
    return this.#places.map(({ position }, index) => {
      const mapping = this.#mappings[index]!;
      return { hostAddress: mapping.shape.address, len: pagesLength(mapping), position };
    });
  }

  /**
   * Lets a new thread of this process load what is left, in place of the one that does, or of another
   * process: whoever waits for a page is served. Does nothing when all is loaded.
   *
   * After another process, discarded pages have the content of the file again, as that alone knew them.
   *
   * @param file A file of the same content, to read from now on.
   * @throws {SnapshotMismatch} The file has other bytes.
   * @throws {SystemError} A call failed.
   */
  restart(file?: OpenFile): void {
    if (this.#userfaultfd.closed) return;
    this.#loading.start(file === undefined ? undefined : new FileOffset(file).fd);
  }

  #track(mapping: Mapping, startAddr: GuestAddress): LoadTracking {
    if (!this.#loading.hasThread) {
      throw new RegionNotTrackable(startAddr, "another process loads its pages");
    }
    if (this.#tracked.has(mapping)) {
      throw new RegionNotTrackable(
        startAddr,
        "another write tracker has its memory: close that first",
      );
    }
    if (!this.#canProtect) {
      throw new TrackingUnavailable(
        "the kernel does not protect asynchronously, as Linux 6.7 does",
      );
    }
    const { fd } = this.#userfaultfd;
    // All of it: from now on, whatever is loaded is protected.
    for (const served of this.#served.keys()) {
      const { address } = served.shape;
      registerMemory(fd, address, pagesLength(served), FAULTS_OF.missing | FAULTS_OF.write);
    }
    this.#tracked.add(mapping);
    this.#loading.isProtected = true;
    // A page that is being loaded unprotected would count as written.
    if (!this.#loading.untilSeen(5 * PATIENCE)) {
      this.#untrack(mapping);
      throw new RegionNotTrackable(startAddr, "the thread that loads its pages does not answer");
    }
    return { fd: duplicate(fd), end: () => this.#untrack(mapping) };
  }

  #untrack(mapping: Mapping): void {
    if (!this.#tracked.delete(mapping) || this.#tracked.size > 0) return;
    this.#loading.isProtected = false;
    this.#loading.untilSeen(0);
    if (this.#isLoaded && !this.#userfaultfd.closed) this.#end();
  }

  #serve(mapping: Mapping): void {
    handlers.set(mapping, this);
    mapping.isRestoring = true;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#served.set(mapping, resolve);
    void mapping.during(() => promise, () => void this.#leave(mapping));
  }

  // This thread has closed the mapping. Others may still use it.
  async #leave(mapping: Mapping): Promise<void> {
    while (this.#served.has(mapping) && mapping.otherHolders > 0) await pause();
    if (!this.#served.has(mapping)) return;
    this.#loading.drop(this.#mappings.indexOf(mapping));
    for (let timeout = PATIENCE; !this.#loading.untilSeen(timeout); timeout = 0) {
      await pause();
    }
    this.#untrack(mapping);
    if (!this.#served.has(mapping)) return;
    this.#release(mapping);
    if (this.#served.size === 0) this.#end(new MemoryClosed("memory"));
  }

  #release(mapping: Mapping): void {
    handlers.delete(mapping);
    mapping.isRestoring = false;
    const end = this.#served.get(mapping);
    this.#served.delete(mapping);
    end?.();
  }

  #onLoaded(): void {
    this.#isLoaded = true;
    for (const mapping of this.#served.keys()) mapping.isRestoring = false;
    this.#loading.settle();
    // Its descriptor cannot be kept for writes alone.
    if (this.#tracked.size === 0) this.#end();
  }

  #end(error?: Error): void {
    this.#loading.close();
    const { fd } = this.#userfaultfd;
    for (const mapping of [...this.#served.keys()]) {
      // What is left are holes, which the kernel fills with zeros.
      unregisterMemory(fd, mapping.shape.address, pagesLength(mapping));
      this.#release(mapping);
    }
    this.#userfaultfd.close();
    this.#loading.settle(error);
  }
}

// Milliseconds.
const PATIENCE = 1000;
const CHECKED_EVERY = 10;

// Waiting for a word that never changes is a timer that no test counts as a leak.
let tick: Int32Array | undefined;

async function pause(): Promise<void> {
  tick ??= new Int32Array(new SharedArrayBuffer(4));
  await Atomics.waitAsync(tick, 0, 0, CHECKED_EVERY).value;
}
