/**
 * Takes the dirty pages of a whole guest.
 *
 * @module
 */
import type { GuestAddress } from "../address.ts";
import { AtomicBitmap, BitmapSlice, placeOf, wordsPlaceOf } from "../bitmap/atomic_bitmap.ts";
import { forAll, NoBitmap } from "../bitmap/bitmap.ts";
import { hex } from "../text/number_format.ts";
import { type GuestDirtyRun, runsOfRegions } from "./dirty_runs.ts";
import type { GuestMemory } from "./guest_memory.ts";

// Makes what other threads wrote before their marks were taken visible to this one.
let barrier: () => void = () => {};

/** Sets what {@linkcode takeDirty} calls after taking marks: a barrier on all threads. */
export function setTakeBarrier(call: () => void): void {
  barrier = call;
}

/**
 * Takes the dirty marks of all regions, so that what is written from now on is marked again.
 *
 * On Linux, if this thread has mapped memory, it calls {@linkcode membarrier} after taking the
 * marks. Other threads may write meanwhile then: a reader of the pages either sees a write, or the
 * write marks its page again. Elsewhere, stop the writers first.
 *
 * @param memory The memory. Regions without a bitmap have no marks: nothing of them is in the set, nor
 * in a diff.
 * @returns What was dirty. Call `putBack` if using it failed.
 * @throws {SystemError} The kernel refuses `membarrier`: nothing was taken then.
 * @throws {TypeError} A region's bitmap is neither an {@linkcode AtomicBitmap} nor a slice of one:
 * nothing was taken then.
 *
 * @example
 * ```ts
 * import { AtomicBitmap, GuestAddress, GuestMemoryHeap, takeDirty } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = GuestMemoryHeap.fromRanges([[GuestAddress(0x8000), 0x4000]], {
 *   bitmap: (length) => new AtomicBitmap(length),
 * });
 * memory.write(new Uint8Array(2), GuestAddress(0x8fff));
 * using dirty = takeDirty(memory);
 * try {
 *   assertEquals([...dirty], [[GuestAddress(0x8000), 0x2000]]);
 *   assertEquals(dirty.bytes, 0x2000);
 * } catch (error) {
 *   dirty.putBack(); // Without this, the marks are gone when the block ends.
 *   throw error;
 * }
 * ```
 */
export function takeDirty(memory: GuestMemory): DirtySet {
  const parts: TakenPart[] = [];
  // Regions may share a bitmap, and pages of it: the marks of each bitmap are taken into one.
  const places = new Map<
    ArrayBufferLike,
    { readonly first: number; readonly bitmap: AtomicBitmap }[]
  >();
  for (const { startAddr, len, bitmap: from } of memory) {
    if (from === NoBitmap) continue;
    if (!(from instanceof AtomicBitmap || from instanceof BitmapSlice)) {
      throw new TypeError(
        `Cannot take the dirty marks of the region at ${hex(startAddr)}: its bitmap is ` +
          "neither an AtomicBitmap nor a slice of one",
      );
    }
    const { bitmap, offset } = placeOf(from);
    const { byteSize, pageSize } = bitmap;
    // By their words: attached memory may have several bitmaps over the same ones.
    const { buffer, first } = wordsPlaceOf(bitmap);
    const known = places.get(buffer) ?? [];
    let place = known.find((at) => at.first === first && at.bitmap.pageSize === pageSize)?.bitmap;
    if (place === undefined) {
      place = new AtomicBitmap(byteSize, pageSize);
      places.set(buffer, [...known, { first, bitmap: place }]);
    } else if (place.byteSize < byteSize) {
      place.enlarge(byteSize - place.byteSize);
    }
    parts.push({ startAddr, len, bitmap: place.sliceAt(offset), from });
  }
  const taken = new DirtySet(parts);
  try {
    for (const { from, bitmap, len } of parts) from.drainInto(bitmap, 0, len);
    barrier();
  } catch (error) {
    taken.putBack();
    throw error;
  }
  return taken;
}

/** What was taken of the bitmap of one region. */
export interface TakenPart {
  /** The guest address of the region's first byte. */
  readonly startAddr: GuestAddress;
  /** Bytes of the region. */
  readonly len: number;
  /** The marks that were taken. */
  readonly bitmap: BitmapSlice;
  /** The bitmap that they were taken from. */
  readonly from: AtomicBitmap | BitmapSlice;
}

/** Another set of the same marks, which the end of the first one does not empty. */
export let sameMarks: (set: DirtySet) => DirtySet;

/**
 * Dirty bytes of a guest that {@linkcode takeDirty} took: runs by rising address, across adjacent
 * regions as if they were one.
 *
 * @example
 * ```ts
 * import { AtomicBitmap, GuestAddress, GuestMemoryHeap, takeDirty } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 0x10000]], {
 *   bitmap: (length) => new AtomicBitmap(length, 4096),
 * });
 * memory.write(new Uint8Array(2), GuestAddress(0x1fff));
 * using dirty = takeDirty(memory);
 * assertEquals([...dirty], [[GuestAddress(0x1000), 0x2000]]);
 * dirty.putBack(); // What was to be done with them failed: they are dirty again.
 * using again = takeDirty(memory);
 * assertEquals(again.bytes, 0x2000);
 * ```
 */
export class DirtySet implements Iterable<GuestDirtyRun>, Disposable {
  static {
    sameMarks = (set) => new DirtySet(set.#parts);
  }

  #parts: readonly TakenPart[];

  /**
   * Made by {@linkcode takeDirty}.
   *
   * @param parts What was taken, by rising address.
   */
  constructor(parts: readonly TakenPart[]) {
    this.#parts = parts;
  }

  /** Dirty bytes: those of whole pages that are in a region. */
  get bytes(): number {
    let bytes = 0;
    for (const [, length] of this) bytes += length;
    return bytes;
  }

  /** The runs, made during iteration, a region at a time. */
  [Symbol.iterator](): Generator<GuestDirtyRun, void, void> {
    return runsOfRegions(this.#parts);
  }

  /** Marks everything dirty again in the regions' bitmaps, and empties the set. */
  putBack(): void {
    forAll(this.#parts, ({ from, bitmap, len }) => from.merge(bitmap, 0, len));
    this.#parts = [];
  }

  /** Empties the set. */
  [Symbol.dispose](): void {
    this.#parts = [];
  }
}
