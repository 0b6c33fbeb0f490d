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
import { type DescriptorChain, InvalidChain, Virtqueue } from "@vmm/guest-memory/virtio";
import { BlockDevice, type Disk } from "./block_device.ts";
import { DirectDevice } from "./direct_device.ts";
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
  readonly #disk: Disk;
  readonly #space: GuestMemoryAtomic<GuestMemoryMmap>;
  readonly #queue: Virtqueue;
  #log: MmapRegion | undefined;
  #call: EventFd | undefined;
  #isBroken = false;

  constructor({ state, memory, kick, call, image, log }: Start) {
    this.#kick = EventFd.fromFd(kick);
    this.#disk = image.directFd === undefined
      ? new BlockDevice(image)
      : new DirectDevice(image, kick);
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
        for (let left = queue.size; left > 0 && this.#disk.hasRoom; left--) {
          const chain = this.#pop();
          if (chain === undefined) break;
          const written = this.#disk.begin(chain, queue.memory as GuestMemoryMmap);
          if (written !== undefined) this.#end(chain, written);
        }
        this.#disk.advance((chain, written) => this.#end(chain, written));
        if (queue.needsNotification()) this.#call?.write();
        // What ends wakes this thread, as the driver does.
      } while (
        Atomics.load(control, PENDING) === 0 && queue.notifyOnAvail(true) && this.#disk.hasRoom
      );
    } catch (error) {
      this.#isBroken = true;
      answer({ kind: "broken", message: String(error) });
    }
  }

  #end(chain: DescriptorChain, written: number): void {
    this.#queue.addUsed(chain, written);
    Atomics.add(control, SERVED, 1);
  }

  /** Ends all requests that are under way. */
  drain(): void {
    this.#disk.drain((chain, written) => {
      if (!this.#isBroken) this.#end(chain, written);
    });
    if (!this.#isBroken && this.#queue.needsNotification()) this.#call?.write();
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
    this.drain();
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
    this.#disk[Symbol.dispose]();
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
      served?.drain();
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
