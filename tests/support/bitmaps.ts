/**
 * Bitmaps of a few pages.
 *
 * @module
 */
import { AtomicBitmap } from "../../mod.ts";

/** Sizes of pages, also odd ones. */
export const PAGE_SIZES: readonly number[] = [1, 128, 1000, 4096, 65536];

/** The pages that are dirty. */
export function pagesOf(bitmap: AtomicBitmap): number[] {
  return Array.from({ length: bitmap.len }, (_, page) => page).filter((page) =>
    bitmap.isBitSet(page)
  );
}

/** A bitmap of so many pages, of which some are dirty. */
export function bitmapOf(
  pages: number,
  dirty: readonly number[] = [],
  pageSize: number = 4096,
): AtomicBitmap {
  const bitmap = new AtomicBitmap(pages * pageSize, pageSize);
  for (const page of dirty) bitmap.setBit(page);
  return bitmap;
}
