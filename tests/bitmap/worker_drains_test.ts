import { assertEquals, assertGreater } from "@std/assert";
import { AtomicBitmap } from "../../mod.ts";
import { type Order, PAGE_SIZE } from "./drain_worker.ts";

const PAGES = 3000;

// Ranges that end in the middle of words, adjacent, over all pages.
const CUTS = [0, 1000, 1007, 2001, PAGES];

async function startDrains(
  bitmap: AtomicBitmap,
  counts: SharedArrayBuffer,
): Promise<Disposable & { state: Int32Array; done: Promise<unknown> }> {
  const control = new SharedArrayBuffer(12);
  const state = new Int32Array(control);
  const url = new URL("./drain_worker.ts", import.meta.url);
  const workers = CUTS.slice(1).map(() => new Worker(url, { type: "module" }));
  const done = Promise.all(workers.map((worker, i) =>
    new Promise((resolve, reject) => {
      worker.onmessage = resolve;
      worker.onerror = (event) => reject(new Error(event.message));
      const order: Order = {
        words: bitmap.buffer as SharedArrayBuffer,
        byteSize: bitmap.byteSize,
        offset: CUTS[i]! * PAGE_SIZE,
        length: (CUTS[i + 1]! - CUTS[i]!) * PAGE_SIZE,
        counts,
        control,
      };
      worker.postMessage(order);
    })
  ));
  while (Atomics.load(state, 1) < workers.length) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return { state, done, [Symbol.dispose]: () => workers.forEach((worker) => worker.terminate()) };
}

Deno.test("drainInto() of disjoint ranges by Workers takes each mark once", async () => {
  const bitmap = new AtomicBitmap(PAGES * PAGE_SIZE, PAGE_SIZE);
  const counts = new SharedArrayBuffer(PAGES * 4);
  const times = new Uint32Array(counts);
  using drains = await startDrains(bitmap, counts);
  const marked = new Uint32Array(PAGES);
  const total = () => marked.reduce((sum, count) => sum + count);
  for (let round = 0; round < 60 || total() < 2 * PAGES; round++) {
    // Each page is marked again only after it was taken, so each mark has to be taken by itself.
    for (let i = 0; i < PAGES; i++) {
      const page = i * 7 % PAGES;
      if (Atomics.load(times, page) < marked[page]!) continue;
      marked[page]!++;
      bitmap.setBit(page);
    }
  }
  Atomics.store(drains.state, 0, 1);
  await drains.done;
  assertEquals([...times], [...marked]);
  assertEquals(bitmap.dirtyPages, 0);
  assertGreater(total(), PAGES);
});

Deno.test("drainInto() of disjoint ranges by Workers leaves nothing that was marked before", async () => {
  const bitmap = new AtomicBitmap(PAGES * PAGE_SIZE, PAGE_SIZE);
  bitmap.markDirty(0, bitmap.byteSize);
  const counts = new SharedArrayBuffer(PAGES * 4);
  using drains = await startDrains(bitmap, counts);
  Atomics.store(drains.state, 0, 1);
  await drains.done;
  assertEquals([...new Uint32Array(counts)], Array(PAGES).fill(1));
});
