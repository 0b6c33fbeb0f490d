/**
 * The words of a bitmap in memory that it is given: another process may map it too.
 *
 * @module
 */
import { AccessDenied, Misaligned, OutOfBounds } from "../error/volatile_memory_error.ts";
import { HostMemory } from "../host/host_memory.ts";
import { checkCount, wrongKind } from "../text/argument.ts";
import { clear, forWords } from "./words.ts";

/** The memory of a bitmap: a {@linkcode VolatileSlice}. */
export interface BitmapMemory {
  /** The host memory. */
  readonly memory: HostMemory;
  /** Where in it the bits begin, in bytes. */
  readonly start: number;
  /** Bytes. */
  readonly len: number;
}

/** Options of {@linkcode AtomicBitmap.over}. */
export interface BitmapOverOptions {
  /** Bytes that the bitmap covers; by default as many as the memory has bits for. */
  readonly byteSize?: number | undefined;
  /** Bytes that one bit stands for; 4096 by default, as vhost has it. */
  readonly pageSize?: number | undefined;
  /**
   * How a page is marked: always by an atomic operation, for consumers in any process, or only once
   * until it is taken, for consumers in this process that call {@linkcode membarrier}. `"always"` by
   * default.
   */
  readonly marks?: "always" | "once" | undefined;
}

/** Changes bits of a word. */
export type WordChange = (words: Int32Array, word: number, bits: number) => void;

/** The words of a bitmap in given memory. It keeps no array: those of the memory may be replaced. */
export class GivenWords {
  /** The memory. */
  readonly memory: HostMemory;
  /** The index in it of the first word. */
  readonly first: number;
  readonly #start: number;
  readonly #len: number;
  #pages = 0;
  #end: number;

  /**
   * Takes a place in memory.
   *
   * @param place The place. It is read once.
   * @param mark Sets bits of a word.
   * @throws {Misaligned} It does not begin at a multiple of 4 bytes.
   * @throws {MemoryClosed} The memory is closed.
   */
  constructor(place: BitmapMemory, readonly mark: WordChange) {
    const { memory, start, len } = Object(place) as BitmapMemory;
    if (!(memory instanceof HostMemory)) throw wrongKind("slice", place, "a VolatileSlice");
    checkCount(start, "the start of slice");
    checkCount(len, "the length of slice");
    if (start % 4 !== 0) throw new Misaligned(start, 4);
    memory.ensureOpen();
    this.memory = memory;
    this.first = start / 4;
    this.#start = start;
    this.#len = len;
    this.#end = start;
  }

  /** Pages that the place has bits for. */
  get capacity(): number {
    return Math.floor(this.#len / 4) * 32;
  }

  /**
   * Uses the words of the first pages.
   *
   * @throws {RangeError} There are fewer words.
   * @throws {AccessDenied} The memory may not be both read and written.
   */
  use(pages: number): void {
    const needed = Math.ceil(pages / 32) * 4;
    if (needed > this.#len) {
      throw new RangeError(
        `Cannot make a bitmap of ${pages} pages over ${this.#len} bytes: it needs ${needed}`,
      );
    }
    this.#pages = pages;
    this.#end = this.#start + needed;
    if (!this.accessible) this.#refuse();
  }

  /** Whether the words may be read and written now. */
  get accessible(): boolean {
    const { openLength, i32 } = this.memory;
    return openLength >= this.#end && i32.length * 4 >= this.#end;
  }

  /**
   * The memory as words, for one operation without code of the caller's: page 0 is in
   * `words[first]`.
   *
   * @throws {MemoryClosed} The memory is closed.
   * @throws {AccessDenied} The memory may not be both read and written.
   */
  get words(): Int32Array {
    const { memory } = this;
    const end = this.#end;
    const words = memory.i32;
    if (end > memory.openLength || end > words.length * 4) this.#refuse();
    return words;
  }

  /** Whether a page is dirty; `false` beyond the end. */
  isBitSet(page: number): boolean {
    if (!this.#has(page)) return false;
    return (Atomics.load(this.words, this.first + Math.floor(page / 32)) & 1 << page) !== 0;
  }

  /** Marks a page dirty; nothing beyond the end. */
  setBit(page: number): void {
    if (this.#has(page)) this.mark(this.words, this.first + Math.floor(page / 32), 1 << page);
  }

  /** Marks a page clean; nothing beyond the end. */
  resetBit(page: number): void {
    if (this.#has(page)) clear(this.words, this.first + Math.floor(page / 32), 1 << page);
  }

  /** Changes the bits of pages from first, before end, which all have bits. */
  forPages(first: number, end: number, change: WordChange): void {
    if (!(first < end)) return;
    const { words } = this;
    const base = this.first;
    // Mostly it is one page.
    if (end - first === 1) change(words, base + Math.floor(first / 32), 1 << first);
    else forWords(first, end, (word, bits) => change(words, base + word, bits));
  }

  #has(page: number): boolean {
    return page >= 0 && page < this.#pages;
  }

  #refuse(): never {
    const { memory } = this;
    memory.ensureOpen();
    for (const access of ["write", "read"] as const) {
      if (!memory.permits(access, 0, 1)) throw new AccessDenied(access);
    }
    throw new OutOfBounds(this.#end, memory.openLength);
  }
}
