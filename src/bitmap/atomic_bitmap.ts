/**
 * A bitmap of dirty pages that many threads mark.
 *
 * @module
 */
import type { HostMemory } from "../host/host_memory.ts";
import { checkCount, checkNumber, wrongKind } from "../text/argument.ts";
import { showAsText } from "../text/inspect.ts";
import { byteSize as showBytes } from "../text/number_format.ts";
import type { Bitmap } from "./bitmap.ts";
import { type BitmapMemory, type BitmapOverOptions, GivenWords } from "./given_words.ts";
import { type DirtyRun, type RunCallback, runsOf, type RunSource } from "./run_source.ts";
import { bitCount, clear, forDirtyWords, forWords, mark, markAlways } from "./words.ts";
import { nextDirty, take, trailingZeros, wordsOf } from "./words.ts";

// Set by AtomicBitmap, as they use its words. BitmapSlice uses them too.
let moveMarks: (
  source: Place,
  target: Place,
  offset: number,
  length: number,
  how: "take" | "copy",
) => void;
let ofLog: (log: Uint8Array, pageSize: number) => AtomicBitmap;
let givenWordsOf: (bitmap: AtomicBitmap) => GivenWords | undefined;

/**
 * A bitmap of dirty pages, with one bit for each page, that many threads mark. Mirrors
 * `AtomicBitmap`.
 *
 * Its words are in a `SharedArrayBuffer`: send {@linkcode AtomicBitmap.buffer} to a Worker and make
 * an `AtomicBitmap` over it there, and both mark the same bits. A web page that is not cross-origin
 * isolated has no such buffers: the words are in an `ArrayBuffer` there, which cannot be shared.
 * The layout is that of a KVM dirty log: bit n of the little-endian bit string is page n. For a
 * consumer in another process, {@linkcode AtomicBitmap.over} puts the bits in memory that both map.
 *
 * Marking a dirty page again is only a load, which other threads may see out of order. While they
 * write, take marks with {@linkcode takeDirty}, or call {@linkcode membarrier} after draining and
 * before reading the pages: a write is then either seen, or marks its page again.
 *
 * @example What a consumer does
 * ```ts
 * import { AtomicBitmap } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const bitmap = new AtomicBitmap(2 ** 20);
 * const taken = new AtomicBitmap(2 ** 20);
 * bitmap.markDirty(0x1ffe, 4);
 * bitmap.drainInto(taken); // Takes what is dirty, into a bitmap that is used again and again,
 * assertEquals([...taken.dirtyRuns()], [[0x1000, 0x2000]]); // reads it as runs of bytes,
 * bitmap.merge(taken); // and puts it back if using it failed.
 * assertEquals(bitmap.dirtyAt(0x2000), true);
 * ```
 */
export class AtomicBitmap implements Bitmap, RunSource {
  static {
    showAsText(this);
  }

  /** Bytes that one bit stands for. */
  readonly pageSize: number;
  // Not a number where pages are no power of two: their products would be rounded.
  readonly #pagesPerByte: number;
  #byteSize: number;
  #pages: number;
  // Pages whose bits are in #words: all or, where the bits are in given memory, none.
  #ownPages: number;
  #words: Int32Array;
  // The same words in pairs, to skip clean ones.
  #pairs: BigInt64Array;
  #given: GivenWords | undefined;

  /**
   * Makes a bitmap.
   *
   * @param byteSize Bytes that it covers.
   * @param pageSize Bytes that one bit stands for: any integer from 1.
   * @param buffer The words of a bitmap of the same size in another thread, to share it. Without,
   * all bits are clear.
   * @throws {RangeError} A size is no integer in range, or the buffer is too small.
   */
  constructor(byteSize: number, pageSize: number = 4096, buffer?: ArrayBufferLike) {
    checkNumber("pageSize", pageSize);
    if (!(Number.isSafeInteger(pageSize) && pageSize > 0)) {
      throw new RangeError(`Cannot make a bitmap with pages of ${pageSize} bytes`);
    }
    this.pageSize = pageSize;
    this.#pagesPerByte = Number.isInteger(Math.log2(pageSize)) ? 1 / pageSize : NaN;
    this.#byteSize = byteSize;
    this.#pages = pagesOf(byteSize, pageSize);
    this.#ownPages = this.#pages;
    const words = wordsOf(this.#pages);
    if (buffer !== undefined && buffer.byteLength < words * 4) {
      throw new RangeError(
        `Cannot make a bitmap of ${this.#pages} pages over ${buffer.byteLength} bytes`,
      );
    }
    this.#words = new Int32Array(buffer ?? newBuffer(words * 4), 0, words);
    this.#pairs = new BigInt64Array(this.#words.buffer, 0, words / 2);
  }

  /**
   * Makes a bitmap whose bits are in given memory: in a file that another process maps too, such as
   * the dirty log of a vhost-user device. Mirrors `AtomicBitmapMmap` of the crate
   * `vhost-user-backend`.
   *
   * Page n is bit `n % 8` of byte `n / 8`, as in the logs of vhost (`log_write` in Linux's
   * `drivers/vhost/vhost.c`) and of KVM (`KVM_GET_DIRTY_LOG` in its `virt/kvm/api.rst`). The bits
   * stay as they are. Each is set and cleared atomically, and no other bit of the memory changes.
   *
   * Every mark is an atomic operation. Testing the bit first would be faster, but a write may be
   * invisible to others when the test finds the bit set. A consumer that takes the bit then does not
   * see the write, and nothing marks it again: the write is lost. {@linkcode membarrier} excludes
   * that, but it stops the threads of one process only. So ask for marks `"once"` only if every
   * consumer is in this process and calls it, or {@linkcode takeDirty}.
   *
   * The bitmap refers to the memory and does not keep it open. Once the memory is closed or may not
   * be read and written, every use throws and no mark is lost in silence: a write to tracked memory
   * is done then, and its mark throws. Marking does not mark the memory of the bitmap itself, even
   * if it is tracked. Runs are listed from a copy, made when the call begins. The bitmap has no
   * `buffer`, cannot be enlarged, and is not sent to other threads with a handle: make one there,
   * over the same memory.
   *
   * @param slice The memory. It begins at a multiple of 4 bytes, and has a multiple of 4 bytes with
   * a bit for each page, at least.
   * @param options What the bitmap covers, and how it is marked.
   * @returns The bitmap.
   * @throws {Misaligned} The memory begins elsewhere.
   * @throws {RangeError} The memory is too small, or a size is no integer in range.
   * @throws {MemoryClosed} The memory is closed.
   * @throws {AccessDenied} The memory may not be both read and written.
   *
   * @example
   * ```ts
   * import { AtomicBitmap, FileOffset, MmapRegion } from "@vmm/guest-memory";
   * import { assertEquals } from "@std/assert";
   *
   * const path = Deno.makeTempFileSync();
   * Deno.truncateSync(path, 4096);
   * using file = Deno.openSync(path, { read: true, write: true });
   * using log = MmapRegion.fromFile(new FileOffset(file), 4096);
   * const dirty = AtomicBitmap.over(log.asVolatileSlice(), { byteSize: 2 ** 20 });
   * dirty.markDirty(0x9000, 1);
   * // Whoever else maps the file finds the mark: page 9 is bit 1 of byte 1.
   * assertEquals(Deno.readFileSync(path)[1], 1 << 1);
   * ```
   */
  static over(slice: BitmapMemory, options: BitmapOverOptions = {}): AtomicBitmap {
    const { byteSize, pageSize, marks = "always" } = options;
    if (marks !== "always" && marks !== "once") {
      throw wrongKind("marks", marks, '"always" or "once"');
    }
    const bitmap = new AtomicBitmap(0, pageSize);
    const given = new GivenWords(slice, marks === "always" ? markAlways : mark);
    bitmap.#byteSize = byteSize ?? given.capacity * bitmap.pageSize;
    bitmap.#pages = pagesOf(bitmap.#byteSize, bitmap.pageSize);
    given.use(bitmap.#pages);
    bitmap.#given = given;
    return bitmap;
  }

  /** Pages: the number of bits. */
  get len(): number {
    return this.#pages;
  }

  /** Bytes that the bitmap covers. */
  get byteSize(): number {
    return this.#byteSize;
  }

  /**
   * The words of the bitmap, to share with other threads. Its size is a multiple of 8 bytes.
   *
   * @throws {TypeError} The bitmap is over given memory, which other threads have to map.
   */
  get buffer(): ArrayBufferLike {
    if (this.#given !== undefined) {
      throw new TypeError("Cannot take the buffer of a bitmap over given memory: map that memory");
    }
    return this.#words.buffer;
  }

  /**
   * Covers more bytes; the new ones are clear. The words move to a new buffer: send it to every
   * thread that shares the old one.
   *
   * @param additionalSize How many more.
   * @throws {TypeError} The bitmap is over given memory.
   */
  enlarge(additionalSize: number): void {
    checkCount(additionalSize, "additionalSize");
    if (this.#given !== undefined) {
      throw new TypeError("Cannot enlarge a bitmap over given memory: make one over more memory");
    }
    const byteSize = this.#byteSize + additionalSize;
    const pages = pagesOf(byteSize, this.pageSize);
    const words = new Int32Array(newBuffer(wordsOf(pages) * 4));
    words.set(this.#words);
    this.#words = words;
    this.#pairs = new BigInt64Array(words.buffer);
    this.#pages = pages;
    this.#ownPages = pages;
    this.#byteSize = byteSize;
  }

  /** Whether a page is dirty; `false` beyond the end. */
  isBitSet(page: number): boolean {
    if (!this.#owns(page)) return this.#given?.isBitSet(page) ?? false;
    return (Atomics.load(this.#words, Math.floor(page / 32)) & 1 << page) !== 0;
  }

  /** Whether the page of a byte is dirty; `false` beyond the end. */
  isAddrSet(offset: number): boolean {
    checkNumber("offset", offset);
    return this.isBitSet(Math.floor(offset / this.pageSize));
  }

  /** Marks a page dirty; nothing beyond the end. */
  setBit(page: number): void {
    if (this.#owns(page)) mark(this.#words, Math.floor(page / 32), 1 << page);
    else this.#given?.setBit(page);
  }

  /** Marks a page clean; nothing beyond the end. */
  resetBit(page: number): void {
    if (this.#owns(page)) clear(this.#words, Math.floor(page / 32), 1 << page);
    else this.#given?.resetBit(page);
  }

  /** Marks the pages of `[offset, offset + length)` dirty, as far as there are such pages. */
  setAddrRange(offset: number, length: number): void {
    this.markDirty(offset, length);
  }

  /** Marks the pages of `[offset, offset + length)` clean, as far as there are such pages. */
  resetAddrRange(offset: number, length: number): void {
    this.#forPages(offset, length, clear);
  }

  /** Marks the pages of `[offset, offset + length)` dirty: see {@linkcode Bitmap.markDirty}. */
  markDirty(offset: number, length: number): void {
    if (typeof offset !== "number" || typeof length !== "number") checkOffsets(offset, length);
    // A division would take as long as the rest. From 2^31 on the page wraps around: the rest is too
    // large then.
    const exact = offset * this.#pagesPerByte;
    const page = exact | 0;
    const rest = exact - page;
    const within = rest >= 0 && rest + length * this.#pagesPerByte <= 1;
    if (within && length > 0 && page >= 0 && page < this.#ownPages) {
      mark(this.#words, page >>> 5, 1 << page);
    } else {
      this.#markPages(offset, length);
    }
  }

  /** Whether the page of a byte is dirty. */
  dirtyAt(offset: number): boolean {
    return this.isAddrSet(offset);
  }

  /** A slice of this bitmap that begins at an offset. */
  sliceAt(offset: number): BitmapSlice {
    return new BitmapSlice(this, offset);
  }

  /** Marks every page clean. A mark that another thread makes meanwhile may be lost. */
  reset(): void {
    if (this.#given === undefined) this.#words.fill(0);
    else this.#forPages(0, this.#byteSize, clear);
  }

  /**
   * Takes the words and marks every page clean, a word at a time: a mark that another thread makes
   * meanwhile is either taken or stays. Mirrors `get_and_reset`.
   *
   * @param words Where to put the words, at least `ceil(len / 32)`; new ones by default.
   * @returns The words.
   * @throws {RangeError} There is not enough space.
   */
  getAndReset(words: Uint32Array = new Uint32Array(wordsOf(this.#pages))): Uint32Array {
    const count = wordsOf(this.#pages);
    if (words.length < count) {
      throw new RangeError(`Cannot put ${count} words in ${words.length}`);
    }
    const source = this.#given === undefined
      ? this.#words
      : this.#part(this.#given, 0, this.#pages, "take").bitmap.#words;
    for (let i = 0; i < count; i++) words[i] = take(source, i, -1);
    return words;
  }

  /**
   * Moves the dirty marks of a range to another bitmap, a word at a time: a mark that another
   * thread makes meanwhile is either moved or stays. Several threads may drain a bitmap, a range
   * each.
   *
   * While other threads write, call {@linkcode membarrier} before reading the pages that were
   * taken.
   *
   * @param target Where to: offset n there is offset n here. It has pages of the same size, and all
   * of the range.
   * @param offset Where the range begins, in bytes; 0 by default. Pages that are partly in the
   * range are drained as a whole.
   * @param length Bytes of the range; all by default.
   * @throws {RangeError} The pages are of another size, or the range leaves the target.
   */
  drainInto(
    target: AtomicBitmap | BitmapSlice,
    offset: number = 0,
    length: number = this.#byteSize - offset,
  ): void {
    moveMarks({ bitmap: this, offset: 0 }, placeOf(target), offset, length, "take");
  }

  /**
   * Marks dirty what another bitmap, or a KVM dirty log, has marked in a range.
   *
   * @param marks A bitmap with pages of the same size, whose offset n is offset n here; or the
   * bytes of a log, whose bit n is page n.
   * @param offset Where the range begins, in bytes; 0 by default.
   * @param length Bytes of the range; all that is marked by default.
   * @throws {RangeError} The pages are of another size, or a page is marked that is not here.
   */
  merge(
    marks: AtomicBitmap | BitmapSlice | Uint8Array,
    offset: number = 0,
    length: number = Infinity,
  ): void {
    moveMarks(placeOf(marks, this.pageSize), { bitmap: this, offset: 0 }, offset, length, "copy");
  }

  /**
   * The dirty bytes as runs, by rising offset. {@linkcode RunSource.forEachDirtyRun} is faster for
   * many runs.
   */
  dirtyRuns(offset: number = 0, length: number = this.#byteSize - offset): Iterable<DirtyRun> {
    return runsOf(this, offset, length);
  }

  /** Calls a function for each run of dirty bytes: see {@linkcode RunSource.forEachDirtyRun}. */
  forEachDirtyRun(
    callback: RunCallback,
    offset: number = 0,
    length: number = this.#byteSize - offset,
  ): void {
    checkOffsets(offset, length);
    const { pageSize } = this;
    const begin = Math.max(offset, 0);
    const end = Math.min(offset + length, this.#byteSize);
    if (!(begin < end)) return;
    if (this.#given !== undefined) {
      const first = Math.floor(begin / pageSize);
      const part = this.#part(this.#given, first, Math.ceil(end / pageSize), "copy");
      new BitmapSlice(part.bitmap, part.offset).forEachDirtyRun(callback, begin, end - begin);
      return;
    }
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
    if (this.#given !== undefined) {
      return this.#part(this.#given, 0, this.#pages, "copy").bitmap.dirtyPages;
    }
    let count = 0;
    forDirtyWords(this.#words, this.#pairs, 0, this.#pages, (word, mask) => {
      count += bitCount(this.#words[word]! & mask);
    });
    return count;
  }

  /** One line: how much is covered and how much of it is dirty. */
  toString(): string {
    const pages = `${this.#pages} pages of ${showBytes(this.pageSize)}`;
    return `AtomicBitmap ${showBytes(this.#byteSize)}, ` +
      (this.#given?.accessible === false
        ? `${pages} in memory that may not be accessed`
        : `${this.dirtyPages} of ${pages} dirty`);
  }

  // The marks of some pages of given memory in a bitmap whose words stay, taken or copied.
  #part(given: GivenWords, first: number, end: number, how: "take" | "copy"): Place {
    const { pageSize } = this;
    const from = Math.floor(first / 32);
    const start = from * 32 * pageSize;
    const bitmap = new AtomicBitmap(Math.min(end * pageSize, this.#byteSize) - start, pageSize);
    const part = bitmap.#words;
    const { words, first: firstWord } = given;
    const shift = firstWord + from;
    part.set(words.subarray(shift, firstWord + Math.ceil(end / 32)));
    if (how === "take") {
      const base = from * 32;
      forDirtyWords(part, bitmap.#pairs, first - base, end - base, (word, mask) => {
        part[word] = take(words, shift + word, mask);
      });
    }
    return { bitmap, offset: -start };
  }

  #owns(page: number): boolean {
    checkNumber("page", page);
    return page >= 0 && page < this.#ownPages;
  }

  #markPages(offset: number, length: number): void {
    // Pages of another size. The quotient may be rounded to an adjacent page, and it wraps around
    // from 2^31 on: the comparisons detect both.
    const page = offset / this.pageSize | 0;
    const start = page * this.pageSize;
    const within = offset >= start && offset + length <= start + this.pageSize;
    if (within && length > 0 && page >= 0 && page < this.#ownPages) {
      return mark(this.#words, page >>> 5, 1 << page);
    }
    this.#forPages(offset, length, this.#given?.mark ?? mark);
  }

  // The words of the pages of a range, as far as there are such pages, with the bits of those.
  #forPages(
    offset: number,
    length: number,
    each: (words: Int32Array, word: number, bits: number) => void,
  ): void {
    checkOffsets(offset, length);
    if (!(length > 0)) return;
    const first = Math.max(Math.floor(offset / this.pageSize), 0);
    const end = Math.min(Math.floor((offset + length - 1) / this.pageSize) + 1, this.#pages);
    if (this.#given !== undefined) return this.#given.forPages(first, end, each);
    const words = this.#words;
    forWords(first, end, (word, bits) => each(words, word, bits));
  }

  static {
    moveMarks = (source, target, offset, length, how) => {
      checkOffsets(offset, length);
      const { pageSize } = source.bitmap;
      const shift = target.offset - source.offset;
      if (source.bitmap === target.bitmap && shift !== 0) {
        throw new RangeError("Cannot move marks within a bitmap: they would be moved again");
      }
      if (target.bitmap.pageSize !== pageSize || shift % pageSize !== 0) {
        throw new RangeError(
          `Cannot move marks of pages of ${pageSize} bytes by ${shift} bytes to a bitmap with ` +
            `pages of ${target.bitmap.pageSize}`,
        );
      }
      const begin = source.offset + offset;
      if (!(begin >= 0 && length >= 0)) {
        throw new RangeError(`Cannot move marks of ${length} bytes from offset ${offset}`);
      }
      const first = Math.floor(begin / pageSize);
      const pagesEnd = length === 0 ? first : Math.ceil((begin + length) / pageSize);
      const end = Math.min(pagesEnd, source.bitmap.#pages);
      const { len: pages } = target.bitmap;
      const delta = shift / pageSize;
      const check = (page: number, count: number) => {
        if (page >= 0 && page + count <= pages) return;
        throw new RangeError(`Cannot move marks to page ${page + count - 1}: there are ${pages}`);
      };
      const marked = (each: (page: number, word: number, mask: number) => void) =>
        forDirtyWords(words, source.bitmap.#pairs, first, end, (word, mask) => {
          each(word * 32 + delta, word, mask);
        });
      // If a mark cannot be moved, none is.
      if (how === "take" && first < end) check(first + delta, end - first);
      const given = source.bitmap.#given;
      if (given !== undefined) {
        if (!(first < end)) return;
        const part = source.bitmap.#part(given, first, end, how);
        const from = { bitmap: part.bitmap, offset: source.offset + part.offset };
        try {
          moveMarks(from, target, offset, length, "copy");
        } catch (error) {
          if (how === "take") moveMarks(from, source, offset, length, "copy");
          throw error;
        }
        return;
      }
      const words = source.bitmap.#words;
      // Taken from the target before any mark is from the source: its memory may be closed.
      const targetGiven = target.bitmap.#given;
      const into = targetGiven?.words ?? target.bitmap.#words;
      const base = targetGiven?.first ?? 0;
      const put = targetGiven?.mark ?? mark;
      if (how === "copy") {
        marked((page, word, mask) => {
          const bits = words[word]! & mask;
          const low = trailingZeros(bits);
          if (bits !== 0) check(page + low, 32 - Math.clz32(bits) - low);
        });
      }
      marked((page, word, mask) => {
        const bits = how === "take" ? take(words, word, mask) : words[word]! & mask;
        const low = page & 31;
        put(into, base + Math.floor(page / 32), bits << low);
        if (low > 0) put(into, base + Math.floor(page / 32) + 1, bits >>> 32 - low);
      });
    };
    ofLog = (log, pageSize) => {
      const bitmap = new AtomicBitmap(log.length * 8 * pageSize, pageSize);
      new Uint8Array(bitmap.#words.buffer).set(log);
      return bitmap;
    };
    givenWordsOf = (bitmap) => bitmap.#given;
  }
}

function checkOffsets(offset: number, length: number): void {
  checkNumber("offset", offset);
  checkNumber("length", length);
}

// A web page that is not cross-origin isolated has no SharedArrayBuffer.
function newBuffer(size: number): ArrayBufferLike {
  return typeof SharedArrayBuffer === "undefined"
    ? new ArrayBuffer(size)
    : new SharedArrayBuffer(size);
}

function pagesOf(byteSize: number, pageSize: number): number {
  checkNumber("byteSize", byteSize);
  if (!(Number.isSafeInteger(byteSize) && byteSize >= 0)) {
    throw new RangeError(`Cannot make a bitmap for ${byteSize} bytes`);
  }
  return Math.ceil(byteSize / pageSize);
}

/**
 * An {@linkcode AtomicBitmap} from an offset on: offset 0 here is that offset there. Mirrors
 * `RefSlice` and `ArcSlice`.
 *
 * So many regions can share one bitmap: each has the slice at its guest address.
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
export class BitmapSlice implements Bitmap, RunSource {
  /**
   * Begins at an offset of a bitmap.
   *
   * @param bitmap The bitmap.
   * @param offset Where the slice begins, in bytes.
   */
  constructor(readonly bitmap: AtomicBitmap, readonly offset: number) {
    checkNumber("offset", offset);
  }

  /** Marks bytes dirty: see {@linkcode Bitmap.markDirty}. */
  markDirty(offset: number, length: number): void {
    checkOffsets(offset, length);
    this.bitmap.markDirty(this.offset + offset, length);
  }

  /** Whether the byte at an offset is dirty. */
  dirtyAt(offset: number): boolean {
    checkNumber("offset", offset);
    return this.bitmap.dirtyAt(this.offset + offset);
  }

  /** The part of this slice that begins at an offset. */
  sliceAt(offset: number): BitmapSlice {
    checkNumber("offset", offset);
    return new BitmapSlice(this.bitmap, this.offset + offset);
  }

  /** Bytes that one bit stands for. */
  get pageSize(): number {
    return this.bitmap.pageSize;
  }

  /** Moves dirty marks to another bitmap: see {@linkcode AtomicBitmap.drainInto}. */
  drainInto(
    target: AtomicBitmap | BitmapSlice,
    offset: number = 0,
    length: number = this.bitmap.byteSize - this.offset - offset,
  ): void {
    moveMarks(this, placeOf(target), offset, length, "take");
  }

  /** Marks dirty what another bitmap or a log has marked: see {@linkcode AtomicBitmap.merge}. */
  merge(
    marks: AtomicBitmap | BitmapSlice | Uint8Array,
    offset: number = 0,
    length: number = Infinity,
  ): void {
    moveMarks(placeOf(marks, this.pageSize), this, offset, length, "copy");
  }

  /** Calls a function for each run of dirty bytes: see {@linkcode RunSource.forEachDirtyRun}. */
  forEachDirtyRun(
    callback: RunCallback,
    offset: number = 0,
    length: number = this.bitmap.byteSize - this.offset - offset,
  ): void {
    checkOffsets(offset, length);
    this.bitmap.forEachDirtyRun(
      (start, count) => callback(start - this.offset, count),
      this.offset + offset,
      length,
    );
  }
}

/** Where in a bitmap the offsets of a slice begin. */
export type Place = Pick<BitmapSlice, "bitmap" | "offset">;

/** The bitmap that marks are in, and where in it they begin; a log becomes a bitmap. */
export function placeOf(
  marks: AtomicBitmap | BitmapSlice | Uint8Array,
  pageSize: number = 1,
): Place {
  if (marks instanceof BitmapSlice) return marks;
  return { bitmap: marks instanceof AtomicBitmap ? marks : ofLog(marks, pageSize), offset: 0 };
}

/** Where the words of a bitmap are: bitmaps whose words begin at the same place share them. */
export interface WordsPlace {
  /** Their buffer. */
  readonly buffer: ArrayBufferLike;
  /** The index in it of the first word. */
  readonly first: number;
  /** The memory that the bitmap was given, if it was. */
  readonly memory: HostMemory | undefined;
}

/** Where the words of a bitmap are. */
export function wordsPlaceOf(bitmap: AtomicBitmap): WordsPlace {
  const given = givenWordsOf(bitmap);
  if (given === undefined) return { buffer: bitmap.buffer, first: 0, memory: undefined };
  const { memory, first } = given;
  return { buffer: memory.buffer, first, memory };
}
