import { assertEquals } from "@std/assert";
import { GuestMemoryHeap, type GuestRegionHeap } from "../../mod.ts";
import { Virtqueue, type VirtqueueState } from "../../src/virtio/mod.ts";
import { gpa } from "../support/values.ts";
import { Doorbell, type Order } from "./driver_worker.ts";

const REQUESTS = 20_000;
const LENGTH = 0x2000;

for (const eventIdx of [false, true]) {
  for (const size of [1, 2, 16]) {
    const how = `${eventIdx ? "an event index" : "flags"} and ${size} descriptors`;
    Deno.test(`Virtqueue and a driver in another thread wake each other, by ${how}`, async () => {
      const memory = GuestMemoryHeap.fromRanges([[gpa(0), LENGTH]], { shared: true });
      const [region] = [...memory] as [GuestRegionHeap];
      const events = new SharedArrayBuffer(8);
      const [self, driver] = [new Doorbell(events, 0), new Doorbell(events, 1)];
      const worker = new Worker(new URL("./driver_worker.ts", import.meta.url), { type: "module" });
      const next = () =>
        new Promise<unknown>((resolve, reject) => {
          worker.onmessage = ({ data }) => resolve(data);
          worker.onerror = reject;
        });
      try {
        const first = next();
        const order: Order = {
          memory: region.buffer as SharedArrayBuffer,
          ...{ size, eventIdx, requests: REQUESTS, events },
        };
        worker.postMessage(order);
        const state = await first as VirtqueueState;
        const last = next();
        using queue = new Virtqueue(memory, state);
        for (let done = 0; done < REQUESTS;) {
          const chain = queue.pop();
          if (chain === undefined) {
            // Finding none, pop() asked for a notification of the next one.
            self.sleep();
            continue;
          }
          const { head, readable, writable } = chain;
          const byte = new Uint8Array(1);
          readable.readSlice(byte);
          if (byte[0] !== (done & 0xff)) throw new Error(`request ${done} is ${byte[0]}`);
          const written = writable.remaining;
          writable.writeSlice(new Uint8Array(written).fill(head ^ 0xff));
          queue.addUsed(chain, written);
          done++;
          if (queue.needsNotification()) driver.ring();
        }
        assertEquals(await last, "done");
      } finally {
        worker.terminate();
      }
    });
  }
}
