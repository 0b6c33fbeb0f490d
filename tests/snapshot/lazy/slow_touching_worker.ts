/// <reference lib="webworker" />
/**
 * A thread that touches all pages of a memory, slowly, and reports those without their content.
 *
 * @module
 */
import { type GuestMemoryHandle, GuestMemoryMmap } from "../../../mod.ts";
import { wrongPages } from "./lazy_memory.ts";

const PAUSE = new Int32Array(new SharedArrayBuffer(4));

self.onmessage = ({ data }: MessageEvent<{ handle: GuestMemoryHandle; touched: Int32Array }>) => {
  const { handle, touched } = data;
  using memory = GuestMemoryMmap.attach(handle);
  const wrong = wrongPages(memory, undefined, () => {
    if (Atomics.add(touched, 0, 1) % 32 === 0) Atomics.wait(PAUSE, 0, 0, 2);
  });
  self.postMessage(wrong);
};
