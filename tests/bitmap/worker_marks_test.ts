import { assert, assertEquals } from "@std/assert";
import { AtomicBitmap, membarrier, u32, VolatileSlice } from "../../mod.ts";
import { Control, type Order, PAGE_SIZE } from "./mark_worker.ts";
import { linuxTest } from "../support/linux_test.ts";

const MARKS = 10 ** 7;

type Task = Order extends infer O
  ? O extends Order ? Omit<O, "words" | "byteSize" | "control"> : never
  : never;

/** Workers that share a bitmap, all ready to begin. */
interface Crew extends Disposable {
  readonly control: Int32Array;
  /** Settled when each has done its work. */
  readonly done: Promise<unknown>;
}

async function startWorkers(bitmap: AtomicBitmap, tasks: readonly Task[]): Promise<Crew> {
  const control = new SharedArrayBuffer(Control.BYTES);
  const url = new URL("./mark_worker.ts", import.meta.url);
  const workers = tasks.map(() => new Worker(url, { type: "module" }));
  const done = Promise.all(workers.map((worker, i) =>
    new Promise((resolve, reject) => {
      worker.onmessage = resolve;
      worker.onerror = reject;
      const { buffer: words, byteSize } = bitmap;
      worker.postMessage({ ...tasks[i], words, byteSize, control });
    })
  ));
  const words = new Int32Array(control);
  while (Atomics.load(words, Control.READY) < tasks.length) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return {
    control: words,
    done,
    [Symbol.dispose]: () => workers.forEach((worker) => worker.terminate()),
  };
}

function bitmapOf(pages: number): AtomicBitmap {
  return new AtomicBitmap(pages * PAGE_SIZE, PAGE_SIZE);
}

Deno.test("AtomicBitmap loses no mark of two Workers that mark turns of the same words", async () => {
  const bitmap = bitmapOf(MARKS);
  const task = { kind: "mark", step: 2, count: MARKS / 2, length: 1 } as const;
  using crew = await startWorkers(bitmap, [{ ...task, first: 0 }, { ...task, first: 1 }]);
  Atomics.store(crew.control, Control.ROUND, 1);
  await crew.done;
  assertEquals(bitmap.dirtyPages, MARKS);
  assertEquals([...bitmap.dirtyRuns()], [[0, MARKS * PAGE_SIZE]]);
});

Deno.test("AtomicBitmap loses no mark of two Workers that mark the same pages again", async () => {
  const pages = MARKS / 8;
  const bitmap = bitmapOf(pages);
  const task = { kind: "mark", count: MARKS / 2, length: 3 * PAGE_SIZE } as const;
  // One marks by rising, one by falling page, each page several times.
  using crew = await startWorkers(bitmap, [
    { ...task, first: 0, step: 2 },
    { ...task, first: pages - 1, step: pages - 2 },
  ]);
  Atomics.store(crew.control, Control.ROUND, 1);
  await crew.done;
  assertEquals(bitmap.dirtyPages, pages);
});

const DRAINS: readonly (readonly [string, (from: AtomicBitmap, taken: AtomicBitmap) => number])[] =
  [
    ["drainInto()", (from, taken) => {
      const before = taken.dirtyPages;
      from.drainInto(taken);
      return taken.dirtyPages - before;
    }],
    ["getAndReset()", (from, taken) => {
      const words = from.getAndReset();
      const drained = new AtomicBitmap(from.byteSize, from.pageSize);
      drained.merge(new Uint8Array(words.buffer));
      taken.merge(drained);
      return drained.dirtyPages;
    }],
  ];

for (const [name, drain] of DRAINS) {
  Deno.test(`AtomicBitmap.${name} while a Worker marks takes each mark once`, async () => {
    const pages = 2 ** 20;
    const bitmap = bitmapOf(pages);
    const taken = bitmapOf(pages);
    // An odd step meets every page once, and each word 32 times.
    using crew = await startWorkers(bitmap, [
      { kind: "mark", first: 0, step: 40503, count: pages, length: 1 },
    ]);
    let sum = 0;
    Atomics.store(crew.control, Control.ROUND, 1);
    while (Atomics.load(crew.control, Control.DONE) === 0) {
      sum += drain(bitmap, taken);
    }
    await crew.done;
    sum += drain(bitmap, taken);
    assertEquals([taken.dirtyPages, sum, bitmap.dirtyPages], [pages, pages, 0]);
  });
}

// What a migration relies on: it drains, and copies the pages that were dirty.
linuxTest(
  "AtomicBitmap.drainInto() while a Worker writes: a write is copied or marks its page again",
  async () => {
    const bitmap = bitmapOf(64);
    const taken = bitmapOf(64);
    const memory = new SharedArrayBuffer(PAGE_SIZE);
    const slice = VolatileSlice.from(new Uint8Array(memory));
    using crew = await startWorkers(bitmap, [{ kind: "write", memory }]);
    const { control } = crew;
    const deadline = performance.now() + 2000;
    let rounds = 0;
    let lost = 0;
    while (rounds < 10 ** 6 && performance.now() < deadline) {
      bitmap.setBit(0);
      Atomics.store(control, Control.ROUND, ++rounds);
      // Now sooner, now later, so that the drain meets the write.
      for (let turn = rounds % 16; turn > 0; turn--) Atomics.load(control, Control.READY);
      bitmap.drainInto(taken);
      membarrier();
      const copy = slice.readObj(u32, 0);
      waitForRound(control, rounds);
      if (copy !== rounds && !bitmap.isBitSet(0)) lost++;
    }
    Atomics.store(control, Control.ROUND, -1);
    await crew.done;
    assertEquals(lost, 0, `${lost} writes of ${rounds} are neither copied nor marked`);
  },
);

function waitForRound(control: Int32Array, round: number): void {
  for (let turn = 0; turn < 10 ** 9; turn++) {
    if (Atomics.load(control, Control.DONE) === round) return;
  }
  throw new Error(`The Worker does not end round ${round}`);
}

Deno.test("AtomicBitmap.forEachDirtyRun() while a Worker cleans gives only what was dirty", async () => {
  const pages = 64 * 32;
  const bitmap = bitmapOf(pages);
  using crew = await startWorkers(bitmap, [{ kind: "toggle" }]);
  Atomics.store(crew.control, Control.ROUND, 1);
  const deadline = performance.now() + 1000;
  const wrong: string[] = [];
  let runs = 0;
  while (wrong.length === 0 && performance.now() < deadline) {
    let end = 0;
    bitmap.forEachDirtyRun((offset, length) => {
      const page = offset / PAGE_SIZE;
      const rising = offset >= end;
      if (page % 32 !== 5 || length !== PAGE_SIZE || !rising) {
        wrong.push(`${length / PAGE_SIZE} pages at ${page}`);
      }
      end = offset + length;
      runs++;
    });
  }
  Atomics.store(crew.control, Control.ROUND, -1);
  await crew.done;
  assertEquals(wrong, []);
  assert(runs > 0);
});
