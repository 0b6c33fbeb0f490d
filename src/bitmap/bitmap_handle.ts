/**
 * Bitmaps on their way to another thread.
 *
 * @module
 */
import { AtomicBitmap } from "./atomic_bitmap.ts";
import { type Bitmap, NoBitmap } from "./bitmap.ts";
import { BitmapSlice } from "./bitmap_slice.ts";

/** A bitmap that can be cloned with `postMessage`: the words are shared. */
export interface BitmapHandle {
  /** Its words. */
  readonly buffer: SharedArrayBuffer;
  /** Bytes that it covers. */
  readonly byteSize: number;
  /** Bytes that one bit stands for. */
  readonly pageSize: number;
  /** Where the slice of it begins, in bytes. */
  readonly offset: number;
}

/**
 * What to send of a bitmap.
 *
 * @throws {TypeError} It cannot be shared.
 */
export function shareBitmap(bitmap: Bitmap): BitmapHandle | undefined {
  if (bitmap === NoBitmap) return undefined;
  if (!(bitmap instanceof BitmapSlice)) {
    throw new TypeError("Cannot share memory: its bitmap is neither an AtomicBitmap nor a slice");
  }
  const { bitmap: { buffer, byteSize, pageSize }, offset } = bitmap;
  return { buffer, byteSize, pageSize, offset };
}

/** The bitmap that was sent. */
export function attachBitmap(handle: BitmapHandle | undefined): Bitmap {
  if (handle === undefined) return NoBitmap;
  const { buffer, byteSize, pageSize, offset } = handle;
  return new AtomicBitmap(byteSize, pageSize, buffer).sliceAt(offset);
}
