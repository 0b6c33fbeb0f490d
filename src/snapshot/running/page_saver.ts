/**
 * Saves pages before they are written: what the thread of {@linkcode snapshotWhileRunning} does.
 *
 * @module
 */
import { addressOf } from "../../../ffi/io.ts";
import { forMessages, MESSAGE_BYTES, readMessages, wakePages } from "../../../ffi/page_faults.ts";
import { forNonZeroRuns, readInMemory } from "../../../ffi/pages.ts";
import { SystemError } from "../../../ffi/system_error.ts";
import { unprotectRegistered, unregisterMemory } from "../../../ffi/userfaultfd.ts";
import { PageSet } from "../page_set.ts";
import { Output } from "../transfer.ts";

/** Memory that is saved: pages that were there at the moment of the snapshot. */
export interface SavedRange {
  /** The host address of its first byte. */
  readonly address: number;
  /** Bytes. The last page may extend beyond it. */
  readonly length: number;
  /** Where it goes in the file. */
  readonly position: number;
  /** Offsets and bytes of the parts that have content, by rising offset. */
  readonly runs: Float64Array;
}

/** What the thread needs before the moment of the snapshot. */
export interface SaverSetup {
  /** The descriptor of the faults. */
  readonly userfaultfd: number;
  /** The file. */
  readonly file: number;
  /** Bytes of a page. */
  readonly pageSize: number;
  /** Whether pages of zeros become holes of the file. */
  readonly skipsZeros: boolean;
  /** One word: not 0 when it has to stop. */
  readonly stop: SharedArrayBuffer;
}

/** What the thread reports to its owner. */
export type SaverMessage =
  /** It can begin. */
  | { readonly kind: "ready" }
  /** It came to this byte of the file. */
  | { readonly kind: "progress"; readonly bytes: number }
  /** It has saved all. */
  | { readonly kind: "saved"; readonly written: number }
  /** It was stopped. */
  | { readonly kind: "stopped" }
  /** A call failed. */
  | { readonly kind: "failed"; readonly position: number; readonly error: CallFailure | string };

/** What of a {@linkcode SystemError} reaches another thread. */
export type CallFailure = Pick<SystemError, "call" | "errno" | "code">;

// Pages that are saved in one go: a writer meanwhile waits for as long.
const CHUNK = 16;
// Bytes from one report of progress to the next.
const REPORTED = 2 ** 24;
const MESSAGES = 64;

/** Saves the pages of some ranges. It blocks its thread. */
export class PageSaver {
  readonly #setup: SaverSetup;
  readonly #output: Output;
  readonly #stop: Int32Array;
  readonly #messages = new Uint32Array(MESSAGES * MESSAGE_BYTES / 4);
  readonly #messagesAddress = addressOf(new Uint8Array(this.#messages.buffer));

  /**
   * Prepares to save.
   *
   * @param setup How.
   */
  constructor(setup: SaverSetup) {
    this.#setup = setup;
    this.#output = new Output(setup.file);
    this.#stop = new Int32Array(setup.stop);
  }

  /**
   * Saves all, unless it is stopped.
   *
   * @param ranges What.
   * @param report Takes what the owner has to know.
   */
  save(ranges: readonly SavedRange[], report: (message: SaverMessage) => void): void {
    try {
      const { pageSize } = this.#setup;
      const targets = ranges.map((range) => ({ ...range, saved: savedOf(range, pageSize) }));
      let reported = 0;
      for (const target of targets) {
        const end = Math.ceil(target.length / pageSize);
        for (let at = 0;;) {
          if (Atomics.load(this.#stop, 0) !== 0) return report({ kind: "stopped" });
          this.#serve(targets);
          const [page, count] = target.saved.nextMissing(at, end, CHUNK);
          at = page;
          if (page === end) break;
          this.#save(target, page, count);
          const bytes = target.position + (page + count) * pageSize;
          if (bytes < reported + REPORTED) continue;
          reported = bytes;
          report({ kind: "progress", bytes });
        }
      }
      report({ kind: "saved", written: this.#output.written });
    } catch (error) {
      report({ kind: "failed", position: this.#output.position, error: failureOf(error) });
    } finally {
      // Whoever waits is let go, also if the owner is busy.
      for (const { address, length } of ranges) this.#unregister(address, length);
    }
  }

  // Saves the pages that somebody waits for.
  #serve(targets: readonly Target[]): void {
    const { userfaultfd, pageSize } = this.#setup;
    const count = readMessages(userfaultfd, this.#messagesAddress, this.#messages.byteLength);
    forMessages(this.#messages, count, (kind, at) => {
      if (kind !== "write") return;
      const page = Math.floor(at / pageSize) * pageSize;
      const target = targets.find(({ address, length }) =>
        page >= address && page < address + length
      );
      if (target === undefined) return wakePages(userfaultfd, page, pageSize);
      const index = (page - target.address) / pageSize;
      if (!target.saved.has(index)) this.#save(target, index, 1);
      else unprotectRegistered(userfaultfd, page, pageSize);
    });
  }

  #save({ address, length, position, saved }: Target, first: number, count: number): void {
    const { userfaultfd, pageSize, skipsZeros } = this.#setup;
    const offset = first * pageSize;
    const size = Math.min(count * pageSize, length - offset);
    const write = (at: number, bytes: number) => {
      this.#output.write(address + offset + at, bytes, position + offset + at);
    };
    if (skipsZeros) {
      // Other than the kernel's, an access of this process to a page that cannot be read ends it.
      readInMemory(address + offset, size);
      forNonZeroRuns(address + offset, size, pageSize, write);
    } else write(0, size);
    saved.add(first, count);
    unprotectRegistered(userfaultfd, address + offset, count * pageSize);
  }

  #unregister(address: number, length: number): void {
    const { userfaultfd, pageSize } = this.#setup;
    try {
      unregisterMemory(userfaultfd, address, Math.ceil(length / pageSize) * pageSize);
    } catch {
      // The owner closes the descriptor, which ends the protection too.
    }
  }
}

function failureOf(error: unknown): CallFailure | string {
  if (!(error instanceof SystemError)) return String(error);
  const { call, errno, code } = error;
  return { call, errno, code };
}

/** A range, and what of it needs no saving any more. */
interface Target extends SavedRange {
  readonly saved: PageSet;
}

// All that is in no run.
function savedOf({ length, runs }: SavedRange, pageSize: number): PageSet {
  const pages = Math.ceil(length / pageSize);
  const saved = new PageSet(new Int32Array(PageSet.wordsOf(pages)));
  let done = 0;
  for (let at = 0; at < runs.length; at += 2) {
    const first = runs[at]! / pageSize;
    saved.add(done, first - done);
    done = Math.ceil((runs[at]! + runs[at + 1]!) / pageSize);
  }
  saved.add(done, pages - done);
  return saved;
}
