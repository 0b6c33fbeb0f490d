/**
 * A Worker that counts, where there is no KVM.
 *
 * @module
 */
import type { GuestMemoryMmap } from "@vmm/guest-memory";
import type { Counter, CounterState, Counting } from "./counter.ts";
import type { Order } from "./counting_worker.ts";

/** Counters in one Worker, which serves them in turn. */
export class WorkerCounting implements Counting {
  readonly what = "a Worker";
  readonly #worker = new Worker(new URL("./counting_worker.ts", import.meta.url), {
    type: "module",
  });

  /** A counter in new memory. */
  start(memory: GuestMemoryMmap): Counter {
    return new WorkerCounter(this.#worker, memory);
  }

  /** A counter that continues: all that it has is in its memory. */
  resume(memory: GuestMemoryMmap): Counter {
    return this.start(memory);
  }

  /** Ends the Worker. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#worker.terminate();
    return Promise.resolve();
  }
}

class WorkerCounter implements Counter {
  constructor(readonly worker: Worker, readonly memory: GuestMemoryMmap) {}

  async count(times: number): Promise<void> {
    const done = Promise.withResolvers<void>();
    this.worker.onmessage = () => done.resolve();
    this.worker.onerror = (event) => {
      event.preventDefault();
      done.reject(new Error(event.message));
    };
    this.worker.postMessage({ memory: this.memory.share(), times } satisfies Order);
    await done.promise;
  }

  save(): CounterState {
    return undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.memory.close();
    return Promise.resolve();
  }
}
