/**
 * A number that is another one when a page has changed.
 *
 * @module
 */

/**
 * The hash of a page: eight polynomials of 32-bit words, side by side, as a processor has them in
 * flight. A change of one word always changes it; of several, all but once in 2^32 times.
 *
 * `Math.imul` because it is fast in every tier of V8. Products of 64-bit BigInts took three times as
 * long.
 *
 * @param words Memory.
 * @param start The first word of the page.
 * @param end After its last word: a multiple of 8 after the first.
 */
export function hashPage(words: Uint32Array, start: number, end: number): number {
  let [a, b, c, d, e, f, g, h] = [1, 2, 3, 4, 5, 6, 7, 8];
  for (let i = start; i < end; i += 8) {
    a = Math.imul(a, FACTOR) + words[i]! | 0;
    b = Math.imul(b, FACTOR) + words[i + 1]! | 0;
    c = Math.imul(c, FACTOR) + words[i + 2]! | 0;
    d = Math.imul(d, FACTOR) + words[i + 3]! | 0;
    e = Math.imul(e, FACTOR) + words[i + 4]! | 0;
    f = Math.imul(f, FACTOR) + words[i + 5]! | 0;
    g = Math.imul(g, FACTOR) + words[i + 6]! | 0;
    h = Math.imul(h, FACTOR) + words[i + 7]! | 0;
  }
  return Math.imul(a, 3) + Math.imul(b, 5) + Math.imul(c, 7) + Math.imul(d, 11) +
      Math.imul(e, 13) + Math.imul(f, 17) + Math.imul(g, 19) + Math.imul(h, 23) | 0;
}

// Odd, so that no bit of a word is lost.
const FACTOR = 0x9e37_79b1;
