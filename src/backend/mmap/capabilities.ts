/**
 * What this host can do, found out by trying.
 *
 * @module
 */
import { hasMembarrier, membarrier } from "../../../ffi/barrier.ts";
import { closeDescriptor } from "../../../ffi/descriptor.ts";
import { libc } from "../../../ffi/libc.ts";
import { pageSize } from "../../../ffi/memory.ts";
import { openPagemap, scanPages } from "../../../ffi/pagemap.ts";
import { NO_THREADS } from "../../../ffi/thread.ts";
import {
  openMissingPages,
  openUserfaultfd,
  openWriteProtection,
} from "../../../ffi/userfaultfd.ts";
import { Permissions } from "../../permissions.ts";
import { Backing } from "./backing.ts";
import { mapAll } from "./map_memory.ts";
import { type MmapOptions, readOptions } from "./mmap_options.ts";
import { HUGE_PAGE } from "./page_options.ts";

/** Whether something works here. */
export interface Capability {
  /** Whether it does. */
  readonly available: boolean;
  /** Why not; `undefined` where it does. */
  readonly reason: string | undefined;
}

/** What works here: see {@linkcode capabilities}. */
export interface Capabilities {
  /** Each backing, with its kinds. */
  readonly backings: Readonly<Record<BackingName, Capability>>;
  /** Each option, on anonymous memory. */
  readonly options: Readonly<Record<OptionName, Capability>>;
  /** System calls that other parts of this library need. */
  readonly calls: Readonly<Record<CallName, Capability>>;
  /** What `@vmm/guest-memory/snapshot` has to find out what was written. */
  readonly trackers: Readonly<Record<TrackerName, Capability>>;
}

/** The backings that are tried. */
export type BackingName =
  | "anonymous"
  | "anonymousShared"
  | "anonymousHugePages"
  | "memfd"
  | "memfdHugePages";

/** The options that are tried. */
export type OptionName =
  | "reserve"
  | "prefault"
  | "transparentHugePages"
  | "mergeable"
  | "dontDump"
  | "dontFork"
  | "lock"
  | "lockOnFault"
  | "numa"
  | "guardPages";

/** The calls that are tried. */
export type CallName =
  | "membarrier"
  /** Page faults of this program's own code. */
  | "userfaultfd"
  /** Page faults of system calls and KVM too, for `restore` in mode `"lazy"`. */
  | "pageFaults"
  | "pagemapScan";

/** The trackers of writes that are tried. */
export type TrackerName = "writeTracker" | "writtenSinceRestore";

/**
 * Finds out what works on this host, with the limits of this process: by trying each, on a few pages
 * that are unmapped again. Nothing is thrown for what does not work.
 *
 * @returns What works, and why other things do not.
 * @throws {LibcUnavailable} FFI is not allowed, or the platform not supported: nothing can be mapped.
 *
 * @example
 * ```ts
 * import { Backing, capabilities, GuestAddress, GuestMemoryMmap } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const { backings } = capabilities();
 * const hugePages = backings.memfdHugePages.available ? 2 ** 21 : undefined;
 * const backing = backings.memfd.available
 *   ? Backing.memfd(hugePages === undefined ? {} : { hugePages })
 *   : Backing.anonymous();
 * using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 2 ** 21]], { backing });
 * assertEquals(memory.numRegions, 1);
 * ```
 */
export function capabilities(): Capabilities {
  libc();
  const huge = { hugePages: HUGE_PAGE };
  return {
    backings: {
      anonymous: tryMapping({ backing: Backing.anonymous() }),
      anonymousShared: tryMapping({ backing: Backing.anonymous({ shared: true }) }),
      anonymousHugePages: tryMapping({ backing: Backing.anonymous(huge) }, HUGE_PAGE),
      memfd: tryMapping({ backing: Backing.memfd() }),
      memfdHugePages: tryMapping({ backing: Backing.memfd(huge) }, HUGE_PAGE),
    },
    options: {
      reserve: tryMapping({ reserve: true }),
      prefault: tryMapping({ prefault: true }),
      transparentHugePages: tryMapping({ transparentHugePages: true }, 2 * HUGE_PAGE),
      mergeable: tryMapping({ mergeable: true }),
      dontDump: tryMapping({ dontDump: true }),
      dontFork: tryMapping({ dontFork: true }),
      lock: tryMapping({ lock: true }),
      lockOnFault: tryMapping({ lock: "onfault" }),
      numa: tryMapping({ numa: { nodes: [0], policy: "bind" } }),
      guardPages: tryMapping({ guardPages: true }),
    },
    calls: {
      membarrier: attempt(() => {
        if (!hasMembarrier()) throw new Error("membarrier(2) is Linux's own");
        membarrier();
      }),
      userfaultfd: attempt(() => handleFaults(() => openUserfaultfd(true))),
      pageFaults: attempt(() => handleFaults(() => openMissingPages(false).fd)),
      pagemapScan: attempt(scanNothing),
    },
    trackers: {
      writeTracker: attempt(() => {
        scanNothing();
        closeDescriptor(openWriteProtection());
      }),
      writtenSinceRestore: attempt(scanNothing),
    },
  };
}

function handleFaults(open: () => number): void {
  if (NO_THREADS !== undefined) throw new Error(`Cannot handle page faults: ${NO_THREADS}`);
  closeDescriptor(open());
}

function scanNothing(): void {
  const pagemap = openPagemap();
  try {
    scanPages(pagemap, { address: 0, length: 0 });
  } finally {
    closeDescriptor(pagemap);
  }
}

function tryMapping(options: MmapOptions, size: number = pageSize()): Capability {
  return attempt(() => {
    const plan = readOptions({ protection: Permissions.ReadWrite, ...options });
    for (const mapping of mapAll([{ size, plan }])) mapping.release();
  });
}

function attempt(call: () => void): Capability {
  try {
    call();
    return { available: true, reason: undefined };
  } catch (error) {
    return { available: false, reason: error instanceof Error ? error.message : String(error) };
  }
}
