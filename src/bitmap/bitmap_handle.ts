/**
 * Bitmaps on their way to another thread.
 *
 * @module
 */
import { AtomicBitmap, BitmapSlice, wordsPlaceOf } from "./atomic_bitmap.ts";
import { type Bitmap, NoBitmap } from "./bitmap.ts";

/** A bitmap that can be cloned with `postMessage`: the words are shared. */
export interface BitmapHandle {
  /** Its words. */
  readonly buffer: SharedArrayBuffer;
  /** Bytes that it covers. */
  readonly byteSize: number;
  /** Bytes that one bit stands for. */
  readonly pageSize: number;
  /** Where the slice of it begins, in bytes; `undefined` for the bitmap itself. */
  readonly offset: number | undefined;
}

/**
 * What to send of a bitmap.
 *
 * @throws {TypeError} It cannot be shared.
 */
export function shareBitmap(bitmap: Bitmap): BitmapHandle | undefined {
  if (bitmap === NoBitmap) return undefined;
  const [whole, offset] = bitmap instanceof BitmapSlice
    ? [bitmap.bitmap, bitmap.offset]
    : [bitmap, undefined];
  if (!(whole instanceof AtomicBitmap)) {
    throw new TypeError("Cannot share memory: its bitmap is neither an AtomicBitmap nor a slice");
  }
  const { byteSize, pageSize } = whole;
  const { buffer, memory } = wordsPlaceOf(whole);
  if (memory !== undefined) {
    throw new TypeError(
      "Cannot share memory: its bitmap is over given memory. Share that memory too, and in the " +
        "other thread make an AtomicBitmap over it",
    );
  }
  if (typeof SharedArrayBuffer === "undefined" || !(buffer instanceof SharedArrayBuffer)) {
    throw new TypeError(
      "Cannot share memory: its bitmap is in an ArrayBuffer, as where a web page is not " +
        "cross-origin isolated",
    );
  }
  return { buffer, byteSize, pageSize, offset };
}

/** The bitmap that was sent. */
export function attachBitmap(handle: BitmapHandle | undefined): Bitmap {
  if (handle === undefined) return NoBitmap;
  const { buffer, byteSize, pageSize, offset } = handle;
  const bitmap = new AtomicBitmap(byteSize, pageSize, buffer);
  return offset === undefined ? bitmap : bitmap.sliceAt(offset);
}
