/**
 * Memory of a snapshot.
 *
 * @module
 */
import type { OpenFile } from "../../ffi/descriptor_of.ts";
import { closeDescriptor, duplicate } from "../../ffi/descriptor.ts";
import { fileStatus } from "../../ffi/file.ts";
import { DataRuns } from "../../ffi/file_space.ts";
import { readAt } from "../../ffi/io.ts";
import type { GuestAddress, GuestUsize } from "../address.ts";
import { templateBacking } from "../backend/mmap/backing.ts";
import type { OnLeaseBreak } from "../backend/mmap/file_lease.ts";
import { FileOffset } from "../backend/mmap/file_offset.ts";
import { GuestMemoryMmap } from "../backend/mmap/guest_memory_mmap.ts";
import { MappedMemory } from "../backend/mmap/mapped_memory.ts";
import type { MmapOptions } from "../backend/mmap/mmap_options.ts";
import { memoryOf } from "../backend/mmap/mmap_region.ts";
import type { Bitmap } from "../bitmap/bitmap.ts";
import { OptionRefused } from "../error/mmap_region_error.ts";
import { NoMemoryRegion } from "../error/region_collection_error.ts";
import { SnapshotMismatch } from "../error/snapshot_error.ts";
import { AccessDenied } from "../error/volatile_memory_error.ts";
import { checkCount, shown } from "../text/argument.ts";
import { type LazyOptions, loadWhenTouched, readLazyOptions } from "./lazy/fault_handler.ts";
import { layoutOf } from "./layout.ts";
import { rangesOfManifest, type SnapshotManifest } from "./manifest.ts";
import { openAgain } from "./open_again.ts";
import { ensureLength } from "./source_file.ts";

/** A range of a guest, with the bytes that it had when the snapshot was written. */
export type RestoreRange = readonly [startAddr: GuestAddress, size: GuestUsize];

/** How memory is mapped over a snapshot. */
export interface CopyOnWriteOptions<B extends Bitmap = Bitmap>
  extends Omit<MmapOptions<B>, "backing"> {
  /** Pages are the file's until they are written. */
  readonly mode: "copyOnWrite";
  /** Takes a read lease of the file: see {@linkcode FileBackingOptions.lease}. */
  readonly lease?: OnLeaseBreak;
}

/** How memory is filled from a snapshot. */
export interface EagerOptions<B extends Bitmap = Bitmap> extends Omit<MmapOptions<B>, "backing"> {
  /** All is read now, but for the holes. The file is not needed afterwards. */
  readonly mode: "eager";
}

/** How memory is loaded from a snapshot while it is used. */
export interface LazyRestoreOptions<B extends Bitmap = Bitmap>
  extends Omit<MmapOptions<B>, "backing">, LazyOptions {
  /** Pages are loaded when they are touched, and all others in the background. */
  readonly mode: "lazy";
}

/**
 * Makes memory of a file that {@linkcode writeSnapshot} wrote, or another program in the same flat
 * layout, such as Firecracker.
 *
 * `"copyOnWrite"` maps the file, which takes as long for a large one as for a small one: pages are
 * read when they are touched, and copied when they are written. The file never changes, and any number of memories,
 * of other processes too, share its pages. Nobody may change or truncate it meanwhile: use a lease, or
 * a sealed memfd. {@linkcode writtenSinceRestore} lists what a guest has written.
 *
 * `"eager"` reads it into anonymous memory, and blocks the thread meanwhile. The memory has to be
 * writable.
 *
 * `"lazy"` makes anonymous memory whose pages are loaded from the file when they are touched, by a
 * thread of this library: the guest runs meanwhile, and the file is not needed afterwards. See
 * {@linkcode FaultHandler}, of which `FaultHandler.of(memory)` is the one of the memory. Linux only.
 *
 * Nothing is marked dirty.
 *
 * @param ranges Each region's start and size in bytes, by rising start: those of the memory that was
 * written. Or the manifest that `writeSnapshot` returned, from anywhere: its version and its regions are
 * checked, and the length of the file. The content is not read: see {@linkcode verifySnapshot}.
 * @param file A regular file or a memfd, open to read. It may be closed afterwards. Its position does
 * not count, and is not moved.
 * @param options Which way, and how the memory is mapped.
 * @returns The memory.
 * @throws {SnapshotMismatch} The file does not have exactly the bytes of the ranges.
 * @throws {SnapshotRefused} It is no regular file.
 * @throws {InvalidManifest} The manifest is none, or not for this host.
 * @throws {GuestRegionCollectionError} There is no range, or they are unsorted or overlap.
 * @throws {OptionRefused} An option cannot be had.
 * @throws {FaultsUnavailable} The kernel does not let this process handle page faults.
 * @throws {InvalidGuestAddress} The working set is of other memory.
 * @throws {AccessDenied} The memory is to be filled, and `protection` does not allow it.
 * @throws {SystemError} A call failed.
 *
 * @example
 * ```ts
 * import { GuestAddress, GuestMemoryMmap, u32 } from "@vmm/guest-memory";
 * import { restore, writeSnapshot } from "@vmm/guest-memory/snapshot";
 * import { assertEquals } from "@std/assert";
 *
 * const ranges = [[GuestAddress(0x1_0000), 2 ** 20]] as const;
 * const path = Deno.makeTempFileSync();
 * {
 *   using memory = GuestMemoryMmap.fromRanges(ranges);
 *   memory.writeObj(u32, 42, GuestAddress(0x1_0000));
 *   using file = Deno.openSync(path, { write: true });
 *   await writeSnapshot(memory, file);
 * }
 * using file = Deno.openSync(path);
 * using first = restore(ranges, file, { mode: "copyOnWrite" });
 * using second = restore(ranges, file, { mode: "copyOnWrite" });
 * first.writeObj(u32, 43, GuestAddress(0x1_0000));
 * assertEquals(second.readObj(u32, GuestAddress(0x1_0000)), 42);
 * ```
 */
export function restore<B extends Bitmap = Bitmap>(
  ranges: Iterable<RestoreRange> | SnapshotManifest,
  file: OpenFile,
  options: CopyOnWriteOptions<B> | EagerOptions<B> | LazyRestoreOptions<B>,
): GuestMemoryMmap<B> {
  const { mode, lease, backing: _, ...rest } = options as MmapOptions<B> & {
    readonly mode: string;
    readonly lease?: OnLeaseBreak;
  };
  if (mode !== "copyOnWrite" && mode !== "eager" && mode !== "lazy") {
    throw new TypeError(
      `Cannot restore in mode ${shown(mode)}: it is "copyOnWrite", "eager" or "lazy"`,
    );
  }
  if (mode !== "copyOnWrite" && lease !== undefined) {
    throw new TypeError(`Cannot lease the file: only "copyOnWrite" maps it`);
  }
  const lazily = mode === "lazy" ? readLazyOptions(rest as LazyOptions) : undefined;
  const isList = typeof (ranges as Iterable<RestoreRange>)?.[Symbol.iterator] === "function";
  const list = isList
    ? ranges as Iterable<RestoreRange>
    : rangesOfManifest(ranges as SnapshotManifest);
  const own = [...list].map(([startAddr, size]): RestoreRange => {
    checkCount(startAddr, "startAddr");
    checkCount(size, "size");
    return [startAddr, size];
  });
  if (own.length === 0) throw new NoMemoryRegion("Cannot restore memory: there is no range");
  const { length } = layoutOf(own.map(([startAddr, len]) => ({ startAddr, len })));
  // Bitmaps are made by the caller's code, which may close the file.
  const fd = duplicate(new FileOffset(file).fd);
  try {
    ensureLength("the snapshot", fd, length);
    if (mode === "copyOnWrite") {
      return GuestMemoryMmap.fromRanges(own, { ...rest, backing: templateBacking(fd, lease) });
    }
    if (lazily !== undefined) ensureMissing(rest);
    const memory = GuestMemoryMmap.fromRanges(own, rest);
    try {
      if (lazily !== undefined) loadWhenTouched(memory, fd, lazily);
      else fill(memory, fd);
      return memory;
    } catch (error) {
      memory.close();
      throw error;
    }
  } finally {
    closeDescriptor(fd);
  }
}

// Pages that are there already are never loaded.
function ensureMissing({ prefault, lock }: MmapOptions): void {
  const option = prefault ? "prefault" : lock === true ? "lock" : undefined;
  if (option === undefined) return;
  throw new OptionRefused(
    option,
    "it takes all pages now, and lazy memory takes them when touched",
  );
}

function fill(memory: GuestMemoryMmap, fd: number): void {
  const { places, length } = layoutOf(memory);
  const opened = openAgain(fd);
  const data = opened === undefined ? undefined : new DataRuns(opened);
  try {
    for (const { range: { mmap, len }, position } of places) {
      const target = memoryOf(mmap);
      const read = (at: number, count: number) => {
        const address = MappedMemory.locate(target, at - position, count, "write");
        if (address < 0) throw new AccessDenied("write");
        for (let done = 0; done < count;) {
          const now = readAt(fd, address + done, count - done, at + done);
          if (now === 0) throw new SnapshotMismatch("the snapshot", length, fileStatus(fd).size);
          done += now;
        }
      };
      if (data === undefined) read(position, len);
      else data.forEach(position, position + len, read);
    }
    // What was cut off meanwhile looks like holes.
    ensureLength("the snapshot", fd, length);
  } finally {
    if (opened !== undefined) closeDescriptor(opened);
  }
}
