/**
 * What each thread of a sweep does: hash a share of the pages.
 *
 * @module
 */
import { GuestAddress, type GuestMemoryHandle, type GuestMemoryMmap } from "@vmm/guest-memory";
import { hashPage } from "./page_hash.ts";

/** What a thread begins with. */
export interface SweepStart {
  readonly handle: GuestMemoryHandle;
  readonly pageSize: number;
  /** The hash of each page. Each thread writes those of its share. */
  readonly hashes: SharedArrayBuffer;
  /** The sweep that saw each page last; 0 for none. */
  readonly seen: SharedArrayBuffer;
}

/** A share of a sweep: for each stretch its guest address, its first page, and how many pages. */
export interface SweepShare {
  /** The number of the sweep, from 1. */
  readonly sweep: number;
  readonly stretches: Float64Array<ArrayBuffer>;
}

/** The pages of a share that changed: for each stretch its first page, and how many. */
export type SweepResult = Uint32Array<ArrayBuffer>;

/** What is there: for each range its guest address, and its bytes. */
export type ResidentRanges = Float64Array<ArrayBuffer>;

/** What a thread is asked: to begin, to say what is there, to sweep, or to end. */
export type SweepRequest = SweepStart | "resident" | SweepShare | "end";

// Small enough for a processor's cache: it is copied there, and hashed from there.
const CHUNK = 2 ** 17;

/** Hashes pages. */
export class ShareSweeper {
  readonly #memory: GuestMemoryMmap;
  readonly #pageSize: number;
  readonly #hashes: Int32Array;
  readonly #seen: Uint32Array;
  readonly #bytes = new Uint8Array(CHUNK);
  readonly #words = new Uint32Array(this.#bytes.buffer);

  constructor(memory: GuestMemoryMmap, { pageSize, hashes, seen }: Omit<SweepStart, "handle">) {
    this.#memory = memory;
    this.#pageSize = pageSize;
    this.#hashes = new Int32Array(hashes);
    this.#seen = new Uint32Array(seen);
  }

  /** What is there. With gigabytes, that takes long enough that the main thread should not do it. */
  resident(): ResidentRanges {
    return Float64Array.from(this.#memory.residentRanges().flat());
  }

  /** Sweeps a share. A page that was not there in the sweep before has changed. */
  sweep({ sweep, stretches }: SweepShare): SweepResult {
    const changed: number[] = [];
    for (let i = 0; i < stretches.length; i += 3) {
      const [address, first, count] = [stretches[i]!, stretches[i + 1]!, stretches[i + 2]!];
      const chunk = CHUNK / this.#pageSize;
      for (let done = 0; done < count; done += chunk) {
        const pages = Math.min(chunk, count - done);
        const bytes = this.#bytes.subarray(0, pages * this.#pageSize);
        this.#memory.readSlice(bytes, GuestAddress(address + done * this.#pageSize));
        this.#compare(first + done, pages, sweep, changed);
      }
    }
    return Uint32Array.from(changed);
  }

  #compare(first: number, pages: number, sweep: number, changed: number[]): void {
    const words = this.#pageSize / 4;
    for (let i = 0; i < pages; i++) {
      const page = first + i;
      const hash = hashPage(this.#words, i * words, (i + 1) * words);
      const isSame = this.#seen[page] === sweep - 1 && this.#hashes[page] === hash;
      this.#seen[page] = sweep;
      this.#hashes[page] = hash;
      // There is nothing to compare with in the first.
      if (isSame || sweep === 1) continue;
      if (changed.length > 0 && changed.at(-2)! + changed.at(-1)! === page) {
        changed[changed.length - 1]!++;
      } else changed.push(page, 1);
    }
  }
}
