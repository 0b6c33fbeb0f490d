/**
 * A bitmap of dirty pages that many threads mark.
 *
 * @module
 */
import { byteSize as showBytes } from "../number_format.ts";
import { showAsText } from "../inspect.ts";
import type { Bitmap } from "./bitmap.ts";
import { BitmapSlice } from "./bitmap_slice.ts";
import { type DirtyBitmap, type DirtyRun, type RunCallback, runsOf } from "./dirty_bitmap.ts";

/**
 * A bitmap of dirty pages, one bit a page, that many threads mark. Mirrors `AtomicBitmap`.
 *
 * Its words lie in a `SharedArrayBuffer`: send {@linkcode AtomicBitmap.buffer} to a Worker and make
 * an `AtomicBitmap` over it there, and both mark the same bits. The layout is that of a KVM dirty
 * log: bit n of the little-endian bit string is page n.
 *
 * A mark tests the bit and writes only a clear one, so marking a dirty page again is a plain read.
 * Whoever takes or clears marks while other threads write has to call {@linkcode synchronizeThreads}
 * before reading the pages, or a write that is just being made is neither seen nor marked.
 *
 * What a consumer does:
 *
 * ```ts
 * import { AtomicBitmap } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const bitmap = new AtomicBitmap(2 ** 20);
 * const taken = new AtomicBitmap(2 ** 20);
 * bitmap.markDirty(0x1ffe, 4);
 * bitmap.drainInto(taken); // Takes what is dirty, in a bitmap that is used again and again,
 * assertEquals([...taken.dirtyRuns()], [[0x1000, 0x2000]]); // reads it as runs of bytes,
 * bitmap.merge(taken); // and puts it back, where using it failed.
 * assertEquals(bitmap.dirtyAt(0x2000), true);
 * ```
 */
export class AtomicBitmap implements Bitmap, DirtyBitmap {
  static {
    showAsText(this);
  }

  /** Bytes that one bit stands for. */
  readonly pageSize: number;
  readonly #pagesPerByte: number;
  #byteSize: number;
  #pages: number;
  #words: Int32Array<SharedArrayBuffer>;
  // The same words two at a time, to pass over clean ones.
  #pairs: BigInt64Array<SharedArrayBuffer>;

  /**
   * Makes a bitmap.
   *
   * @param byteSize Bytes that it covers.
   * @param pageSize Bytes that one bit stands for: any integer from 1.
   * @param buffer The words of a bitmap of the same size in another thread, to share it. Without,
   * all bits are clear.
   * @throws {RangeError} A size is no integer in range, or the buffer is too small.
   */
  constructor(byteSize: number, pageSize: number = 4096, buffer?: SharedArrayBuffer) {
    if (!(Number.isSafeInteger(pageSize) && pageSize > 0)) {
      throw new RangeError(`Cannot make a bitmap with pages of ${pageSize} bytes`);
    }
    this.pageSize = pageSize;
    this.#pagesPerByte = 1 / pageSize;
    this.#byteSize = byteSize;
    this.#pages = pagesOf(byteSize, pageSize);
    const words = wordsOf(this.#pages);
    if (buffer !== undefined && buffer.byteLength < words * 4) {
      throw new RangeError(
        `Cannot make a bitmap of ${this.#pages} pages over ${buffer.byteLength} bytes`,
      );
    }
    this.#words = new Int32Array(buffer ?? new SharedArrayBuffer(words * 4), 0, words);
    this.#pairs = new BigInt64Array(this.#words.buffer, 0, words / 2);
  }

  /** Pages: the number of bits. */
  get len(): number {
    return this.#pages;
  }

  /** Bytes that the bitmap covers. */
  get byteSize(): number {
    return this.#byteSize;
  }

  /** The words of the bitmap, to share with other threads. Its size is a multiple of 8 bytes. */
  get buffer(): SharedArrayBuffer {
    return this.#words.buffer;
  }

  /**
   * Covers more bytes; the new ones are clear. The words move to a new buffer: whoever shares the
   * old one has to be given the new one.
   *
   * @param additionalSize How many more.
   */
  enlarge(additionalSize: number): void {
    if (!(Number.isSafeInteger(additionalSize) && additionalSize >= 0)) {
      throw new RangeError(`Cannot enlarge a bitmap by ${additionalSize} bytes`);
    }
    const byteSize = this.#byteSize + additionalSize;
    const pages = pagesOf(byteSize, this.pageSize);
    const words = new Int32Array(new SharedArrayBuffer(wordsOf(pages) * 4));
    words.set(this.#words);
    this.#words = words;
    this.#pairs = new BigInt64Array(words.buffer);
    this.#pages = pages;
    this.#byteSize = byteSize;
  }

  /** Whether a page is dirty; `false` beyond the end. */
  isBitSet(page: number): boolean {
    return page >= 0 && page < this.#pages &&
      (Atomics.load(this.#words, Math.floor(page / 32)) & 1 << page) !== 0;
  }

  /** Whether the page of a byte is dirty; `false` beyond the end. */
  isAddrSet(offset: number): boolean {
    return this.isBitSet(Math.floor(offset / this.pageSize));
  }

  /** Marks a page dirty; nothing beyond the end. */
  setBit(page: number): void {
    if (page >= 0 && page < this.#pages) mark(this.#words, Math.floor(page / 32), 1 << page);
  }

  /** Marks a page clean; nothing beyond the end. */
  resetBit(page: number): void {
    if (page >= 0 && page < this.#pages) {
      Atomics.and(this.#words, Math.floor(page / 32), ~(1 << page));
    }
  }

  /** Marks the pages of `[offset, offset + length)` dirty, as far as there are such pages. */
  setAddrRange(offset: number, length: number): void {
    this.markDirty(offset, length);
  }

  /** Marks the pages of `[offset, offset + length)` clean, as far as there are such pages. */
  resetAddrRange(offset: number, length: number): void {
    this.#forPages(offset, length, (words, word, bits) => Atomics.and(words, word, ~bits));
  }

  /** Marks the pages of `[offset, offset + length)` dirty: see {@linkcode Bitmap.markDirty}. */
  markDirty(offset: number, length: number): void {
    // A division takes as long as the rest. The product may be rounded, to the page next to the
    // right one, and it wraps around from 2^31 on: the comparisons find out.
    const page = offset * this.#pagesPerByte | 0;
    const start = page * this.pageSize;
    const within = offset >= start && offset + length <= start + this.pageSize;
    if (within && length > 0 && page >= 0 && page < this.#pages) {
      mark(this.#words, page >>> 5, 1 << page);
    } else {
      this.#forPages(offset, length, mark);
    }
  }

  /** Whether the page of a byte is dirty. */
  dirtyAt(offset: number): boolean {
    return this.isAddrSet(offset);
  }

  /** This bitmap from an offset on. */
  sliceAt(offset: number): BitmapSlice {
    return new BitmapSlice(this, offset);
  }

  /** Marks every page clean. A mark that another thread makes meanwhile may be lost. */
  reset(): void {
    this.#words.fill(0);
  }

  /**
   * Takes the words and marks every page clean, a word at a time: a mark that another thread makes
   * meanwhile is either taken or stays. Mirrors `get_and_reset`.
   *
   * @param words Where to put the words, at least `ceil(len / 32)`; new ones by default.
   * @returns The words.
   * @throws {RangeError} There is not enough place.
   */
  getAndReset(words: Uint32Array = new Uint32Array(this.#words.length)): Uint32Array {
    const source = this.#words;
    if (words.length < source.length) {
      throw new RangeError(`Cannot put ${source.length} words in ${words.length}`);
    }
    for (let i = 0; i < source.length; i++) words[i] = take(source, i);
    return words;
  }

  /**
   * Moves every dirty mark to another bitmap, a word at a time: a mark that another thread makes
   * meanwhile is either moved or stays.
   *
   * While other threads write, call {@linkcode synchronizeThreads} before reading the pages that were
   * taken.
   *
   * @param target A bitmap of as many pages, for example one that is kept for this.
   * @throws {RangeError} It has another number of pages.
   */
  drainInto(target: AtomicBitmap): void {
    this.#demandSameShape(target);
    const source = this.#words;
    const pairs = this.#pairs;
    for (
      let i = nextDirty(source, pairs, 0);
      i < source.length;
      i = nextDirty(source, pairs, i + 1)
    ) {
      mark(target.#words, i, take(source, i));
    }
  }

  /**
   * Marks dirty what another bitmap, or a KVM dirty log, has marked.
   *
   * @param marks A bitmap of as many pages, or the bytes of a log: bit n is page n of it.
   * @param firstPage Where a log begins: the page of its bit 0, a multiple of 32.
   * @throws {RangeError} The number of pages differs, or the log leaves the bitmap.
   */
  merge(marks: AtomicBitmap | Uint8Array, firstPage: number = 0): void {
    if (marks instanceof AtomicBitmap) {
      this.#demandSameShape(marks);
      const source = marks.#words;
      const pairs = marks.#pairs;
      for (
        let i = nextDirty(source, pairs, 0);
        i < source.length;
        i = nextDirty(source, pairs, i + 1)
      ) {
        mark(this.#words, i, source[i]!);
      }
      return;
    }
    if (!(firstPage >= 0 && firstPage % 32 === 0)) {
      throw new RangeError(`Cannot merge a log from page ${firstPage}: not a multiple of 32`);
    }
    const firstWord = firstPage / 32;
    for (let i = 0; i < marks.length; i++) {
      if (marks[i] === 0) continue;
      const page = firstPage + i * 8;
      // A log is padded to 64 bits; a set bit in the padding is a mistake of whoever made it.
      if (page + 32 - Math.clz32(marks[i]!) > this.#pages) {
        throw new RangeError(`Cannot merge a log that marks a page beyond ${this.#pages}`);
      }
      mark(this.#words, firstWord + (i >>> 2), marks[i]! << (i & 3) * 8);
    }
  }

  /**
   * The dirty bytes as runs, by rising offset: see {@linkcode DirtyBitmap.forEachDirtyRun}, which is
   * faster for many.
   */
  dirtyRuns(offset: number = 0, length: number = this.#byteSize - offset): Iterable<DirtyRun> {
    return runsOf(this, offset, length);
  }

  /** Calls a function for each run of dirty bytes: see {@linkcode DirtyBitmap.forEachDirtyRun}. */
  forEachDirtyRun(
    callback: RunCallback,
    offset: number = 0,
    length: number = this.#byteSize - offset,
  ): void {
    const { pageSize } = this;
    const begin = Math.max(offset, 0);
    const end = Math.min(offset + length, this.#byteSize);
    if (!(begin < end)) return;
    const words = this.#words;
    const pairs = this.#pairs;
    const wordSize = 32 * pageSize;
    const firstPage = Math.floor(begin / pageSize);
    const lastPage = Math.floor((end - 1) / pageSize);
    const lastWord = Math.floor(lastPage / 32);
    const lastBits = -1 >>> 31 - (lastPage & 31);
    // Each word is read once: another thread may change it meanwhile.
    const bitsOf = (word: number) => word === lastWord ? words[word]! & lastBits : words[word]!;
    let word = Math.floor(firstPage / 32);
    let bits = bitsOf(word) & -1 << firstPage;
    for (;;) {
      while (bits === 0) {
        word = nextDirty(words, pairs, word + 1, lastWord + 1);
        if (word > lastWord) return;
        bits = bitsOf(word);
      }
      const from = Math.max(word * wordSize + trailingZeros(bits) * pageSize, begin);
      // Adding the lowest bit carries through the run, to the page after it.
      let after = bits + (bits & -bits) | 0;
      if (after === 0) {
        // It reaches the end of the word.
        do {
          word++;
          bits = word <= lastWord ? bitsOf(word) : 0;
        } while (bits === -1);
        after = bits + 1 | 0;
      }
      const to = Math.min(word * wordSize + trailingZeros(after) * pageSize, end);
      callback(from, to - from);
      bits &= after;
    }
  }

  /** The number of dirty pages. */
  get dirtyPages(): number {
    let count = 0;
    const words = this.#words;
    const pairs = this.#pairs;
    for (let i = nextDirty(words, pairs, 0); i < words.length; i = nextDirty(words, pairs, i + 1)) {
      count += bitCount(words[i]!);
    }
    return count;
  }

  /** One line: how much is covered and how much of it is dirty. */
  toString(): string {
    return `AtomicBitmap ${showBytes(this.#byteSize)}, ${this.dirtyPages} of ${this.#pages} ` +
      `pages of ${showBytes(this.pageSize)} dirty`;
  }

  // The words of the pages of a range, as far as there are such pages, with the bits of those.
  #forPages(
    offset: number,
    length: number,
    each: (words: Int32Array, word: number, bits: number) => void,
  ): void {
    if (!(length > 0)) return;
    const first = Math.max(Math.floor(offset / this.pageSize), 0);
    const last = Math.min(Math.floor((offset + length - 1) / this.pageSize), this.#pages - 1);
    const words = this.#words;
    forWords(first, last, (word, bits) => each(words, word, bits));
  }

  #demandSameShape(other: AtomicBitmap): void {
    if (other.#pages === this.#pages && other.pageSize === this.pageSize) return;
    throw new RangeError(
      `Cannot combine bitmaps of ${this.#pages} pages of ${this.pageSize} bytes and of ` +
        `${other.#pages} of ${other.pageSize}`,
    );
  }
}

function pagesOf(byteSize: number, pageSize: number): number {
  if (!(Number.isSafeInteger(byteSize) && byteSize >= 0)) {
    throw new RangeError(`Cannot make a bitmap for ${byteSize} bytes`);
  }
  return Math.ceil(byteSize / pageSize);
}

// Whole 64-bit words, as KVM has them.
function wordsOf(pages: number): number {
  return Math.ceil(pages / 64) * 2;
}

// Tests before it writes: a page is mostly dirty already, and a plain read is not contended.
function mark(words: Int32Array, word: number, bits: number): void {
  if ((words[word]! & bits) !== bits) Atomics.or(words, word, bits);
}

function take(words: Int32Array, word: number): number {
  return words[word] === 0 ? 0 : Atomics.exchange(words, word, 0);
}

// The words of the pages first to last, both inclusive, with the bits of those pages.
function forWords(first: number, last: number, each: (word: number, bits: number) => void): void {
  const lastWord = Math.floor(last / 32);
  for (let word = Math.floor(first / 32); word <= lastWord; word++) {
    const low = word * 32 < first ? -1 << first : -1;
    const high = word === lastWord ? -1 >>> 31 - (last & 31) : -1;
    each(word, low & high);
  }
}

// How many words are looked at one by one before whole blocks are: dirty pages have neighbours.
const NEAR_WORDS = 128;

// The first word from `word` on, before `end`, that is not zero, or `end`.
function nextDirty(
  words: Int32Array,
  pairs: BigInt64Array,
  word: number,
  end: number = words.length,
): number {
  const near = Math.min(word + NEAR_WORDS, end - 3);
  for (; word < near; word += 4) {
    if (words[word] !== 0) return word;
    if (words[word + 1] !== 0) return word + 1;
    if (words[word + 2] !== 0) return word + 2;
    if (words[word + 3] !== 0) return word + 3;
  }
  if (word >= end) return end;
  if ((word & 1) !== 0) {
    if (words[word] !== 0) return word;
    word++;
  }
  // 16 pairs a step: what limits an all-clean scan is then the memory.
  let i = word >>> 1;
  for (const last = (end >>> 1) - 15; i < last; i += 16) {
    const any = pairs[i]! | pairs[i + 1]! | pairs[i + 2]! | pairs[i + 3]! |
      pairs[i + 4]! | pairs[i + 5]! | pairs[i + 6]! | pairs[i + 7]! |
      pairs[i + 8]! | pairs[i + 9]! | pairs[i + 10]! | pairs[i + 11]! |
      pairs[i + 12]! | pairs[i + 13]! | pairs[i + 14]! | pairs[i + 15]!;
    if (BigInt.asIntN(64, any) !== 0n) break;
  }
  word = i * 2;
  while (word < end && words[word] === 0) word++;
  return word;
}

function trailingZeros(bits: number): number {
  return 31 - Math.clz32(bits & -bits);
}

function bitCount(bits: number): number {
  bits -= bits >>> 1 & 0x5555_5555;
  bits = (bits & 0x3333_3333) + (bits >>> 2 & 0x3333_3333);
  return Math.imul(bits + (bits >>> 4) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}
