import {
  GuestMemoryError,
  GuestMemoryHeap,
  GuestRegionCollection,
  GuestRegionHeap,
  type IoMemory,
  type MemoryRegionAddress,
  u16,
} from "../../mod.ts";
import { InvalidAvailRingIndex, InvalidChain, Virtqueue } from "../../src/virtio/mod.ts";
import { ElsewhereRegion } from "../support/elsewhere_region.ts";
import { gpa } from "../support/values.ts";
import type { Order } from "./ring_worker.ts";

const SIZE = 8;
// The rings are at the start. Indirect tables are there too, wherever chance has them.
const RINGS = 512;
const LENGTH = 1024;
const STATE = {
  ...{ size: SIZE, descTable: gpa(0), availRing: gpa(128), usedRing: gpa(152) },
  ...{ indirect: true, eventIdx: true },
} as const;

/** Serves a queue whatever is in it: each call gives a chain that may be, or refuses. */
function serve(memory: IoMemory, calls: number): { chains: number; refusals: number } {
  using queue = new Virtqueue(memory, STATE);
  let chains = 0;
  let refusals = 0;
  for (let i = 0; i < calls; i++) {
    try {
      const chain = queue.pop();
      queue.needsNotification();
      if (chain === undefined) continue;
      chains++;
      const { head, readable, writable } = chain;
      const ranges = [...readable.ranges(), ...writable.ranges()];
      const total = ranges.reduce((sum, [, length]) => sum + length, 0);
      const isRight = head < SIZE && ranges.length <= SIZE && total <= 2 ** 32 &&
        total === readable.remaining + writable.remaining &&
        ranges.every(([addr, length]) => length > 0 && addr + length <= 2 ** 53);
      if (!isRight) throw new Error(`impossible chain ${head}: ${ranges}`);
      try {
        readable.read(new Uint8Array(64));
        writable.write(new Uint8Array(64));
      } catch (error) {
        // Its buffers may be anywhere.
        if (!(error instanceof GuestMemoryError)) throw error;
      }
      queue.addUsed(chain, 0);
    } catch (error) {
      const isRefusal = error instanceof InvalidChain || error instanceof InvalidAvailRingIndex;
      if (!isRefusal) throw error;
      refusals++;
      if (error instanceof InvalidChain) queue.addUsed(error.head, 0);
      // The index comes back to where the device is.
      const { nextAvail } = queue.state;
      memory.writeObj(u16, nextAvail + SIZE & 0xffff, gpa(STATE.availRing + 2));
    }
  }
  return { chains, refusals };
}

/** Fails unless there was some of both. */
function ensureBoth({ chains, refusals }: ReturnType<typeof serve>): void {
  if (chains < 100 || refusals < 100) throw new Error(`${chains} chains, ${refusals} refusals`);
}

/** A region that its guest changes whenever it is read. */
class ChangingRegion extends ElsewhereRegion {
  #seed = 1;

  override read(buf: Uint8Array, addr: MemoryRegionAddress): number {
    const done = super.read(buf, addr);
    // Changes that a chain may survive: of a length, the flags, or the next one.
    const at = 16 * this.#random(RINGS / 16) + [8, 12, 14][this.#random(3)]!;
    this.content[at] = this.#random(8);
    if (this.#random(16) === 0) this.content[this.#random(RINGS)] = this.#random(256);
    // What is wrong does not stay so.
    if (this.#random(64) === 0) this.content.fill(0, 0, STATE.usedRing);
    return done;
  }

  #random(end: number): number {
    this.#seed = Math.imul(this.#seed, 1_664_525) + 1_013_904_223 >>> 0;
    return (this.#seed >>> 8) % end;
  }
}

Deno.test("Virtqueue takes right chains only of a ring that changes at each access", () => {
  const memory = GuestRegionCollection.fromRegions([
    new ChangingRegion(0, RINGS),
    new GuestRegionHeap(gpa(RINGS), LENGTH - RINGS),
  ]);
  ensureBoth(serve(memory, 50_000));
});

Deno.test("Virtqueue takes right chains only of a ring that another thread changes", async () => {
  const memory = GuestMemoryHeap.fromRanges([[gpa(0), LENGTH]], { shared: true });
  const [region] = [...memory] as [GuestRegionHeap];
  const control = new SharedArrayBuffer(4);
  const words = new Int32Array(control);
  const worker = new Worker(new URL("./ring_worker.ts", import.meta.url), { type: "module" });
  const done = new Promise((resolve, reject) => {
    worker.onmessage = resolve;
    worker.onerror = reject;
  });
  const order: Order = {
    memory: region.buffer as SharedArrayBuffer,
    ...{ start: 0, length: RINGS, control },
  };
  worker.postMessage(order);
  while (Atomics.load(words, 0) !== 1) await new Promise((resolve) => setTimeout(resolve, 1));
  try {
    ensureBoth(serve(memory, 300_000));
  } finally {
    Atomics.store(words, 0, 2);
    await done;
    worker.terminate();
  }
});
