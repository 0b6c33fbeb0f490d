/**
 * The Worker that counts: it writes what the guest on KVM would.
 *
 * @module
 */
/// <reference lib="deno.worker" />
import { GuestAddress, type GuestMemoryHandle, GuestMemoryMmap, u32, u8 } from "@vmm/guest-memory";
import { CANVAS, CANVAS_PAGES, COUNTER, countIn, PAGE } from "./counter.ts";

/** What the Worker is to do. It answers when it is done. */
export interface Order {
  readonly memory: GuestMemoryHandle;
  readonly times: number;
}

self.onmessage = ({ data: { memory: handle, times } }: MessageEvent<Order>) => {
  using memory = GuestMemoryMmap.attach(handle);
  for (let done = 0; done < times; done++) {
    const count = countIn(memory) + 1;
    memory.writeObj(u32, count, COUNTER);
    memory.writeObj(u8, count & 3, GuestAddress(CANVAS + (count % CANVAS_PAGES) * PAGE));
  }
  self.postMessage("done");
};
