/// <reference lib="webworker" />
/**
 * A thread that touches all pages of a memory, and reports those without their content.
 *
 * @module
 */
import { type GuestMemoryHandle, GuestMemoryMmap } from "../../../mod.ts";
import { wrongPages } from "./lazy_memory.ts";

self.onmessage = ({ data }: MessageEvent<GuestMemoryHandle | { handle: GuestMemoryHandle }>) => {
  const isAll = "handle" in data;
  using memory = GuestMemoryMmap.attach(isAll ? data.handle : data);
  self.postMessage(isAll ? wrongPages(memory, () => true) : wrongPages(memory));
};
