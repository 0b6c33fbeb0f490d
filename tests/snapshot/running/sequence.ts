/**
 * A writer whose every state is known.
 *
 * @module
 */
import { type GuestAddress, type GuestMemoryMmap, pageSize, u32 } from "../../../mod.ts";
import { gpa } from "../../support/values.ts";
import type { SequenceRequest } from "./sequence_worker.ts";

type Region = readonly [startAddr: number, len: number];

/** Where number `n` is written: in pages that lie far from each other. */
export function placeOf(n: number, regions: readonly Region[]): GuestAddress {
  const PAGE = pageSize();
  const pages = regions.reduce((sum, [, len]) => sum + Math.ceil(len / PAGE), 0);
  // A prime that divides no number of pages here, so that each is written in turn.
  let page = n * 7919 % pages;
  for (const [startAddr, len] of regions) {
    const count = Math.ceil(len / PAGE);
    if (page < count) return gpa(startAddr + page * PAGE);
    page -= count;
  }
  throw new RangeError("Cannot place the number");
}

/** The pages of a memory that do not have what they had after so many numbers. */
export function wrongPages(memory: GuestMemoryMmap, count: number): number[] {
  const regions = [...memory].map(({ startAddr, len }): Region => [startAddr, len]);
  const expected = new Map<number, number>();
  for (let n = 1; n <= count; n++) expected.set(placeOf(n, regions), n);
  const wrong: number[] = [];
  for (const [startAddr, len] of regions) {
    for (let at = startAddr; at < startAddr + len; at += pageSize()) {
      if (memory.readObj(u32, gpa(at)) !== (expected.get(at) ?? 0)) wrong.push(at);
    }
  }
  return wrong;
}

/** A thread that writes. */
export class SequenceWriter implements AsyncDisposable {
  readonly #worker = new Worker(new URL("sequence_worker.ts", import.meta.url), { type: "module" });
  readonly #words = new Int32Array(new SharedArrayBuffer(16));
  readonly #ended = Promise.withResolvers<void>();

  /** Starts it. */
  constructor(memory: GuestMemoryMmap) {
    this.#worker.onmessage = () => this.#ended.resolve();
    const request: SequenceRequest = {
      handle: memory.share(),
      control: this.#words.buffer as SharedArrayBuffer,
    };
    this.#worker.postMessage(request);
  }

  /** How many numbers it has written. */
  get count(): number {
    return Atomics.load(this.#words, 2);
  }

  /** Stops it where it is. */
  pause(): void {
    Atomics.store(this.#words, 0, 1);
    while (Atomics.load(this.#words, 1) === 0) Atomics.wait(this.#words, 1, 0, 1);
  }

  /** Lets it go on. */
  resume(): void {
    Atomics.store(this.#words, 0, 0);
    Atomics.notify(this.#words, 0);
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    Atomics.store(this.#words, 3, 1);
    this.resume();
    await this.#ended.promise;
    this.#worker.terminate();
  }
}
