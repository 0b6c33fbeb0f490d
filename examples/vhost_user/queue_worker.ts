/// <reference lib="webworker" />
/**
 * The thread of a queue. It blocks until the driver or its owner wakes it.
 *
 * @module
 */
import {
  AtomicBitmap,
  EventFd,
  type GuestAddress,
  GuestMemoryAtomic,
  type GuestMemoryHandle,
  GuestMemoryMmap,
  MmapRegion,
} from "@vmm/guest-memory";
import { InvalidChain, Virtqueue } from "@vmm/guest-memory/virtio";
import { BlockDevice } from "./block_device.ts";
import {
  type LogHandle,
  PENDING,
  type QueueAnswer,
  type QueueRequest,
  SERVED,
} from "./queue_messages.ts";

type Start = Extract<QueueRequest, { kind: "start" }>;

// The bits of vhost's log are pages of 4 KiB: VHOST_LOG_PAGE of the specification.
const LOG_PAGE = 4096;

/** A queue that is served. */
class ServedQueue implements Disposable {
  readonly #kick: EventFd;
  readonly #device: BlockDevice;
  readonly #space: GuestMemoryAtomic<GuestMemoryMmap>;
  readonly #queue: Virtqueue;
  #log: MmapRegion | undefined;
  #call: EventFd | undefined;
  #isBroken = false;

  constructor({ state, memory, kick, call, image, log }: Start) {
    this.#kick = EventFd.fromFd(kick);
    this.#device = new BlockDevice(image);
    this.#space = new GuestMemoryAtomic(this.#attach(memory, log));
    this.#queue = new Virtqueue(this.#space, state);
    this.setCall(call);
  }

  /** Serves until the owner wants something. */
  serve(): void {
    while (Atomics.load(control, PENDING) === 0) {
      if (!this.#isBroken) this.#serveAll();
      if (Atomics.load(control, PENDING) !== 0) break;
      this.#kick.waitSync();
    }
  }

  #serveAll(): void {
    const queue = this.#queue;
    try {
      do {
        queue.notifyOnAvail(false);
        // A driver that adds chains all the time must not keep the owner waiting.
        for (let left = queue.size; left > 0; left--) {
          const chain = this.#pop();
          if (chain === undefined) break;
          queue.addUsed(chain, this.#device.execute(chain));
          Atomics.add(control, SERVED, 1);
        }
        if (queue.needsNotification()) this.#call?.write();
      } while (Atomics.load(control, PENDING) === 0 && queue.notifyOnAvail(true));
    } catch (error) {
      this.#isBroken = true;
      answer({ kind: "broken", message: String(error) });
    }
  }

  // Takes chains that break a rule too, and gives them back unused.
  #pop() {
    for (;;) {
      try {
        return this.#queue.pop();
      } catch (error) {
        if (!(error instanceof InvalidChain)) throw error;
        this.#queue.addUsed(error.head, 0);
      }
    }
  }

  /** Uses another map, or another log. */
  setMemory(memory: GuestMemoryHandle, log: LogHandle | undefined): void {
    const before = this.#log;
    const attached = this.#attach(memory, log);
    {
      using lock = this.#space.lockSync();
      lock.replace(attached);
    }
    this.#queue.refresh();
    before?.close();
  }

  setCall(call: number | undefined): void {
    this.#call = call === undefined ? undefined : EventFd.fromFd(call);
  }

  get state(): Required<Virtqueue["state"]> {
    return this.#queue.state;
  }

  #attach(memory: GuestMemoryHandle, log: LogHandle | undefined): GuestMemoryMmap {
    this.#log = log && MmapRegion.attach(log.mapping);
    if (this.#log === undefined) return GuestMemoryMmap.attach(memory);
    // The front-end takes marks without stopping this thread.
    const options = { byteSize: log!.byteSize, pageSize: LOG_PAGE, marks: "always" } as const;
    const bitmap = AtomicBitmap.over(this.#log.asVolatileSlice(), options);
    return GuestMemoryMmap.attach(memory, (start: GuestAddress) => bitmap.sliceAt(start));
  }

  /** Lets everything go but the descriptors, which are the owner's. */
  [Symbol.dispose](): void {
    this.#queue.close();
    this.#space.close();
    this.#log?.close();
  }
}

let served: ServedQueue | undefined;
let control: Int32Array;

self.onmessage = ({ data }: MessageEvent<QueueRequest>) => {
  if (data.kind === "start") control = new Int32Array(data.control);
  Atomics.sub(control, PENDING, 1);
  try {
    handle(data);
  } catch (error) {
    answer({ kind: "failed", message: String(error) });
  }
  served?.serve();
};

function handle(request: QueueRequest): void {
  switch (request.kind) {
    case "start":
      served = new ServedQueue(request);
      return answer({ kind: "done" });
    case "memory":
      served?.setMemory(request.memory, request.log);
      return answer({ kind: "done" });
    case "call":
      served?.setCall(request.call);
      return answer({ kind: "done" });
    case "stop": {
      const state = served?.state;
      served?.[Symbol.dispose]();
      served = undefined;
      return answer({ kind: "done", state });
    }
  }
}

function answer(message: QueueAnswer): void {
  self.postMessage(message);
}
