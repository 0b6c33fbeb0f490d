/**
 * Marks pages of a bitmap that another thread shares.
 *
 * @module
 */
import { AtomicBitmap, u32, VolatileSlice } from "../../mod.ts";

/** What a Worker is to do. `words` has the words of the bitmap, and `control` {@linkcode Control}. */
export type Order =
  & {
    readonly words: SharedArrayBuffer;
    readonly byteSize: number;
    readonly control: SharedArrayBuffer;
  }
  & (
    /** Marks `length` bytes at page `first + i * step` modulo the pages, for each i below `count`. */
    | { kind: "mark"; first: number; step: number; count: number; length: number }
    /** Marks and cleans page 5 of each word until it has to stop. */
    | { kind: "toggle" }
    /** Writes each round's number at the start of `memory`. */
    | { kind: "write"; memory: SharedArrayBuffer }
  );

/** Bytes of a page of the bitmap. */
export const PAGE_SIZE = 16;

/** What the words of `control` are for: far apart, so that they share no cache line. */
export const Control = {
  /** How many Workers are ready. */
  READY: 0,
  /** 0 to wait, then the number of the round, -1 to stop. */
  ROUND: 64,
  /** The last round that is done. */
  DONE: 128,
  /** Bytes of it all. */
  BYTES: 1024,
} as const;

const thread = globalThis as unknown as {
  onmessage: (event: MessageEvent<Order>) => void;
  postMessage?: (message: unknown) => void;
};

// Only a Worker has postMessage; the tests import this file for its names.
if (thread.postMessage !== undefined) {
  thread.onmessage = ({ data }) => {
    obey(data);
    thread.postMessage?.("done");
  };
}

function obey(order: Order): void {
  const bitmap = new AtomicBitmap(order.byteSize, PAGE_SIZE, order.words);
  const control = new Int32Array(order.control);
  Atomics.add(control, Control.READY, 1);
  while (Atomics.load(control, Control.ROUND) === 0);
  switch (order.kind) {
    case "mark": {
      const { first, step, count, length } = order;
      for (let i = 0, page = first; i < count; i++, page = (page + step) % bitmap.len) {
        bitmap.markDirty(page * PAGE_SIZE, length);
      }
      Atomics.store(control, Control.DONE, 1);
      break;
    }
    case "toggle":
      while (Atomics.load(control, Control.ROUND) > 0) {
        for (let page = 5; page < bitmap.len; page += 32) {
          bitmap.setBit(page);
          bitmap.resetBit(page);
        }
      }
      break;
    case "write": {
      const slice = VolatileSlice.from(new Uint8Array(order.memory), bitmap);
      for (let done = 0;;) {
        const round = Atomics.load(control, Control.ROUND);
        if (round < 0) break;
        // Brings the mark near, as it is for a page that is written all the time.
        bitmap.isBitSet(0);
        if (round === done) continue;
        slice.writeObj(u32, round, 0);
        Atomics.store(control, Control.DONE, done = round);
      }
    }
  }
}
