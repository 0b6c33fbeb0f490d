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
  SystemError,
} from "@vmm/guest-memory";
import { type DescriptorChain, Virtqueue } from "@vmm/guest-memory/virtio";
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
// Milliseconds after which the thread looks for a message by itself. The kick is the driver's too, who
// may have taken from it what the owner wrote, and need not be an eventfd at all.
const LOOK_AFTER = 100;

/** A chain, and the bytes that were written once it has ended. */
interface Taken {
  readonly chain: DescriptorChain;
  written: number | undefined;
}

/** A queue that is served. */
class ServedQueue implements Disposable {
  readonly #kick: EventFd;
  readonly #disk: Disk;
  readonly #space: GuestMemoryAtomic<GuestMemoryMmap>;
  readonly #queue: Virtqueue;
  readonly #resources: DisposableStack;
  // In the order of the ring.
  readonly #taken: Taken[] = [];
  #log: MmapRegion | undefined;
  #call: EventFd | undefined;
  #isBroken = false;

  constructor({ state, memory, kick, call, image, isWriteThrough, log }: Start) {
    using resources = new DisposableStack();
    // First, so that what the handles hold is given back whatever follows.
    this.#space = new GuestMemoryAtomic(this.#attach(memory, log));
    resources.defer(() => this.#log?.close());
    resources.adopt(this.#space, (space) => space.close());
    this.#kick = EventFd.fromFd(kick);
    this.#disk = resources.use(
      image.directFd === undefined
        ? new BlockDevice(image, { isWriteThrough })
        : new DirectDevice(image, { isWriteThrough }, kick),
    );
    this.#queue = resources.use(new Virtqueue(this.#space, state));
    this.setCall(call);
    this.#resources = resources.move();
  }

  /** Serves until the owner wants something. A broken queue waits for that as any thread does. */
  serve(): void {
    try {
      while (Atomics.load(control, PENDING) === 0 && !this.#isBroken) {
        this.#serveAll();
        // Only a kick says that there are chains.
        while (Atomics.load(control, PENDING) === 0) {
          if (this.#kick.waitSync(LOOK_AFTER) !== undefined) break;
        }
      }
    } catch (error) {
      this.#break(error);
    }
  }

  #serveAll(): void {
    const queue = this.#queue;
    do {
      queue.notifyOnAvail(false);
      // A driver that adds chains all the time must not keep the owner waiting.
      for (let left = queue.size; left > 0 && this.#disk.hasRoom; left--) {
        if (!this.#take()) break;
      }
      this.#disk.advance((chain, written) => this.#end(chain, written));
      if (queue.needsNotification()) this.#notify();
      // What ends wakes this thread, as the driver does.
    } while (
      Atomics.load(control, PENDING) === 0 && queue.notifyOnAvail(true) && this.#disk.hasRoom
    );
  }

  // Begins with the next chain, if there is one. One that breaks a rule breaks the queue: it has no
  // place for a status, and a driver that got it back would take the old one for its own.
  #take(): boolean {
    const chain = this.#queue.pop();
    if (chain === undefined) return false;
    const taken: Taken = { chain, written: undefined };
    this.#taken.push(taken);
    taken.written = this.#disk.begin(chain, this.#queue.memory as GuestMemoryMmap);
    this.#giveBack();
    return true;
  }

  #end(chain: DescriptorChain, written: number): void {
    this.#taken.find((taken) => taken.chain === chain)!.written = written;
    if (!this.#isBroken) this.#giveBack();
  }

  // In the order of the ring, however the storage did it. Of a device that was killed, its successor
  // knows the used index alone: what is before it has ended, and the rest begins again.
  #giveBack(): void {
    for (let first; (first = this.#taken[0]) !== undefined && first.written !== undefined;) {
      this.#queue.addUsed(first.chain, first.written);
      this.#taken.shift();
      Atomics.add(control, SERVED, 1);
    }
  }

  /** Ends all requests that are under way: the storage uses no memory of the guest then. */
  drain(): void {
    for (let isDone = false; !isDone;) {
      try {
        this.#disk.drain((chain, written) => this.#end(chain, written));
        isDone = true;
      } catch (error) {
        this.#break(error);
      }
    }
    if (!this.#isBroken && this.#queue.needsNotification()) this.#notify();
  }

  #break(error: unknown): void {
    if (!this.#isBroken) answer({ kind: "broken", message: String(error) });
    this.#isBroken = true;
  }

  // The descriptor is the front-end's, and may be anything.
  #notify(): void {
    try {
      this.#call?.write();
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
    }
  }

  /** Uses another map, or another log. */
  setMemory(memory: GuestMemoryHandle, log: LogHandle | undefined): void {
    this.drain();
    using _before = this.#log;
    const attached = this.#attach(memory, log);
    {
      using lock = this.#space.lockSync();
      lock.replace(attached);
    }
    this.#queue.refresh();
  }

  setCall(call: number | undefined): void {
    this.#call = call === undefined ? undefined : EventFd.fromFd(call);
    // A device that was killed may have given chains back and not said so.
    this.#notify();
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

  /** Lets everything go but the descriptors, which are the owner's. Nothing may be under way. */
  [Symbol.dispose](): void {
    this.#resources.dispose();
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
      using ended = served;
      served = undefined;
      ended?.drain();
      return answer({ kind: "done", state: ended?.state });
    }
  }
}

function answer(message: QueueAnswer): void {
  self.postMessage(message);
}
