/**
 * Drains a range of a bitmap that other threads mark and drain too.
 *
 * @module
 */
import { AtomicBitmap } from "../../mod.ts";

/** Bytes of a page. */
export const PAGE_SIZE = 16;

/** What a Worker is to do: drain `length` bytes from `offset` on, until it has to stop. */
export interface Order {
  readonly words: SharedArrayBuffer;
  readonly byteSize: number;
  readonly offset: number;
  readonly length: number;
  /** How often each page was taken, by all Workers. */
  readonly counts: SharedArrayBuffer;
  /** Element 0: 1 to stop. Element 1: Workers that are ready. Element 2: drains that are done. */
  readonly control: SharedArrayBuffer;
}

const thread = globalThis as unknown as {
  onmessage: (event: MessageEvent<Order>) => void;
  postMessage?: (message: unknown) => void;
};

// Only a Worker has postMessage; the tests import this file for its names.
if (thread.postMessage !== undefined) {
  thread.onmessage = ({ data }) => {
    drain(data);
    thread.postMessage?.("done");
  };
}

function drain({ words, byteSize, offset, length, counts, control }: Order): void {
  const bitmap = new AtomicBitmap(byteSize, PAGE_SIZE, words);
  const slice = bitmap.sliceAt(offset);
  const taken = new AtomicBitmap(length, PAGE_SIZE);
  const state = new Int32Array(control);
  const times = new Uint32Array(counts);
  Atomics.add(state, 1, 1);
  for (let last = false; !last;) {
    // Once more after the last mark.
    last = Atomics.load(state, 0) === 1;
    slice.drainInto(taken, 0, length);
    taken.forEachDirtyRun((at, bytes) => {
      for (let page = 0; page < bytes / PAGE_SIZE; page++) {
        Atomics.add(times, (offset + at) / PAGE_SIZE + page, 1);
      }
    });
    taken.reset();
    Atomics.add(state, 2, 1);
  }
}
