/**
 * The bitmap of bytes that two bitmaps record.
 *
 * @module
 */
import { checkNumber } from "../text/argument.ts";
import type { Bitmap } from "./bitmap.ts";

/** A bitmap, and where in it something begins. */
export interface BitmapPlace {
  /** The bitmap. */
  readonly bitmap: Bitmap;
  /** Bytes. */
  readonly start: number;
}

/** Records writes on both sides of a boundary: each bitmap gets the part of a range on its side. */
export class BoundaryBitmap implements Bitmap {
  readonly #split: number;
  readonly #before: Bitmap;
  readonly #beforeStart: number;
  readonly #after: Bitmap;
  readonly #afterStart: number;

  /**
   * Puts two bitmaps side by side.
   *
   * @param split The offset of the boundary.
   * @param before What records the bytes before it, from offset 0.
   * @param after What records the bytes from there on.
   */
  constructor(split: number, before: BitmapPlace, after: BitmapPlace) {
    this.#split = split;
    this.#before = before.bitmap;
    this.#beforeStart = before.start;
    this.#after = after.bitmap;
    this.#afterStart = after.start;
  }

  /** Marks bytes dirty on both sides, even if the bitmap of the first one throws. */
  markDirty(offset: number, length: number): void {
    const first = this.#split - offset;
    // Apart: V8 then has room for the rest in a loop that writes across the boundary.
    if (!(first > 0 && first < length)) return this.#markSide(offset, length, first);
    try {
      this.#before.markDirty(this.#beforeStart + offset, first);
    } finally {
      this.#after.markDirty(this.#afterStart, length - first);
    }
  }

  #markSide(offset: number, length: number, first: number): void {
    if (first > 0) this.#before.markDirty(this.#beforeStart + offset, length);
    else this.#after.markDirty(this.#afterStart - first, length);
  }

  /** Whether the byte at an offset is dirty. */
  dirtyAt(offset: number): boolean {
    const first = this.#split - offset;
    return first > 0
      ? this.#before.dirtyAt(this.#beforeStart + offset)
      : this.#after.dirtyAt(this.#afterStart - first);
  }

  /** The bitmap of what begins at an offset. */
  sliceAt(offset: number): Bitmap {
    checkNumber("offset", offset);
    return new BoundaryBitmap(
      this.#split - offset,
      { bitmap: this.#before, start: this.#beforeStart + offset },
      { bitmap: this.#after, start: this.#afterStart },
    );
  }
}
