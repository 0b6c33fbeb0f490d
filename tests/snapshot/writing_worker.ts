/// <reference lib="webworker" />
/**
 * A thread that writes to memory which another one tracks.
 *
 * @module
 */
import { type GuestMemoryHandle, GuestMemoryMmap, u32 } from "../../mod.ts";
import { gpa } from "../support/values.ts";

/** What to do: first the memory, then lists of addresses. */
export type WritingRequest = { readonly handle: GuestMemoryHandle } | {
  /** Where to write a number by the library, */
  readonly stores: readonly number[];
  /** a byte by a raw view, */
  readonly bytes: readonly number[];
  /** and where only to read. */
  readonly reads: readonly number[];
} | "end";

let memory: GuestMemoryMmap;

self.onmessage = ({ data }: MessageEvent<WritingRequest>) => {
  if (data === "end") {
    memory.close();
  } else if ("handle" in data) {
    memory = GuestMemoryMmap.attach(data.handle);
  } else {
    for (const at of data.stores) memory.store(u32, at >>> 3, gpa(at));
    for (const at of data.bytes) memory.getSlice(gpa(at), 1).rawView()[0] = at;
    for (const at of data.reads) memory.load(u32, gpa(at));
  }
  self.postMessage("done");
};
