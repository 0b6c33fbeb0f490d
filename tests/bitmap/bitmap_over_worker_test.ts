import { assertEquals } from "@std/assert";
import { AtomicBitmap } from "../../mod.ts";
import type { Order } from "./mark_over_worker.ts";
import { bitmapOver, Control, makeLogFile, mapLog, PAGE_SIZE, PAGES } from "./shared_log.ts";
import { type SharedLog, store, waitReady } from "./shared_log.ts";

// Odd, so that each Worker meets every page.
const STEPS = [1, 4_003, 20_011, PAGES - 1];

async function startWorkers(log: SharedLog, path: string, marks: Order["marks"]) {
  const url = new URL("./mark_over_worker.ts", import.meta.url);
  const workers = STEPS.map(() => new Worker(url, { type: "module" }));
  const done = Promise.all(workers.map((worker, i) =>
    new Promise((resolve, reject) => {
      worker.onmessage = resolve;
      worker.onerror = (event) => reject(new Error(event.message));
      const order: Order = { path, first: i * PAGES / 4, step: STEPS[i]!, marks };
      worker.postMessage(order);
    })
  ));
  await waitReady(log, workers.length);
  return { done, [Symbol.dispose]: () => workers.forEach((worker) => worker.terminate()) };
}

for (const marks of ["always", "once"] as const) {
  Deno.test(`AtomicBitmap over memory loses no mark ("${marks}") of four Workers`, async () => {
    using file = makeLogFile();
    using log = mapLog(file.path);
    using crew = await startWorkers(log, file.path, marks);
    store(log, Control.ROUND, 1);
    await crew.done;
    assertEquals([...bitmapOver(log).dirtyRuns()], [[0, PAGES * PAGE_SIZE]]);
  });
}

Deno.test("AtomicBitmap over memory: drains while four Workers mark miss no page", async () => {
  using file = makeLogFile();
  using log = mapLog(file.path);
  const bitmap = bitmapOver(log);
  const taken = new AtomicBitmap(bitmap.byteSize);
  using crew = await startWorkers(log, file.path, "always");
  let marking = true;
  const done = crew.done.then(() => marking = false);
  store(log, Control.ROUND, 1);
  while (marking) {
    bitmap.drainInto(taken, 0, PAGES / 2 * PAGE_SIZE);
    bitmap.drainInto(taken, PAGES / 2 * PAGE_SIZE);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  await done;
  bitmap.drainInto(taken);
  assertEquals([taken.dirtyPages, bitmap.dirtyPages], [PAGES, 0]);
});
