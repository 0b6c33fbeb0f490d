/**
 * Dirty tracking: what records which bytes were written.
 *
 * @module
 */

/**
 * Records which bytes of a piece of memory were written. Mirrors the traits `Bitmap` and
 * `BitmapSlice`.
 *
 * Every write through this library's API marks the bytes it wrote, after the write (rule 5). The
 * bitmap decides what it records, mostly pages. Marks out of range are ignored.
 */
export interface Bitmap {
  /** Marks `[offset, offset + length)`, in bytes. */
  markDirty(offset: number, length: number): void;
  /** Whether the byte at an offset counts as written. */
  dirtyAt(offset: number): boolean;
  /** The bitmap of what begins at an offset: offset 0 there is `offset` here. */
  sliceAt(offset: number): Bitmap;
}

/**
 * No tracking: marks nothing, is never dirty, costs nothing. Mirrors `()` as a `Bitmap`.
 *
 * @example
 * ```ts
 * import { NoBitmap } from "@vmm/guest-memory";
 * import { assertFalse } from "@std/assert";
 *
 * NoBitmap.markDirty(0, 4096);
 * assertFalse(NoBitmap.dirtyAt(0));
 * ```
 */
export const NoBitmap: Bitmap = {
  markDirty: () => {},
  dirtyAt: () => false,
  sliceAt: () => NoBitmap,
};

/**
 * Calls a function for every item, even if it throws for one, so that no mark is lost.
 *
 * @throws The first error, after the last item.
 */
export function forAll<T>(items: Iterable<T>, call: (item: T) => void): void {
  const errors: unknown[] = [];
  for (const item of items) {
    try {
      call(item);
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}
