/**
 * What the owner of memory and the thread that loads it have in common.
 *
 * @module
 */
import { addressOf } from "../../../ffi/io.ts";
import { MESSAGE_BYTES } from "../../../ffi/page_faults.ts";
import { PageSet } from "../page_set.ts";

// 32-bit words.
/** The number of the thread that may serve. Another number stops a thread. */
const THREAD = 0;
/** The thread that serves, or did. */
const SERVING = 1;
/** How often the owner has asked the thread to look at this state, and which of these it has seen. */
const ASKED = 2;
const SEEN = 3;
/** Whether pages have to be protected against writes as they are loaded: a tracker wants to know. */
const PROTECTED = 4;
/** Pages that are not loaded yet. */
const LEFT = 5;
/** Faults that were answered. */
const FAULTS = 6;
/** Pages of the working set. */
const RECORDED = 7;
/** Messages whose discards are not noted yet. */
const UNREAD = 8;
const HEADER = 9;

// Milliseconds.
const LOOKED_EVERY = 10;

/** How many messages are read in one go. */
const MESSAGES = 64;
const MESSAGE_WORDS = MESSAGES * MESSAGE_BYTES / 4;

/** The form of a state: what takes it to a thread. */
export interface LoadStateHandle {
  /** The words. */
  readonly buffer: SharedArrayBuffer;
  /** Pages of the file. */
  readonly pages: number;
  /** Ranges of memory. */
  readonly ranges: number;
  /** Whether the working set is recorded. */
  readonly isRecorded: boolean;
}

/**
 * The state of a lazy restore. It outlives the thread that serves it: another one can take over in the
 * middle of everything.
 */
export class LoadState {
  /** For a thread. */
  readonly handle: LoadStateHandle;
  /** Where messages are read to. */
  readonly messages: Uint32Array;
  /** The host address of {@linkcode LoadState.messages}. */
  readonly messagesAddress: number;
  /** Pages whose content does not come from the file any more. */
  readonly done: PageSet;
  readonly #words: Int32Array;
  readonly #dropped: Int32Array;
  readonly #record: Uint32Array;

  /**
   * Over what {@linkcode LoadState.create} made.
   *
   * @param handle Its handle.
   */
  constructor(handle: LoadStateHandle) {
    const { buffer, pages, ranges, isRecorded } = handle;
    this.handle = handle;
    let at = 0;
    const next = (words: number) => {
      const start = at;
      at += words * 4;
      return start;
    };
    this.#words = new Int32Array(buffer, next(HEADER), HEADER);
    this.messages = new Uint32Array(buffer, next(MESSAGE_WORDS), MESSAGE_WORDS);
    this.messagesAddress = addressOf(new Uint8Array(buffer)) + this.messages.byteOffset;
    this.#dropped = new Int32Array(buffer, next(ranges), ranges);
    const words = PageSet.wordsOf(pages);
    this.done = new PageSet(new Int32Array(buffer, next(words), words));
    const recorded = isRecorded ? pages : 0;
    this.#record = new Uint32Array(buffer, next(recorded), recorded);
  }

  /**
   * A state in which nothing is loaded.
   *
   * @param pages Pages of the file.
   * @param ranges Ranges of memory.
   * @param isRecorded Whether the working set is to be recorded.
   */
  static create(pages: number, ranges: number, isRecorded: boolean): LoadState {
    const recorded = isRecorded ? pages : 0;
    const words = HEADER + MESSAGE_WORDS + ranges + PageSet.wordsOf(pages) + recorded;
    const buffer = new SharedArrayBuffer(words * 4);
    const state = new LoadState({ buffer, pages, ranges, isRecorded });
    Atomics.store(state.#words, LEFT, pages);
    return state;
  }

  // Of the owner.

  /**
   * Lets a new thread serve, and none other.
   *
   * @returns Its number.
   */
  nextThread(): number {
    return Atomics.add(this.#words, THREAD, 1) + 1;
  }

  /**
   * Waits until the thread has seen all that was changed before. A thread that has not begun needs no
   * waiting: it looks first.
   *
   * @param thread Its number.
   * @param wake Called to end the thread's own waiting.
   * @param timeout Milliseconds.
   * @returns Whether it has.
   */
  untilSeen(thread: number, wake: () => void, timeout: number): boolean {
    const asked = Atomics.add(this.#words, ASKED, 1) + 1;
    if (Atomics.load(this.#words, SERVING) !== thread) return true;
    wake();
    const end = performance.now() + timeout;
    for (;;) {
      const seen = Atomics.load(this.#words, SEEN);
      // A thread that has ended may have seen less.
      if (seen === asked || Atomics.load(this.#words, SERVING) !== thread) return true;
      const rest = end - performance.now();
      if (rest <= 0) return false;
      Atomics.wait(this.#words, SEEN, seen, Math.min(rest, LOOKED_EVERY));
    }
  }

  /** Whether pages have to be protected as they are loaded. */
  get isProtected(): boolean {
    return Atomics.load(this.#words, PROTECTED) !== 0;
  }

  set isProtected(value: boolean) {
    Atomics.store(this.#words, PROTECTED, value ? 1 : 0);
  }

  /** Makes the thread leave a range alone. */
  drop(range: number): void {
    Atomics.store(this.#dropped, range, 1);
  }

  /** Pages that the guest has touched before they were loaded, in this order. */
  get recorded(): Uint32Array {
    return this.#record.slice(0, Atomics.load(this.#words, RECORDED));
  }

  /** Faults that were answered. */
  get faults(): number {
    return Atomics.load(this.#words, FAULTS);
  }

  /** Pages that are not loaded yet. */
  get left(): number {
    return Atomics.load(this.#words, LEFT);
  }

  set left(pages: number) {
    Atomics.store(this.#words, LEFT, pages);
  }

  // Of the thread.

  /**
   * Begins to serve.
   *
   * @param thread The number of the thread.
   * @returns Whether it may.
   */
  begin(thread: number): boolean {
    for (;;) {
      // One that was stopped before it began must not be taken for who serves.
      const before = Atomics.load(this.#words, SERVING);
      if (before > thread) return false;
      if (Atomics.compareExchange(this.#words, SERVING, before, thread) === before) break;
    }
    return this.look(thread) !== "stop";
  }

  /** Notes that the thread has stopped by itself. */
  end(thread: number): void {
    Atomics.compareExchange(this.#words, SERVING, thread, 0);
  }

  #lastSeen = -1;

  /**
   * Notes that the thread uses nothing that was changed before.
   *
   * @param thread The number of the thread.
   * @returns What it has to do: go on, read this state again, or stop and never touch memory any more.
   */
  look(thread: number): "continue" | "changed" | "stop" {
    const asked = Atomics.load(this.#words, ASKED);
    const isOver = Atomics.load(this.#words, THREAD) !== thread;
    if (asked === this.#lastSeen && !isOver) return "continue";
    this.#lastSeen = asked;
    if (isOver) this.end(thread);
    // The owner relies on it: nothing of before may follow.
    Atomics.store(this.#words, SEEN, asked);
    Atomics.notify(this.#words, SEEN);
    return isOver ? "stop" : "changed";
  }

  /** Messages whose discards are not noted yet. */
  get unread(): number {
    return Atomics.load(this.#words, UNREAD);
  }

  set unread(count: number) {
    Atomics.store(this.#words, UNREAD, count);
  }

  /** Whether a range has to be left alone. */
  isDropped(range: number): boolean {
    return Atomics.load(this.#dropped, range) !== 0;
  }

  /** Counts a fault, and notes which page of the file it took, if any. */
  countFault(page: number | undefined): void {
    Atomics.add(this.#words, FAULTS, 1);
    const recorded = Atomics.load(this.#words, RECORDED);
    if (page === undefined || recorded === this.#record.length) return;
    this.#record[recorded] = page;
    Atomics.store(this.#words, RECORDED, recorded + 1);
  }
}
