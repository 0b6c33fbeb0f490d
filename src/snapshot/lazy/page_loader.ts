/**
 * Loads pages as they are touched: what the thread of a {@linkcode FaultHandler} does.
 *
 * @module
 */
import { takeFromEvent } from "../../../ffi/event_fd.ts";
import { fileStatus } from "../../../ffi/file.ts";
import { DataRuns } from "../../../ffi/file_space.ts";
import {
  codeOf,
  copyPages,
  forMessages,
  NOT_COPIED,
  readMessages,
  wakePages,
  zeroPages,
} from "../../../ffi/page_faults.ts";
import { waitForInput } from "../../../ffi/poll.ts";
import { HeldBuffer } from "../held_buffer.ts";
import { LoadState, type LoadStateHandle } from "./load_state.ts";

/** Host memory, and where its content is in the file. */
export interface LoadedRange {
  /** The host address of its first byte, in the process whose memory it is. */
  readonly address: number;
  /** Bytes of its pages. */
  readonly length: number;
  /** Where its content begins in the file: a multiple of the page size. */
  readonly position: number;
}

/** Pages of the file: the first, and how many. */
export type PageRun = readonly [first: number, count: number];

/** What a thread needs. */
export interface LoaderSetup {
  /** Its number. */
  readonly thread: number;
  /** The descriptor of the faults. */
  readonly userfaultfd: number;
  /** A counter that ends its waiting. */
  readonly wake: number;
  /** Where the file is mapped. */
  readonly source: number;
  /** A descriptor of the file, to find its holes; `undefined` if they are not known. */
  readonly file: number | undefined;
  /** Bytes of the file. */
  readonly length: number;
  /** Bytes of a page. */
  readonly pageSize: number;
  /** The memory, by rising position. */
  readonly ranges: readonly LoadedRange[];
  /** Pages to load first. */
  readonly workingSet: readonly PageRun[];
  /** Whether all is loaded at last, also what nobody touches. */
  readonly prefetch: boolean;
  /** What it has in common with the owner. */
  readonly state: LoadStateHandle;
}

/** What a thread reports to its owner. */
export type LoaderMessage =
  /** There are fewer pages left. */
  | { readonly kind: "progress" }
  /** There are no pages left. */
  | { readonly kind: "loaded" }
  /** A page cannot be loaded. It is tried again until it can, or the thread is stopped. */
  | { readonly kind: "failed"; readonly position: number; readonly reason: string }
  /** The process of the memory has ended. The thread stops. */
  | { readonly kind: "ended" }
  /** It was stopped, and touches nothing any more. */
  | { readonly kind: "stopped" };

// Pages that are loaded in one go: a fault meanwhile waits for 25 microseconds more.
const CHUNK = 16;
// Bytes of the file whose holes are looked for in one go.
const WINDOW = 2 ** 23;
// Milliseconds until what failed is tried again.
const RETRY = 1000;
// Bytes from one report of progress to the next.
const REPORTED = 2 ** 24;

/** Serves faults and loads the rest in between, until it is stopped. It blocks its thread. */
export class PageLoader {
  readonly #setup: LoaderSetup;
  readonly #state: LoadState;
  readonly #report: (message: LoaderMessage) => void;
  readonly #zeros: HeldBuffer;
  // Faults whose answer has to wait until a discard was noted.
  #delayed: number[] = [];
  // Those of pages that cannot be loaded.
  #failed: number[] = [];
  #retried = 0;
  readonly #runs: DataRuns | undefined;
  // Up to where in the file holes are known, and count as done.
  #listed = 0;
  readonly #end: number;
  #isProtected = false;
  #isLoaded = false;
  #hasEnded = false;
  #reported = Infinity;
  // What failed last. It is the thread's own: one that takes over tries again.
  #failure: string | undefined;

  /**
   * Prepares to serve.
   *
   * @param setup What.
   * @param report Takes what the owner has to know.
   */
  constructor(setup: LoaderSetup, report: (message: LoaderMessage) => void) {
    this.#setup = setup;
    this.#state = new LoadState(setup.state);
    this.#report = report;
    this.#runs = setup.file === undefined ? undefined : new DataRuns(setup.file);
    this.#end = Math.max(...setup.ranges.map(({ position, length }) => position + length));
    this.#zeros = new HeldBuffer(setup.pageSize);
  }

  /** Serves until it is stopped. */
  run(): void {
    const { thread, userfaultfd, wake, ranges } = this.#setup;
    const state = this.#state;
    if (!state.begin(thread)) return;
    this.#isProtected = state.isProtected;
    // What another thread has read and not answered is lost: everybody faults again.
    for (const { address, length } of ranges) wakePages(userfaultfd, address, length);
    this.#noteDiscards(state.unread);
    let work = this.#work();
    for (;;) {
      const next = state.look(thread);
      if (next === "stop") return;
      if (next === "changed") {
        this.#isProtected = state.isProtected;
        this.#countLeft();
      }
      if (this.#hasEnded) {
        state.end(thread);
        return this.#report({ kind: "ended" });
      }
      try {
        if (this.#serve()) continue;
        const { done, value } = work.next();
        if (this.#hasEnded || done !== true && value !== "failed") continue;
        const isOver = done === true && this.#failed.length === 0;
        waitForInput([userfaultfd, wake], isOver ? -1 : RETRY);
        takeFromEvent(wake);
        this.#retry();
      } catch (error) {
        // Of calls that cannot fail in a process that is as it should be.
        this.#fail(0, error instanceof Error ? error.message : String(error));
        // What has thrown is over. What is loaded is known.
        work = this.#work();
        Atomics.wait(PAUSE, 0, 0, RETRY);
      }
    }
  }

  // Returns whether there was anything.
  #serve(): boolean {
    const state = this.#state;
    const { userfaultfd } = this.#setup;
    const { messages, messagesAddress } = state;
    const count = readMessages(userfaultfd, messagesAddress, messages.byteLength);
    if (count > 0) {
      // Before any page is loaded again.
      this.#noteDiscards(count);
      forMessages(messages, count, (kind, address) => {
        if (kind === "missing") this.#answer(address);
        // A copy cannot answer it: to wake who waits would make it fault again for ever.
        else if (kind === "minor") this.#fail(0, "the memory is registered for minor faults");
      });
    } else if (this.#delayed.length > 0) {
      const delayed = this.#delayed;
      this.#delayed = [];
      for (const address of delayed) this.#answer(address);
    } else return false;
    return true;
  }

  #retry(): void {
    const now = performance.now();
    if (now < this.#retried + RETRY) return;
    this.#retried = now;
    this.#delayed.push(...this.#failed.splice(0));
  }

  #noteDiscards(count: number): void {
    this.#state.unread = count;
    forMessages(this.#state.messages, count, (kind, start, end) => {
      if (kind !== "discard") return;
      const { pageSize, ranges } = this.#setup;
      for (const { address, length, position } of ranges) {
        const from = Math.max(start, address);
        const to = Math.min(end, address + length);
        if (from < to) {
          this.#markDone((from - address + position) / pageSize, (to - from) / pageSize);
        }
      }
    });
    this.#state.unread = 0;
  }

  #answer(fault: number): void {
    const { pageSize, userfaultfd, source, ranges } = this.#setup;
    const at = Math.floor(fault / pageSize) * pageSize;
    const index = ranges.findIndex(({ address, length }) => at >= address && at < address + length);
    const range = ranges[index];
    // Whoever waits would fault again for ever. Its process has named other ranges than it registered.
    if (range === undefined) return this.#fail(0, `0x${at.toString(16)} is in none of the ranges`);
    if (this.#state.isDropped(index)) return wakePages(userfaultfd, at, pageSize);
    const page = (at - range.address + range.position) / pageSize;
    if (this.#state.done.has(page)) return this.#answerZero(at, page);
    if (this.#isHole(page)) {
      if (this.#isCutOff()) return this.#cannotAnswer(NOT_COPIED.noSource, at, page);
      this.#markDone(page, 1);
      return this.#answerZero(at, page);
    }
    const isProtected = this.#isProtected;
    const result = copyPages(userfaultfd, at, source + page * pageSize, pageSize, isProtected);
    if (result > 0) {
      this.#state.countFault(page);
      this.#markDone(page, 1);
    } else this.#cannotAnswer(result, at, page);
  }

  // The page has no content: it is a hole of the file, or was discarded. Or another fault of it was
  // answered before.
  #answerZero(address: number, page: number): void {
    const { pageSize, userfaultfd } = this.#setup;
    const copyZeros = () => {
      return copyPages(userfaultfd, address, this.#zeros.address, pageSize, this.#isProtected);
    };
    // The page of zeros cannot be protected.
    let result = this.#isProtected ? copyZeros() : zeroPages(userfaultfd, address, pageSize);
    if (result === NOT_COPIED.exists && !this.#isProtected) result = copyZeros();
    if (result > 0) this.#state.countFault(undefined);
    else this.#cannotAnswer(result, address, page);
  }

  #cannotAnswer(result: number, address: number, page: number): void {
    const { pageSize, userfaultfd } = this.#setup;
    if (result === NOT_COPIED.again) this.#delayed.push(address);
    else if (IS_OVER.includes(result)) {
      this.#markDone(page, 1);
      wakePages(userfaultfd, address, pageSize);
    } else if (result === NOT_COPIED.ended) this.#hasEnded = true;
    else {
      this.#failAt(page, result);
      this.#failed.push(address);
    }
  }

  // What there is to do while there is no fault. Returns after each step.
  *#work(): Generator<"next" | "failed", void, void> {
    const { ranges, workingSet, prefetch, pageSize } = this.#setup;
    for (const { position, length } of ranges) {
      for (let at = position; at < position + length; at += WINDOW) {
        const end = Math.min(at + WINDOW, position + length);
        while (!this.#listHoles(at, end)) yield "failed";
        this.#listed = end;
        yield "next";
      }
    }
    this.#countLeft();
    for (const run of workingSet) yield* this.#load(run);
    if (!prefetch) return;
    for (const { position, length } of ranges) {
      yield* this.#load([position / pageSize, length / pageSize]);
    }
  }

  // Returns whether the file is whole: what is cut off looks like a hole.
  #listHoles(start: number, end: number): boolean {
    const { pageSize } = this.#setup;
    const holes: PageRun[] = [];
    let done = start;
    const addUntil = (position: number) => {
      // A page that has some data is no hole.
      const first = Math.ceil(done / pageSize);
      const last = Math.floor(position / pageSize);
      if (first < last) holes.push([first, last - first]);
    };
    const runs = this.#runs;
    if (runs === undefined) return true;
    runs.forEach(start, end, (at, length) => {
      addUntil(at);
      done = at + length;
    });
    addUntil(end);
    if (holes.length > 0 && this.#isCutOff()) {
      this.#failAt(holes[0]![0], NOT_COPIED.noSource);
      return false;
    }
    for (const [first, count] of holes) this.#state.done.add(first, count);
    return true;
  }

  *#load([first, count]: PageRun): Generator<"next" | "failed", void, void> {
    const { userfaultfd, pageSize, source } = this.#setup;
    const { done } = this.#state;
    const end = first + count;
    for (let at = first;;) {
      const [page, missing] = done.nextMissing(at, end, CHUNK);
      at = page;
      const place = this.#placeOf(page);
      if (page === end || place === undefined) return;
      const pages = Math.min(missing, place.rest);
      const copy = (count: number) => {
        const from = source + page * pageSize;
        return copyPages(userfaultfd, place.address, from, count * pageSize, this.#isProtected);
      };
      let result = copy(pages);
      // The kernel fills pages of one mapping at a time, and memory may consist of several.
      if (result === NOT_COPIED.gone && pages > 1) result = copy(1);
      if (result > 0) this.#markDone(page, result / pageSize);
      else if (IS_OVER.includes(result)) this.#markDone(page, 1);
      else if (result === NOT_COPIED.ended) {
        this.#hasEnded = true;
        return;
      } else if (result !== NOT_COPIED.again) {
        this.#failAt(page, result);
        yield "failed";
      }
      yield "next";
    }
  }

  #isHole(page: number): boolean {
    const position = page * this.#setup.pageSize;
    if (this.#runs === undefined || position < this.#listed) return false;
    const end = position + this.#setup.pageSize;
    return this.#runs.next(position, end) === end;
  }

  #isCutOff(): boolean {
    const { file, length } = this.#setup;
    return file !== undefined && fileStatus(file).size < length;
  }

  // The address that belongs to a page of the file, and how many pages follow there.
  #placeOf(page: number): { address: number; rest: number } | undefined {
    const { ranges, pageSize } = this.#setup;
    const at = page * pageSize;
    for (const [index, { address, length, position }] of ranges.entries()) {
      if (at < position || at >= position + length) continue;
      if (this.#state.isDropped(index)) return undefined;
      return { address: address + at - position, rest: (position + length - at) / pageSize };
    }
    return undefined;
  }

  #markDone(first: number, count: number): void {
    const marked = this.#state.done.add(first, count);
    if (marked > 0) this.#setLeft(this.#state.left - marked);
  }

  #countLeft(): void {
    const { ranges, pageSize } = this.#setup;
    let left = 0;
    for (const [index, { position, length }] of ranges.entries()) {
      if (this.#state.isDropped(index)) continue;
      left += this.#state.done.countMissing(position / pageSize, length / pageSize);
    }
    this.#setLeft(left);
  }

  #setLeft(left: number): void {
    this.#state.left = left;
    // Before all holes are known, some count too.
    if (this.#listed < this.#end || this.#isLoaded) return;
    if (left === 0) {
      this.#isLoaded = true;
      this.#report({ kind: "loaded" });
    } else if (left <= this.#reported - REPORTED / this.#setup.pageSize) {
      this.#reported = left;
      this.#report({ kind: "progress" });
    }
  }

  #failAt(page: number, result: number): void {
    const reason = result === NOT_COPIED.noSource
      ? "the file was cut off, or cannot be read"
      : `the kernel refuses with ${codeOf(result)}`;
    this.#fail(page * this.#setup.pageSize, reason);
  }

  // The owner may be who waits for the page: then it hears nothing.
  #fail(position: number, reason: string): void {
    if (this.#failure === reason) return;
    this.#failure = reason;
    const page = `the page at byte ${position} of the snapshot`;
    console.error(
      `Cannot load ${page}: ${reason}. Who touches it waits. It is tried again each second.`,
    );
    this.#report({ kind: "failed", position, reason });
  }
}

// The page is there, or nobody's.
const IS_OVER: readonly number[] = [NOT_COPIED.exists, NOT_COPIED.gone];

// Waiting for a word that never changes is a pause.
const PAUSE = new Int32Array(new SharedArrayBuffer(4));
