/**
 * The kinds of memory that are compared with each other: one region of each, its pages present.
 *
 * @module
 */
import { GuestAddress } from "../address.ts";
import { GuestMemoryHeap } from "../backend/heap.ts";
import { Backing, type FileBackingOptions } from "../backend/mmap/backing.ts";
import { GuestMemoryMmap } from "../backend/mmap/guest_memory_mmap.ts";
import type { GuestMemory } from "../guest/guest_memory.ts";
import type { Backend } from "./backend.ts";

/** A kind of guest physical memory. */
export interface BuiltIn extends Backend {
  /** Makes memory of this kind, whose pages are present: see {@linkcode Backend.make}. */
  make(size: number): GuestMemory | undefined;
}

/** The kind that benchmarks use where they do not compare kinds. */
export const ANONYMOUS: BuiltIn = {
  name: "anonymous",
  make: (size) => populate(GuestMemoryMmap.fromRanges([[GuestAddress(0), size]])),
};

/** Every kind of one region. */
export const BACKENDS: readonly BuiltIn[] = [
  {
    name: "heap ArrayBuffer",
    make: (size) => populate(GuestMemoryHeap.fromRanges([[GuestAddress(0), size]])),
  },
  {
    name: "SharedArrayBuffer",
    make: (size) =>
      populate(GuestMemoryHeap.fromRanges([[GuestAddress(0), size]], { shared: true })),
  },
  ANONYMOUS,
  { name: "huge pages", make: withHugePages },
  { name: "file, shared", make: (size) => overTemporaryFile(size) },
  { name: "file, private", make: (size) => overTemporaryFile(size, { private: true }) },
  { name: "memfd", make: overMemfd },
];

/**
 * The kinds of memory of this library: on the heap, mapped from the kernel and from files, and
 * mapped in two regions, for accesses over their boundary.
 */
export const BUILT_IN: readonly Backend[] = [
  ...BACKENDS,
  {
    name: "anonymous, 2 regions",
    make: (size) =>
      populate(GuestMemoryMmap.fromRanges([
        [GuestAddress(0), size / 2],
        [GuestAddress(size / 2), size / 2],
      ])),
  },
];

function populate(memory: GuestMemory): GuestMemory {
  // Written, not only read: pages that were only read would all be the one zero page.
  for (const region of memory) region.asVolatileSlice().rawView().fill(0xa5);
  return memory;
}

function withHugePages(size: number): GuestMemory | undefined {
  const memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), size]]);
  try {
    for (const { mmap } of memory) mmap.advise("hugepage");
  } catch (error) {
    // A kernel without transparent huge pages, or another system.
    if (isOneOf(error, "SystemError", "TypeError")) return undefined;
    throw error;
  }
  return populate(memory);
}

function isOneOf(error: unknown, ...names: string[]): boolean {
  return error instanceof Error && names.includes(error.name);
}

function overTemporaryFile(size: number, options?: FileBackingOptions): GuestMemory | undefined {
  if (typeof Deno === "undefined" || !mayWriteFiles()) return undefined;
  const path = Deno.makeTempFileSync({ prefix: "guest-memory-bench-" });
  const file = Deno.openSync(path, { read: true, write: true });
  try {
    // Whatever becomes of the process, the file goes with its last mapping.
    Deno.removeSync(path);
    file.truncateSync(size);
    return over(Backing.file(file, options), size);
  } finally {
    file.close();
  }
}

// Asked, so that nobody is asked for it.
function mayWriteFiles(): boolean {
  return Deno.permissions.querySync({ name: "write" }).state === "granted";
}

function overMemfd(size: number): GuestMemory | undefined {
  if (typeof Deno !== "undefined" && Deno.build.os !== "linux") return undefined;
  return over(Backing.memfd({ name: "guest-memory-bench" }), size);
}

function over(backing: Backing, size: number): GuestMemory {
  return populate(GuestMemoryMmap.fromRanges([[GuestAddress(0), size]], { backing }));
}
