/**
 * The state of a mapping that all threads of the program share.
 *
 * @module
 */
import {
  giveWordsBack,
  SHARED_WORDS as WORDS,
  takeWords,
  wordsAt,
} from "../../../ffi/shared_words.ts";
import { isThreadAlive, threadId } from "../../../ffi/thread.ts";
import type { Permissions } from "../../permissions.ts";

// 32-bit words. A holder has one each: the number of its thread; a negative number for a handle that
// no thread has attached yet; 0 where there is none.
const NONCE = 0;
const PROTECTION = 2;
const HOLDERS = 3;
const KEEPS_ADDRESSES = 4;
// The number of the thread that changes the protection now, or 0.
const CHANGER = 5;
// How many threads use the words. One that was terminated counts for ever.
const USERS = 6;
// Whether a lazy restore has not loaded all pages.
const RESTORING = 7;
const FIRST_HOLDER = 8;

/** How many threads and handles can hold a mapping at a time. */
export const MAX_HOLDERS: number = WORDS - FIRST_HOLDER;

// Waiting for a word that never changes is a pause. It is made when it is needed: the library is
// imported where there is no shared memory too.
let pause: Int32Array | undefined;

// To distinguish mappings and handles. Nobody has to be unable to guess it: handles are sealed.
function randomWord(): number {
  return Math.random() * 2 ** 32 >>> 0;
}

/** A place in the list of holders, as a handle takes it to another thread. */
export interface Ticket {
  /** The word of the holder. */
  readonly word: number;
  /** What is in it until the handle is attached. */
  readonly value: number;
}

/**
 * The protection of a mapping, and who holds it: threads, and handles on their way to one. It exists
 * once, in memory that no code of others has: a handle has only its address.
 *
 * A thread that ended without giving its hold back is found by its number.
 */
export class ControlBlock {
  /** Where the words are, for other threads of the process. */
  readonly address: number;
  /** A random number of this mapping, as text: no other has had it. */
  readonly nonce: string;
  readonly #words: Int32Array;

  /**
   * The state of a new mapping, without a holder; or one that another thread made.
   *
   * @param address Where the words of the other thread are, or were.
   */
  constructor(address?: number) {
    const taken = address === undefined ? takeWords() : { address, words: wordsAt(address) };
    this.address = taken.address;
    this.#words = taken.words;
    if (address === undefined) {
      for (let word = NONCE; word < PROTECTION; word++) this.#words[word] = randomWord();
    }
    this.nonce = `${this.#words[NONCE]},${this.#words[NONCE + 1]}`;
  }

  /** Keeps the words for this thread, which is a holder, until {@linkcode ControlBlock.leave}. */
  use(): void {
    Atomics.add(this.#words, USERS, 1);
  }

  /** Ends the use by this thread. Words that nobody uses are another mapping's afterwards. */
  leave(): void {
    if (Atomics.sub(this.#words, USERS, 1) !== 1) return;
    this.#words.fill(0);
    giveWordsBack({ address: this.address, words: this.#words });
  }

  /** The protection in the kernel. */
  get protection(): Permissions {
    return Atomics.load(this.#words, PROTECTION) as Permissions;
  }

  set protection(protection: Permissions) {
    Atomics.store(this.#words, PROTECTION, protection);
  }

  /**
   * Calls a function that changes the protection, while no other thread does so. Nothing in it may
   * call this again.
   *
   * @param change The function.
   */
  exclusively(change: () => void): void {
    for (;;) {
      const other = Atomics.compareExchange(this.#words, CHANGER, 0, threadId());
      if (other === 0) break;
      pause ??= new Int32Array(new SharedArrayBuffer(4));
      if (isThreadAlive(other)) Atomics.wait(pause, 0, 0, 1);
      // It was terminated in the middle.
      else Atomics.compareExchange(this.#words, CHANGER, other, 0);
    }
    try {
      change();
    } finally {
      Atomics.store(this.#words, CHANGER, 0);
    }
  }

  /** Whether the addresses have to stay mapped when the last holder is gone. */
  get keepsAddresses(): boolean {
    return Atomics.load(this.#words, KEEPS_ADDRESSES) !== 0;
  }

  /** Makes {@linkcode ControlBlock.keepsAddresses} true for good. */
  keepAddresses(): void {
    Atomics.store(this.#words, KEEPS_ADDRESSES, 1);
  }

  /** Whether pages are still to be loaded. */
  get isRestoring(): boolean {
    return Atomics.load(this.#words, RESTORING) !== 0;
  }

  set isRestoring(value: boolean) {
    Atomics.store(this.#words, RESTORING, value ? 1 : 0);
  }

  /** How many threads and handles hold the mapping. */
  get holders(): number {
    return Atomics.load(this.#words, HOLDERS);
  }

  /**
   * Adds a holder: this thread.
   *
   * @returns Its word.
   * @throws {RangeError} There are too many.
   */
  hold(): number {
    return this.#add(threadId());
  }

  /**
   * Adds a holder: a handle.
   *
   * @throws {RangeError} There are too many.
   */
  issue(): Ticket {
    const value = -1 - (randomWord() >>> 1);
    return { word: this.#add(value), value };
  }

  /**
   * Makes this thread the holder in place of a handle.
   *
   * @returns Whether the handle was still a holder.
   */
  claim({ word, value }: Ticket): boolean {
    const isHandle = Number.isInteger(word) && word >= FIRST_HOLDER && word < WORDS && value < 0;
    return isHandle && Atomics.compareExchange(this.#words, word, value, threadId()) === value;
  }

  /**
   * Removes a holder.
   *
   * @returns Whether it was the last: the caller unmaps the memory.
   */
  release(word: number): boolean {
    Atomics.store(this.#words, word, 0);
    return Atomics.sub(this.#words, HOLDERS, 1) === 1;
  }

  /**
   * Removes threads that have ended from the holders.
   *
   * @returns Whether the last holder was among them: the caller unmaps the memory.
   */
  releaseDead(): boolean {
    let last = false;
    for (let word = FIRST_HOLDER; word < WORDS; word++) {
      const thread = Atomics.load(this.#words, word);
      if (thread <= 0 || thread === threadId() || isThreadAlive(thread)) continue;
      if (Atomics.compareExchange(this.#words, word, thread, 0) !== thread) continue;
      last = Atomics.sub(this.#words, HOLDERS, 1) === 1;
    }
    return last;
  }

  #add(holder: number): number {
    // Counted first: nobody may take another for the last holder meanwhile.
    Atomics.add(this.#words, HOLDERS, 1);
    for (let word = FIRST_HOLDER; word < WORDS; word++) {
      if (Atomics.compareExchange(this.#words, word, 0, holder) === 0) return word;
    }
    Atomics.sub(this.#words, HOLDERS, 1);
    throw new RangeError(`Cannot share a mapping: ${MAX_HOLDERS} threads and handles hold it`);
  }
}
