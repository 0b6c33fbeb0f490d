/**
 * The kinds of memory that are compared with each other: one region of each, its pages present.
 *
 * @module
 */
import {
  Backing,
  type FileBackingOptions,
  GuestAddress,
  type GuestMemory,
  GuestMemoryHeap,
  GuestMemoryMmap,
  SystemError,
} from "@vmm/guest-memory";
import { isGranted } from "./workload.ts";

/** A kind of memory. */
export interface Backend {
  /** What it is, in few words. */
  readonly name: string;
  /**
   * Makes memory of this kind at guest address 0.
   *
   * @param size Bytes.
   * @returns The memory, which is unmapped when it is forgotten; `undefined` where this system or
   * the permissions do not allow it.
   */
  make(size: number): GuestMemory | undefined;
}

/** The kind that benchmarks use where they do not compare kinds. */
export const ANONYMOUS: Backend = {
  name: "anonymous",
  make: (size) => populate(GuestMemoryMmap.fromRanges([[GuestAddress(0), size]])),
};

/** Every kind. */
export const BACKENDS: readonly Backend[] = [
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
    if (error instanceof SystemError || error instanceof TypeError) return undefined;
    throw error;
  }
  return populate(memory);
}

function overTemporaryFile(size: number, options?: FileBackingOptions): GuestMemory | undefined {
  if (!isGranted("write")) return undefined;
  const path = Deno.makeTempFileSync({ prefix: "guest-memory-bench-" });
  using file = Deno.openSync(path, { read: true, write: true });
  // Whatever becomes of the process, the file goes with its last mapping.
  Deno.removeSync(path);
  file.truncateSync(size);
  return over(Backing.file(file, options), size);
}

function overMemfd(size: number): GuestMemory | undefined {
  if (Deno.build.os !== "linux") return undefined;
  return over(Backing.memfd({ name: "guest-memory-bench" }), size);
}

function over(backing: Backing, size: number): GuestMemory {
  return populate(GuestMemoryMmap.fromRanges([[GuestAddress(0), size]], { backing }));
}
