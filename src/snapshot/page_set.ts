/**
 * A set of pages.
 *
 * @module
 */

/** Pages by their number, in memory that threads may share. */
export class PageSet {
  readonly #words: Int32Array;

  /**
   * Over memory.
   *
   * @param words A bit for each page.
   */
  constructor(words: Int32Array) {
    this.#words = words;
  }

  /** How many words a set takes. */
  static wordsOf(pages: number): number {
    return Math.ceil(pages / 32);
  }

  /** Whether it has a page. */
  has(page: number): boolean {
    return (this.#words[page >>> 5]! >>> (page & 31) & 1) !== 0;
  }

  /**
   * Adds pages.
   *
   * @param first The first page.
   * @param count How many.
   * @returns How many it did not have.
   */
  add(first: number, count: number): number {
    let added = 0;
    forWords(first, count, (word, bits) => {
      added += bitsOf(bits & ~Atomics.or(this.#words, word, bits));
    });
    return added;
  }

  /** How many pages of a run it does not have. */
  countMissing(first: number, count: number): number {
    let missing = 0;
    forWords(first, count, (word, bits) => missing += bitsOf(bits & ~this.#words[word]!));
    return missing;
  }

  /**
   * Finds a run of pages that it does not have.
   *
   * @param first Where to begin.
   * @param end Where to end.
   * @param most How many pages to find.
   * @returns The first page, or `end`, and how many follow each other.
   */
  nextMissing(first: number, end: number, most: number): [page: number, count: number] {
    let page = first;
    while (page < end) {
      // Shifts are by the remainder of 32.
      const missing = ~this.#words[page >>> 5]! & -1 << page;
      if (missing !== 0) {
        page = (page & ~31) + 31 - Math.clz32(missing & -missing);
        break;
      }
      page = (page & ~31) + 32;
    }
    if (page >= end) return [end, 0];
    let count = 1;
    while (count < most && page + count < end && !this.has(page + count)) count++;
    return [page, count];
  }
}

// The words that have bits of a run, and these bits.
function forWords(
  first: number,
  count: number,
  onWord: (word: number, bits: number) => void,
): void {
  const end = first + count;
  for (let page = first; page < end;) {
    const last = Math.min((page & ~31) + 31, end - 1);
    onWord(page >>> 5, -1 << page & -1 >>> 31 - last);
    page = last + 1;
  }
}

// Adds the bits up in pairs, then in fours, and so on.
function bitsOf(word: number): number {
  const pairs = word - (word >>> 1 & 0x5555_5555);
  const fours = (pairs & 0x3333_3333) + (pairs >>> 2 & 0x3333_3333);
  return Math.imul(fours + (fours >>> 4) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}
