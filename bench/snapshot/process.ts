/**
 * One process of `bench/snapshot_bench.ts`: does what its first argument says, and prints nanoseconds
 * as JSON.
 *
 *     process.ts probe                     says which trackers the kernel has, 1 or 0
 *     process.ts take BYTES DIRTY ROUNDS   tracks, writes DIRTY pages of 1000, takes them: the best
 *     process.ts save BYTES PRESENT ROUNDS writes PRESENT pages of 1000, then a snapshot: the best
 *     process.ts diff BYTES DIRTY ROUNDS   the same, marked in a bitmap, as a diff
 *     process.ts compact BYTES DIRTY ROUNDS  that in the compact form
 *     process.ts clone BYTES 0 ROUNDS      restores by copy-on-write, and reads a byte: the best
 *     process.ts fault BYTES 0 PAGES       restores lazily, and reads PAGES pages: the median
 *     process.ts load BYTES 0 1            restores lazily, and waits until all is loaded
 *
 * @module
 */
import {
  AtomicBitmap,
  capabilities,
  GuestAddress,
  GuestMemoryMmap,
  pageSize,
  takeDirty,
  u8,
} from "@vmm/guest-memory";
import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";
import {
  type DiffForm,
  FaultHandler,
  restore,
  writeDiff,
  writeSnapshot,
  WriteTracker,
} from "@vmm/guest-memory/snapshot";

const [what, ...numbers] = Deno.args;
console.log(JSON.stringify(await measured(...numbers.map(Number))));

function measured(
  size = 0,
  dirty = 0,
  rounds = 1,
): Record<string, number> | Promise<Record<string, number>> {
  switch (what) {
    case "probe":
      return {
        writeTracker: Number(capabilities().trackers.writeTracker.available),
        pageFaults: Number(capabilities().calls.pageFaults.available),
      };
    case "take":
      return take(size, dirty, rounds);
    case "save":
      return save(size, dirty, rounds, undefined);
    case "diff":
      return save(size, dirty, rounds, "flat");
    case "compact":
      return save(size, dirty, rounds, "compact");
    case "clone":
      return clone(size, rounds);
    case "fault":
      return fault(size, rounds);
    case "load":
      return load(size);
    default:
      throw new TypeError(`Cannot measure ${what}: it is not known`);
  }
}

function take(size: number, dirty: number, rounds: number): Record<string, number> {
  const page = pageSize();
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), size]], {
    bitmap: (length) => new AtomicBitmap(length, page),
  });
  memory.fill(GuestAddress(0), size, 1);
  const { bitmap } = memory.findRegion(GuestAddress(0))!;
  const view = memory.getSlice(GuestAddress(0), size).rawView();
  const begin = performance.now();
  using tracker = WriteTracker.start(memory);
  const arm = 1e6 * (performance.now() - begin);
  let best = Infinity;
  for (let round = 0; round < rounds; round++) {
    let pages = 0;
    if (dirty > 0) {
      for (let at = 0; at < size; at += Math.floor(page * 1000 / dirty)) view[at]!++, pages++;
    }
    bitmap.reset();
    const begin = performance.now();
    const found = tracker.collect();
    best = Math.min(best, 1e6 * (performance.now() - begin));
    if (found !== pages * page) throw new Error(`${found} bytes were found of ${pages} pages`);
  }
  return { arm, take: best };
}

function scratch(): number {
  const path = Deno.makeTempFileSync({ dir: "/dev/shm" });
  const fd = openSync(path, "r+");
  Deno.removeSync(path);
  return fd;
}

async function save(
  size: number,
  present: number,
  rounds: number,
  form: DiffForm | undefined,
): Promise<Record<string, number>> {
  const page = pageSize();
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), size]], {
    bitmap: (length) => new AtomicBitmap(length, page),
  });
  for (let at = 0; at < size; at += Math.floor(page * 1000 / present)) {
    memory.writeObj(u8, 1, GuestAddress(at));
  }
  const file = scratch();
  let best = Infinity;
  for (let round = 0; round < rounds; round++) {
    ftruncateSync(file, 0);
    const begin = performance.now();
    if (form !== undefined) {
      using dirty = takeDirty(memory);
      await writeDiff(memory, file, dirty, { form });
      best = Math.min(best, 1e6 * (performance.now() - begin));
      dirty.putBack();
    } else {
      await writeSnapshot(memory, file);
      best = Math.min(best, 1e6 * (performance.now() - begin));
    }
  }
  closeSync(file);
  return { save: best };
}

function clone(size: number, rounds: number): Record<string, number> {
  const file = scratch();
  ftruncateSync(file, size);
  let best = Infinity;
  for (let round = 0; round < rounds; round++) {
    const begin = performance.now();
    using memory = restore([[GuestAddress(0), size]], file, { mode: "copyOnWrite" });
    memory.readObj(u8, GuestAddress(size / 2));
    best = Math.min(best, 1e6 * (performance.now() - begin));
  }
  closeSync(file);
  return { clone: best };
}

// A file of so many bytes in which each page has content.
function filled(size: number): number {
  const file = scratch();
  const bytes = new Uint8Array(2 ** 24).fill(1);
  for (let at = 0; at < size; at += bytes.length) {
    writeSync(file, bytes, 0, Math.min(bytes.length, size - at), at);
  }
  return file;
}

async function fault(size: number, pages: number): Promise<Record<string, number>> {
  const file = filled(size);
  using memory = restore([[GuestAddress(0), size]], file, { mode: "lazy", prefetch: false });
  const view = memory.getSlice(GuestAddress(0), size).rawView();
  const handler = FaultHandler.of(memory);
  // As the thread of C is there from the start.
  view[size - 1]!;
  await new Promise((resolve) => setTimeout(resolve, 200));
  const step = Math.floor(size / pageSize() / pages) * pageSize();
  const times = new Float64Array(pages);
  let sum = 0;
  for (let i = 0; i < pages; i++) {
    const begin = performance.now();
    sum += view[i * step]!;
    times[i] = 1e6 * (performance.now() - begin);
  }
  if (sum !== pages || handler.faults < pages - 1) throw new Error("The pages were not loaded");
  closeSync(file);
  times.sort();
  return { fault: times[Math.floor(pages / 2)]!, p95: times[Math.floor(pages * 0.95)]! };
}

async function load(size: number): Promise<Record<string, number>> {
  const file = filled(size);
  // The first thread of a process waits for its modules.
  using small = restore([[GuestAddress(0), pageSize()]], filled(pageSize()), { mode: "lazy" });
  await FaultHandler.of(small).done;
  const begin = performance.now();
  using memory = restore([[GuestAddress(0), size]], file, { mode: "lazy" });
  await FaultHandler.of(memory).done;
  const time = 1e6 * (performance.now() - begin);
  closeSync(file);
  return { load: time };
}
