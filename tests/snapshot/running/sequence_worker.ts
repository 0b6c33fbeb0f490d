/// <reference lib="webworker" />
/**
 * A thread that writes numbers to the pages of a memory in a known order, until it is stopped.
 *
 * @module
 */
import { type GuestMemoryHandle, GuestMemoryMmap, u32 } from "../../../mod.ts";
import { placeOf } from "./sequence.ts";

/** What it needs. */
export interface SequenceRequest {
  readonly handle: GuestMemoryHandle;
  /** Words: whether to pause, whether it pauses, how many numbers it has written, whether to end. */
  readonly control: SharedArrayBuffer;
}

self.onmessage = ({ data: { handle, control } }: MessageEvent<SequenceRequest>) => {
  using memory = GuestMemoryMmap.attach(handle);
  const words = new Int32Array(control);
  const regions = [...memory].map(({ startAddr, len }) => [startAddr, len] as const);
  for (let n = 1; Atomics.load(words, 3) === 0; n++) {
    if (Atomics.load(words, 0) !== 0) {
      Atomics.store(words, 1, 1);
      Atomics.notify(words, 1);
      Atomics.wait(words, 0, 1);
      Atomics.store(words, 1, 0);
    }
    memory.store(u32, n, placeOf(n, regions));
    Atomics.store(words, 2, n);
  }
  self.postMessage("ended");
};
