/**
 * A bitmap from an offset on.
 *
 * @module
 */
import type { AtomicBitmap } from "./atomic_bitmap.ts";
import type { Bitmap } from "./bitmap.ts";
import type { DirtyBitmap, RunCallback } from "./dirty_bitmap.ts";

/**
 * An {@linkcode AtomicBitmap} from an offset on: offset 0 here is that offset there. Mirrors
 * `RefSlice` and `ArcSlice`.
 *
 * Many regions can so share one bitmap: each has the slice at its guest address.
 *
 * @example One bitmap for a whole guest
 * ```ts
 * import { AtomicBitmap, GuestAddress, GuestMemoryHeap, u8 } from "@vmm/guest-memory";
 * import { assert } from "@std/assert";
 *
 * const dirty = new AtomicBitmap(2 ** 20);
 * const memory = GuestMemoryHeap.fromRanges(
 *   [[GuestAddress(0), 0x1000], [GuestAddress(0x8000), 0x1000]],
 *   { bitmap: (_length, start) => dirty.sliceAt(start) },
 * );
 * memory.writeObj(u8, 1, GuestAddress(0x8123));
 * assert(dirty.dirtyAt(0x8000));
 * ```
 */
export class BitmapSlice implements Bitmap, DirtyBitmap {
  /** The bitmap. */
  readonly bitmap: AtomicBitmap;
  /** Where the slice begins in it, in bytes. */
  readonly offset: number;

  /**
   * Begins at an offset of a bitmap.
   *
   * @param bitmap The bitmap.
   * @param offset Where the slice begins, in bytes.
   */
  constructor(bitmap: AtomicBitmap, offset: number) {
    this.bitmap = bitmap;
    this.offset = offset;
  }

  /** Marks bytes dirty: see {@linkcode Bitmap.markDirty}. */
  markDirty(offset: number, length: number): void {
    this.bitmap.markDirty(this.offset + offset, length);
  }

  /** Whether the byte at an offset counts as written. */
  dirtyAt(offset: number): boolean {
    return this.bitmap.dirtyAt(this.offset + offset);
  }

  /** The slice from an offset of this slice on. */
  sliceAt(offset: number): BitmapSlice {
    return new BitmapSlice(this.bitmap, this.offset + offset);
  }

  /** Calls a function for each run of dirty bytes: see {@linkcode DirtyBitmap.forEachDirtyRun}. */
  forEachDirtyRun(
    callback: RunCallback,
    offset: number = 0,
    length: number = this.bitmap.byteSize - this.offset - offset,
  ): void {
    this.bitmap.forEachDirtyRun(
      (start, count) => callback(start - this.offset, count),
      this.offset + offset,
      length,
    );
  }
}
