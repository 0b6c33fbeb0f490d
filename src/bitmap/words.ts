/**
 * The words of a bitmap: finding, marking and taking bits.
 *
 * @module
 */

/** The number of words for a number of pages: whole 64-bit words, as in a KVM dirty log. */
export function wordsOf(pages: number): number {
  return Math.ceil(pages / 64) * 2;
}

/** Sets bits. It tests before it writes: most pages are dirty already, and a load is not contended. */
export function mark(words: Int32Array, word: number, bits: number): void {
  if ((words[word]! & bits) !== bits) Atomics.or(words, word, bits);
}

/**
 * Sets bits without a test, for a consumer in another process: no barrier of this process makes a
 * load see that it has taken them. No bits are no access.
 */
export function markAlways(words: Int32Array, word: number, bits: number): void {
  if (bits !== 0) Atomics.or(words, word, bits);
}

/** Clears bits. */
export function clear(words: Int32Array, word: number, bits: number): void {
  Atomics.and(words, word, ~bits);
}

/** Clears the bits of a word that a mask has, and returns those that were set. */
export function take(words: Int32Array, word: number, mask: number): number {
  if ((words[word]! & mask) === 0) return 0;
  return mask === -1 ? Atomics.exchange(words, word, 0) : Atomics.and(words, word, ~mask) & mask;
}

/** Calls a function for the words of pages from first, before end, and the bits of these pages. */
export function forWords(
  first: number,
  end: number,
  each: (word: number, mask: number) => void,
  next: (word: number, end: number) => number = (word) => word,
): void {
  const endWord = Math.ceil(end / 32);
  const start = Math.floor(first / 32);
  for (let word = next(start, endWord); word < endWord; word = next(word + 1, endWord)) {
    const low = word === start ? -1 << first : -1;
    const high = word === endWord - 1 ? -1 >>> (32 - (end & 31) & 31) : -1;
    each(word, low & high);
  }
}

/** The same for the words that are not zero. */
export function forDirtyWords(
  words: Int32Array,
  pairs: BigInt64Array,
  first: number,
  end: number,
  each: (word: number, mask: number) => void,
): void {
  forWords(first, end, each, (word, endWord) => nextDirty(words, pairs, word, endWord));
}

// How many words are read one by one before blocks are: dirty pages are often close together.
const NEAR_WORDS = 128;

/** The first word from `word` on, before `end`, that is not zero, or `end`. */
export function nextDirty(
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
  // 16 pairs in each step: then memory bandwidth limits the scan of a clean bitmap.
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

/** The number of the lowest bit that is set. */
export function trailingZeros(bits: number): number {
  return 31 - Math.clz32(bits & -bits);
}

/** How many bits are set. */
export function bitCount(bits: number): number {
  bits -= bits >>> 1 & 0x5555_5555;
  bits = (bits & 0x3333_3333) + (bits >>> 2 & 0x3333_3333);
  return Math.imul(bits + (bits >>> 4) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}
