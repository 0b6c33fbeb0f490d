/**
 * Pages on their way from the kernel to a bitmap.
 *
 * @module
 */
import { type PageRuns, RUN_WORDS, wide } from "../../ffi/pagemap.ts";
import { AtomicBitmap, BitmapSlice } from "../bitmap/atomic_bitmap.ts";
import type { Bitmap } from "../bitmap/bitmap.ts";

/**
 * Pages of a piece of memory that were found to be written. They stay until the bitmap has them.
 *
 * One thread uses it, so bits are set without atomic operations. Then whole words are moved: marking
 * the bitmap run by run takes twice as long.
 */
export class FoundPages {
  readonly #length: number;
  readonly #pageSize: number;
  readonly #pages: AtomicBitmap;
  readonly #words: Int32Array;
  #isEmpty = true;

  /**
   * No page was found yet.
   *
   * @param length Bytes of the memory.
   * @param pageSize Bytes of a page.
   */
  constructor(length: number, pageSize: number) {
    this.#length = length;
    this.#pageSize = pageSize;
    this.#pages = new AtomicBitmap(length, pageSize);
    this.#words = new Int32Array(this.#pages.buffer);
  }

  /**
   * Adds whole pages.
   *
   * @param offset Where they begin.
   * @param length Their bytes.
   */
  add(offset: number, length: number): void {
    const words = this.#words;
    const first = offset / this.#pageSize;
    // A run that was cut off at the end of the memory ends in a page.
    const last = Math.ceil((offset + length) / this.#pageSize) - 1;
    const [start, end] = [Math.floor(first / 32), Math.floor(last / 32)];
    // Shifts are by the remainder of 32.
    const head = -1 << first;
    const tail = -1 >>> 31 - (last & 31);
    this.#isEmpty = false;
    if (start === end) words[start]! |= head & tail;
    else {
      words[start]! |= head;
      words.fill(-1, start + 1, end);
      words[end]! |= tail;
    }
  }

  /**
   * Adds what a scan has found.
   *
   * @param runs The runs.
   * @param address The host address where the memory begins.
   * @returns Their bytes, also of what of the last page is beyond the memory.
   */
  addRuns({ words: runs, count }: PageRuns, address: number): number {
    const words = this.#words;
    const pageSize = this.#pageSize;
    let bytes = 0;
    for (let at = 0; at < count * RUN_WORDS; at += RUN_WORDS) {
      const start = wide(runs, at) - address;
      const length = wide(runs, at + 2) - address - start;
      bytes += length;
      const page = start / pageSize;
      // Most runs are of one page.
      if (length === pageSize) words[Math.floor(page / 32)]! |= 1 << page;
      else this.add(start, length);
    }
    this.#isEmpty = false;
    return bytes;
  }

  /**
   * Marks the pages in a bitmap, which are none afterwards.
   *
   * @throws The error of the bitmap. The pages stay then.
   */
  moveTo(bitmap: Bitmap): void {
    if (this.#isEmpty) return;
    const pages = this.#pages;
    if (this.#fits(bitmap)) {
      pages.drainInto(bitmap, 0, this.#length);
      this.#isEmpty = true;
      return;
    }
    const runs = [...pages.dirtyRuns()];
    // The bitmap may be the caller's, and find more meanwhile.
    pages.reset();
    this.#isEmpty = true;
    try {
      for (const [offset, length] of runs) bitmap.markDirty(offset, length);
    } catch (error) {
      for (const [offset, length] of runs) this.add(offset, length);
      throw error;
    }
  }

  // Whether a bitmap has a bit for each page here, and no code of others.
  #fits(bitmap: Bitmap): bitmap is AtomicBitmap | BitmapSlice {
    const proto = Object.getPrototypeOf(bitmap);
    if (proto === AtomicBitmap.prototype) return this.#fitsInto(bitmap as AtomicBitmap, 0);
    if (proto !== BitmapSlice.prototype) return false;
    const { bitmap: whole, offset } = bitmap as BitmapSlice;
    return this.#fitsInto(whole, offset);
  }

  #fitsInto(bitmap: AtomicBitmap, offset: number): boolean {
    const { pageSize, byteSize } = bitmap;
    return pageSize === this.#pageSize && offset % pageSize === 0 &&
      byteSize >= offset + this.#length;
  }
}
