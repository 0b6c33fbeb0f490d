/**
 * A driver in a thread of its own, which sleeps until the device notifies it.
 *
 * @module
 */
import { GuestRegionCollection, GuestRegionHeap } from "../../mod.ts";
import { MockDriver } from "../../src/virtio/mod.ts";
import { gpa } from "../support/values.ts";

/** What a Worker is to do. */
export interface Order {
  readonly memory: SharedArrayBuffer;
  readonly size: number;
  readonly eventIdx: boolean;
  readonly requests: number;
  /** Two words: notifications of the device that are pending, and of the driver. */
  readonly events: SharedArrayBuffer;
}

/** A counter that a thread sleeps on, as on an eventfd. */
export class Doorbell {
  readonly #word: Int32Array;

  constructor(events: SharedArrayBuffer, index: number) {
    this.#word = new Int32Array(events, index * 4, 1);
  }

  ring(): void {
    Atomics.add(this.#word, 0, 1);
    Atomics.notify(this.#word, 0);
  }

  /** Sleeps until it is rung, or was since the last sleep. */
  sleep(): void {
    while (Atomics.exchange(this.#word, 0, 0) === 0) {
      // Longer than any machine takes for a request.
      if (Atomics.wait(this.#word, 0, 0, 30_000) === "timed-out") {
        throw new Error("nobody woke this thread");
      }
    }
  }
}

const thread = globalThis as unknown as {
  onmessage: (event: MessageEvent<Order>) => void;
  postMessage(message: unknown): void;
};

thread.onmessage = ({ data: { memory: buffer, size, eventIdx, requests, events } }) => {
  const memory = GuestRegionCollection.fromRegions([new GuestRegionHeap(gpa(0), buffer)]);
  const length = buffer.byteLength;
  const driver = new MockDriver(memory, { size, eventIdx, length, base: gpa(0) });
  const [device, self] = [new Doorbell(events, 0), new Doorbell(events, 1)];
  thread.postMessage(driver.state);
  const asked = new Map<number, number>();
  let added = 0;
  for (let done = 0; done < requests;) {
    for (; added < requests; added++) {
      const head = driver.add([Uint8Array.of(added)], size > 1 ? [1] : []);
      if (head === undefined) break;
      asked.set(head, added & 0xff);
    }
    if (driver.needsNotification()) device.ring();
    const before = done;
    for (let used; (used = driver.takeUsed()) !== undefined; done++) {
      const { head, written } = used;
      const isRight = asked.delete(head) && (size === 1 || written[0] === (head ^ 0xff));
      if (!isRight) throw new Error(`chain ${head} came back with ${written}`);
    }
    // The last takeUsed() asked for a notification of the next one.
    if (done === before && done < requests) self.sleep();
  }
  thread.postMessage("done");
};
