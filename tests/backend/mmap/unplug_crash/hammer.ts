/**
 * Plugs and unplugs regions for a while, as fast as it goes, while others use the memory:
 * `deno run hammer.ts worker|snapshots <milliseconds>`. Prints what was done as JSON.
 *
 * @module
 */
import {
  Backing,
  FileOffset,
  GuestAddress,
  GuestMemoryAtomic,
  GuestMemoryMmap,
  GuestRegionMmap,
  MemoryClosed,
  u32,
  u64,
  type VolatileSlice,
} from "../../../../mod.ts";
import { Control, gpa, type Order, PAGE, PAGES } from "./layout.ts";

/** How often what was done. */
export interface Tally {
  /** Regions that were removed and closed. */
  unplugged: number;
  /** Accesses by those who still held the memory. */
  accesses: number;
  /** Accesses that came too late, and got an error. */
  refused: number;
}

const { gc } = globalThis as { gc?: () => void };
const [mode, milliseconds] = Deno.args;
const path = Deno.makeTempFileSync();
Deno.truncateSync(path, PAGES * PAGE);
const file = Deno.openSync(path, { read: true, write: true });
const region = (page: number) =>
  GuestRegionMmap.fromRange(gpa(page), PAGE, {
    backing: Backing.file(new FileOffset(file, page * PAGE)),
  });
const space = new GuestMemoryAtomic(
  GuestMemoryMmap.fromRegions(Array.from({ length: PAGES }, (_, page) => region(page))),
);
const deadline = performance.now() + Number(milliseconds);
const isTime = () => performance.now() < deadline;
const tally: Tally = { unplugged: 0, accesses: 0, refused: 0 };

if (mode === "worker") await besideWorker();
else await besideSnapshots();
space.close();
file.close();
Deno.removeSync(path);
console.log(JSON.stringify(tally));

/** Removes a region, and puts in another of the same bytes, later or immediately. */
async function replug(page: number): Promise<void> {
  {
    using exclusive = await space.lock();
    const [rest, removed] = exclusive.memory.removeRegion(gpa(page), PAGE);
    exclusive.replace(rest);
    removed.close();
  }
  tally.unplugged++;
  if (page % 2 === 0) await pause();
  using exclusive = await space.lock();
  exclusive.replace(exclusive.memory.insertRegion(region(page)));
}

// A Worker has mapped the same file, and does not know of what is unplugged here.
async function besideWorker(): Promise<void> {
  const control = new Int32Array(new SharedArrayBuffer(Control.BYTES));
  const worker = new Worker(new URL("./hammer_worker.ts", import.meta.url), { type: "module" });
  const order: Order = { path, control: control.buffer };
  worker.postMessage(order);
  while (Atomics.load(control, Control.READY) === 0) await pause();
  for (let i = 0; isTime(); i++) {
    await replug(i % PAGES);
    using guard = space.memory();
    guard.memory.getAtomicRef(u64, gpa((i + 1) % PAGES)).fetchAdd(1n);
  }
  Atomics.store(control, Control.STOP, 1);
  while (Atomics.load(control, Control.READY) !== 0) await pause();
  tally.accesses = Atomics.load(control, Control.ACCESSES);
}

// Tasks of this thread hold maps that are out of date, and slices of maps that are gone.
async function besideSnapshots(): Promise<void> {
  const tasks = Array.from({ length: 8 }, async (_, task) => {
    while (isTime()) {
      const guard = space.memory();
      const pages = [...guard.memory].map(({ startAddr }) => startAddr / PAGE);
      const slices = [...guard.memory].map((region) => region.asVolatileSlice());
      const views = slices.map((slice) => slice.rawView());
      for (let round = 0; round <= task; round++) {
        await pause();
        for (const page of pages) {
          guard.memory.writeObj(u32, round, gpa(page));
          guard.memory.getAtomicRef(u64, GuestAddress(gpa(page) + 8)).fetchAdd(1n);
          guard.memory.readSlice(new Uint8Array(PAGE), gpa(page));
          tally.accesses += 3;
        }
      }
      guard.close();
      for (let round = 0; round <= task; round++) {
        await pause();
        for (const slice of slices) useLate(slice);
        for (const view of views) if (view.length > 0) view[0]!++;
      }
    }
  });
  for (let i = 0; isTime(); i++) {
    await replug(i % PAGES);
    if (i % 64 === 0) gc?.();
  }
  await Promise.all(tasks);
}

function useLate(slice: VolatileSlice): void {
  try {
    slice.writeObj(u64, slice.readObj(u64, 8) + 1n, 8);
    slice.read(new Uint8Array(PAGE), 0);
    tally.accesses += 3;
  } catch (error) {
    if (!(error instanceof MemoryClosed)) throw error;
    tally.refused++;
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}
