/**
 * Words of memory that the threads of this process share by their address, and no other code has.
 *
 * @module
 */
import { bufferAt, pageSize, replaceMemory, reserveMemory, unmapMemory } from "./memory.ts";

/** Words that have one address. */
export const SHARED_WORDS = 256;
const BYTES = SHARED_WORDS * Int32Array.BYTES_PER_ELEMENT;
// Mapped together. Nothing of it takes memory until it is used, and nothing is unmapped: an address
// may be looked at after its words were given back.
const CHUNK = 2 ** 16;

/** Words, and where they are. */
export interface SharedWords {
  readonly address: number;
  readonly words: Int32Array;
}

// What this thread may hand out: words that were in use, and the rest of what is mapped.
const free: SharedWords[] = [];
let next = 0;
let end = 0;

/**
 * Takes words, which are zero.
 *
 * @returns The words. {@linkcode giveWordsBack} gives them back.
 * @throws {SystemError} There is no memory.
 */
export function takeWords(): SharedWords {
  const known = free.pop();
  if (known !== undefined) return known;
  if (next === end) {
    const start = reserveMemory(CHUNK, pageSize());
    try {
      replaceMemory(start, CHUNK);
    } catch (error) {
      unmapMemory(start, CHUNK);
      throw error;
    }
    next = start;
    end = start + CHUNK;
  }
  const address = next;
  next += BYTES;
  return { address, words: wordsAt(address) };
}

/** The words at an address that a thread of this process has taken. */
export function wordsAt(address: number): Int32Array {
  return new Int32Array(bufferAt(address, BYTES));
}

/** Gives words back, which are zero and which nobody uses any more. */
export function giveWordsBack(given: SharedWords): void {
  free.push(given);
}
