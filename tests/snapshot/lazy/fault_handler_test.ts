import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { adviseMemory } from "../../../ffi/memory.ts";
import {
  AtomicBitmap,
  DescriptorClosed,
  Fd,
  GuestMemoryMmap,
  InvalidGuestAddress,
  MemoryClosed,
  OptionRefused,
  takeDirty,
  u64,
} from "../../../mod.ts";
import {
  FaultHandler,
  NotRestoring,
  PageLoadFailed,
  RegionNotTrackable,
  restore,
  RestoreUnfinished,
  SnapshotMismatch,
  writeDiff,
  writeSnapshot,
  WriteTracker,
} from "../../../src/snapshot/mod.ts";
import { runDeno } from "../../backend/mmap/crash/run.ts";
import { openDescriptors } from "../../support/descriptors.ts";
import { open } from "../../support/posix.ts";
import { mappingsOf } from "../../support/proc_maps.ts";
import { until } from "../../support/until.ts";
import { gpa } from "../../support/values.ts";
import { scratchFile } from "../memories.ts";
import {
  busyFor,
  contentOf,
  finish,
  lazyTest,
  PAGE,
  pause,
  snapshotOf,
  wrongPages,
} from "./lazy_memory.ts";

const START = 16 * PAGE;
// The last page of the first is not whole, and the second follows in the file.
const RANGES = [[START, 300 * PAGE + 24], [2 ** 32, 40 * PAGE]] as const;

lazyTest("pages have the content of the file when they are touched", async () => {
  using snapshot = await snapshotOf(RANGES);
  using memory = snapshot.restore({ prefetch: false });
  const handler = FaultHandler.of(memory);
  const last = START + 298 * PAGE;
  assertEquals(memory.readObj(u64, gpa(last)), contentOf(last));
  assert(await until(() => handler.faults === 1));
  memory.writeObj(u64, 5n, gpa(START + PAGE));
  assertEquals(memory.readObj(u64, gpa(START + PAGE)), 5n);
  memory.writeObj(u64, contentOf(START + PAGE), gpa(START + PAGE));
  assertEquals(wrongPages(memory), []);
  await handler.done;
  assertEquals(handler.progress, { bytes: 341 * PAGE, total: 341 * PAGE });
  assertThrows(() => FaultHandler.of(memory), NotRestoring);
  assertThrows(() => handler.fd, DescriptorClosed);
});

lazyTest(
  "all pages are loaded in the background, and the memory is as any other then",
  async () => {
    using snapshot = await snapshotOf(RANGES);
    const before = openDescriptors();
    {
      using memory = snapshot.restore();
      const handler = FaultHandler.of(memory);
      assertEquals(mappingsOf(snapshot.path).length, 1);
      await handler.done;
      assertEquals(handler.progress.bytes, handler.progress.total);
      assertEquals(wrongPages(memory), []);
      using target = scratchFile();
      await writeSnapshot(memory, target.fd);
      assertEquals(target.content, Deno.readFileSync(snapshot.path));
    }
    assert(await until(() => openDescriptors() === before));
    assertEquals(mappingsOf(snapshot.path), []);
  },
);

lazyTest("memory that the kernel holds as several mappings is loaded as a whole", async () => {
  using snapshot = await snapshotOf([[START, 64 * PAGE]], () => true);
  for (const prefetch of [false, true]) {
    using memory = snapshot.restore({ prefetch });
    const handler = FaultHandler.of(memory);
    const { hostAddress } = handler.ranges[0]!;
    // A call that fills pages of two mappings fails.
    for (const page of [5, 21, 22]) adviseMemory(hostAddress + page * PAGE, PAGE, "dontdump");
    if (prefetch) await handler.done;
    assertEquals(wrongPages(memory, () => true), []);
    await handler.done;
  }
});

lazyTest("every kind of access loads pages, that of the kernel too", async () => {
  using snapshot = await snapshotOf([[START, 64 * PAGE]], () => true);
  using memory = snapshot.restore({ prefetch: false });
  const handler = FaultHandler.of(memory);
  const at = (page: number) => gpa(START + page * PAGE);
  const bytes = new Uint8Array(8);
  memory.readSlice(bytes, at(1));
  assertEquals(new BigUint64Array(bytes.buffer)[0], contentOf(at(1)));
  assertEquals(memory.load(u64, at(2)), contentOf(at(2)));
  assertEquals(memory.getAtomicRef(u64, at(3)).fetchAdd(1n), contentOf(at(3)));
  const view = new BigUint64Array(memory.getSlice(at(4), 8).rawView().slice().buffer);
  assertEquals(view[0], contentOf(at(4)));
  using zero = open("/dev/zero", "r");
  memory.readExactVolatileFrom(at(5), new Fd(zero.fd), 4);
  assertEquals(memory.readObj(u64, at(5)), contentOf(at(5)) >> 32n << 32n);
  using file = scratchFile();
  memory.writeAllVolatileTo(at(6), new Fd(file.fd), PAGE);
  assertEquals(new BigUint64Array(file.content.slice(0, 8).buffer)[0], contentOf(at(6)));
  assertEquals(memory.isZero(at(7), PAGE), false);
  await memory.prefault();
  assertEquals(
    wrongPages(memory, () => true).filter((page) => page !== at(3) && page !== at(5)),
    [],
  );
  await handler.done;
});

lazyTest("what is discarded reads zero, and is never loaded again", async () => {
  using snapshot = await snapshotOf([[START, 256 * PAGE]], () => true);
  for (const prefetch of [false, true]) {
    using memory = snapshot.restore({ prefetch });
    const handler = FaultHandler.of(memory);
    memory.readObj(u64, gpa(START + 11 * PAGE));
    // Some are loaded, most are not.
    memory.discard(gpa(START + 10 * PAGE), 40 * PAGE);
    memory.discard(gpa(START + 200 * PAGE), 56 * PAGE);
    const isDiscarded = (at: number) => {
      const page = (at - START) / PAGE;
      return page >= 10 && page < 50 || page >= 200;
    };
    memory.writeObj(u64, contentOf(START + 20 * PAGE), gpa(START + 20 * PAGE));
    const has = (at: number) => !isDiscarded(at) || at === START + 20 * PAGE;
    assertEquals(wrongPages(memory, has), []);
    await handler.done;
    assertEquals(wrongPages(memory, has), []);
  }
});

lazyTest("holes of the file count as loaded before they are touched", async () => {
  const has = (at: number) => [3, 4, 20].includes((at - START) / PAGE);
  using snapshot = await snapshotOf([[START, 40 * PAGE]], has);
  using memory = snapshot.restore({ prefetch: false });
  const handler = FaultHandler.of(memory);
  assert(await until(() => handler.progress.bytes === 37 * PAGE));
  assertEquals([handler.faults, wrongPages(memory, has)], [0, []]);
  await handler.done;
});

lazyTest("the working set is recorded in order, and loaded first", async () => {
  using snapshot = await snapshotOf(RANGES, () => true);
  const touched = [7, 250, 8, 9, 100].map((page) => START + page * PAGE).concat(2 ** 32);
  const set = (() => {
    using memory = snapshot.restore({ prefetch: false, record: true });
    for (const at of touched) memory.readObj(u64, gpa(at));
    memory.readObj(u64, gpa(START + 7 * PAGE));
    return JSON.parse(JSON.stringify(FaultHandler.of(memory).workingSet()));
  })();
  const page = (at: number, count = 1) => [START + at * PAGE, count * PAGE];
  assertEquals(set, [page(7), page(250), page(8, 2), page(100), [2 ** 32, PAGE]]);
  using memory = snapshot.restore({ prefetch: false, workingSet: set });
  const handler = FaultHandler.of(memory);
  assert(await until(() => handler.progress.bytes === 6 * PAGE));
  for (const at of touched) assertEquals(memory.readObj(u64, gpa(at)), contentOf(at));
  assertEquals([handler.faults, handler.workingSet()], [0, []]);
  assertEquals(wrongPages(memory, () => true), []);
  await handler.done;
});

lazyTest("restart() lets another thread load, in the middle of everything", async () => {
  using snapshot = await snapshotOf([[START, 2000 * PAGE]]);
  using memory = snapshot.restore({ prefetch: false });
  const handler = FaultHandler.of(memory);
  const worker = new Worker(new URL("touching_worker.ts", import.meta.url), { type: "module" });
  const { promise, resolve } = Promise.withResolvers<number[]>();
  worker.onmessage = ({ data }) => resolve(data);
  worker.postMessage(memory.share());
  memory.discard(gpa(START + 501 * PAGE), PAGE);
  for (let restarts = 0; restarts < 20; restarts++) {
    handler.restart();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assertEquals(await promise, [START + 501 * PAGE]);
  worker.terminate();
  await handler.done;
});

lazyTest("a memory that others hold is loaded until they close it", async () => {
  using snapshot = await snapshotOf([[START, 2000 * PAGE], [2 ** 32, PAGE]]);
  const memory = snapshot.restore({ prefetch: false });
  const handler = FaultHandler.of(memory);
  const worker = new Worker(new URL("touching_worker.ts", import.meta.url), { type: "module" });
  const { promise, resolve } = Promise.withResolvers<number[]>();
  worker.onmessage = ({ data }) => resolve(data);
  const handle = memory.share();
  memory.close();
  worker.postMessage(handle);
  assertEquals(await promise, []);
  worker.terminate();
  await handler.done.catch(() => {});
  assert(
    await until(() => {
      try {
        return handler.fd < 0;
      } catch {
        return true;
      }
    }),
  );
});

lazyTest(
  "a region that is removed and closed is left alone, and the others are loaded",
  async () => {
    using snapshot = await snapshotOf(RANGES);
    const memory = snapshot.restore({ prefetch: false });
    const handler = FaultHandler.of(memory);
    const [rest, removed] = memory.removeRegion(gpa(2 ** 32), 40 * PAGE);
    memory.close();
    removed.close();
    // Other memory may have its place.
    using others = GuestMemoryMmap.fromRanges([[gpa(0), 40 * PAGE]]);
    assertEquals(wrongPages(rest), []);
    assertEquals(others.isZero(gpa(0), 40 * PAGE), true);
    await handler.done;
    rest.close();
  },
);

lazyTest("loading ends when the last region that is not loaded is closed", async () => {
  using snapshot = await snapshotOf(RANGES);
  const memory = snapshot.restore({ prefetch: false });
  const handler = FaultHandler.of(memory);
  const [rest, removed] = memory.removeRegion(gpa(2 ** 32), 40 * PAGE);
  memory.close();
  using _rest = rest;
  assertEquals(wrongPages(rest), []);
  const { total } = handler.progress;
  const left = () => total - handler.progress.bytes;
  // A third of the second region consists of holes.
  assert(await until(() => left() > 0 && left() < 40 * PAGE));
  removed.close();
  assert(await until(() => left() === 0));
  await handler.done;
});

lazyTest("memory that is closed before all is loaded leaves nothing behind", async () => {
  using snapshot = await snapshotOf([[START, 5000 * PAGE]]);
  const before = openDescriptors();
  for (const prefetch of [true, false, true]) {
    for (const delay of [0, 1, 20]) {
      const memory = snapshot.restore({ prefetch });
      const handler = FaultHandler.of(memory);
      if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay));
      memory.close();
      await handler.done.catch((error) => assert(error instanceof MemoryClosed, `${error}`));
    }
  }
  assert(await until(() => openDescriptors() === before));
});

lazyTest("writeSnapshot() refuses memory that is not loaded, writeDiff() does not", async () => {
  using snapshot = await snapshotOf([[START, 40 * PAGE]]);
  using memory = snapshot.restore({
    prefetch: false,
    bitmap: (length) => new AtomicBitmap(length, PAGE),
  });
  using file = scratchFile();
  const error = await assertRejects(() => writeSnapshot(memory, file.fd), RestoreUnfinished);
  assertEquals([error.startAddr, file.content.length], [gpa(START), 0]);
  memory.writeObj(u64, 5n, gpa(START + 7 * PAGE + 8));
  using dirty = takeDirty(memory as GuestMemoryMmap<AtomicBitmap>);
  await writeDiff(memory, file.fd, dirty);
  const words = new BigUint64Array(file.content.buffer);
  assertEquals(words[7 * PAGE / 8], contentOf(START + 7 * PAGE));
  assertEquals(words[7 * PAGE / 8 + 1], 5n);
  assertEquals(wrongPages(memory), []);
  await FaultHandler.of(memory).done;
  await writeSnapshot(memory, file.fd);
});

lazyTest(
  "a file that is cut off is reported, and another one mends it",
  async () => {
    using snapshot = await snapshotOf([[START, 40 * PAGE]], () => true);
    const copy = await Deno.makeTempFile();
    Deno.copyFileSync(snapshot.path, copy);
    using other = Deno.openSync(copy);
    using memory = snapshot.restore({ prefetch: false });
    const handler = FaultHandler.of(memory);
    memory.readObj(u64, gpa(START));
    Deno.truncateSync(snapshot.path, 10 * PAGE);
    const worker = new Worker(new URL("touching_worker.ts", import.meta.url), { type: "module" });
    const { promise, resolve } = Promise.withResolvers<number[]>();
    worker.onmessage = ({ data }) => resolve(data);
    worker.postMessage({ handle: memory.share(), all: true });
    const error = await assertRejects(() => handler.done, PageLoadFailed);
    assertEquals(error.position, 10 * PAGE);
    assertThrows(() => handler.restart(snapshot.file), SnapshotMismatch);
    handler.restart(other);
    assertEquals(await promise, []);
    worker.terminate();
    await handler.done;
    Deno.removeSync(copy);
  },
);

for (const isListed of [true, false]) {
  const when = isListed ? "after" : "before";
  lazyTest(
    `a page is tried again until the file has it: cut off ${when} its holes are known`,
    async () => {
      using snapshot = await snapshotOf([[START, 40 * PAGE]], () => true);
      const content = Deno.readFileSync(snapshot.path);
      using memory = snapshot.restore({ prefetch: false, thread: isListed });
      const handler = FaultHandler.of(memory);
      // A thread that has nothing else left to do.
      if (isListed) await pause(100);
      Deno.truncateSync(snapshot.path, 10 * PAGE);
      if (!isListed) handler.restart();
      const worker = new Worker(new URL("touching_worker.ts", import.meta.url), { type: "module" });
      const { promise, resolve } = Promise.withResolvers<number[]>();
      worker.onmessage = ({ data }) => resolve(data);
      worker.postMessage({ handle: memory.share(), all: true });
      await assertRejects(() => handler.done, PageLoadFailed);
      // It waits for a page.
      assert(await until(() => handler.faults === 10));
      await pause(100);
      using file = Deno.openSync(snapshot.path, { write: true });
      file.writeSync(content);
      assertEquals(await promise, []);
      worker.terminate();
    },
  );
}

lazyTest("the thread rests after it was asked for what it has recorded", async () => {
  using snapshot = await snapshotOf([[START, 40 * PAGE]], () => true);
  using memory = snapshot.restore({ prefetch: false, record: true });
  const handler = FaultHandler.of(memory);
  memory.readObj(u64, gpa(START));
  // It waits for a fault.
  await pause(100);
  assertEquals(handler.workingSet(), [[gpa(START), PAGE]]);
  assert(await busyFor(300) < 150, "the thread does not rest");
});

lazyTest("restore() refuses what it cannot load, and leaves nothing behind", async () => {
  using snapshot = await snapshotOf([[START, 4 * PAGE]]);
  const before = openDescriptors();
  const { ranges, file, restore: lazily } = snapshot;
  for (const option of [{ prefault: true }, { lock: true }] as const) {
    assertThrows(() => lazily(option), OptionRefused);
  }
  for (const option of ["prefetch", "record", "userModeOnly", "thread", "onProgress"]) {
    assertThrows(() => lazily({ [option]: 7 }), TypeError, option);
  }
  for (const workingSet of [7, [7], [[gpa(START), "1"]]]) {
    assertThrows(() => lazily({ workingSet } as never), TypeError);
  }
  assertThrows(() => lazily({ workingSet: [[gpa(START), -1]] }), RangeError);
  assertThrows(() => lazily({ workingSet: [[gpa(START - PAGE), PAGE]] }), InvalidGuestAddress);
  assertThrows(() => lazily({ workingSet: [[gpa(START), 5 * PAGE]] }), InvalidGuestAddress);
  const lease = () => {};
  assertThrows(() => restore(ranges, file, { mode: "lazy", lease } as never), TypeError, "lease");
  assertThrows(() => FaultHandler.of(7 as never), TypeError);
  assertThrows(() => new (FaultHandler as unknown as new () => unknown)(), TypeError);
  // Threads of other tests may still end.
  assert(openDescriptors() <= before);
});

lazyTest("loading is reported", async () => {
  using snapshot = await snapshotOf([[START, 2 ** 26]], (at) => at / PAGE % 4 === 0);
  const seen: number[] = [];
  using memory = snapshot.restore({
    onProgress: ({ bytes, total }) => {
      assertEquals(total, 2 ** 26);
      seen.push(bytes);
    },
  });
  await FaultHandler.of(memory).done;
  assertEquals(seen, seen.toSorted((a, b) => a - b));
  assert(seen.length >= 1 && seen.every((bytes) => bytes < 2 ** 26), `${seen}`);
});

lazyTest("a write tracker beside a lazy restore takes no loading for a write", async () => {
  using snapshot = await snapshotOf(RANGES);
  for (const prefetch of [false, true]) {
    using memory = snapshot.restore({
      prefetch,
      bitmap: (length) => new AtomicBitmap(length, PAGE),
    });
    const handler = FaultHandler.of(memory);
    memory.readObj(u64, gpa(START + 2 * PAGE));
    {
      using tracker = WriteTracker.start(memory);
      assertThrows(() => WriteTracker.start(memory), RegionNotTrackable, "another write tracker");
      assertEquals(wrongPages(memory), []);
      await handler.done;
      assertEquals(tracker.collect(), 0);
      memory.getSlice(gpa(START + 5 * PAGE), 1).rawView()[0] = 1;
      memory.getSlice(gpa(START + 2 * PAGE), 1).rawView()[0] = 1;
      assertEquals(tracker.collect(), 2 * PAGE);
      takeDirty(memory as GuestMemoryMmap<AtomicBitmap>);
      memory.discard(gpa(START + 50 * PAGE), PAGE);
      assertEquals(memory.readObj(u64, gpa(START + 50 * PAGE)), 0n);
    }
    assertThrows(() => handler.fd, DescriptorClosed);
    using again = WriteTracker.start(memory);
    memory.getSlice(gpa(START + 7 * PAGE), 1).rawView()[0] = 1;
    assertEquals(again.collect(), PAGE);
  }
});

lazyTest("a tracker that is closed leaves holes that can be loaded", async () => {
  using snapshot = await snapshotOf([[START, 20 * PAGE]]);
  using memory = snapshot.restore({
    prefetch: false,
    bitmap: (length) => new AtomicBitmap(length, PAGE),
  });
  WriteTracker.start(memory).close();
  assertEquals(wrongPages(memory), []);
  await finish(memory);
});

lazyTest(
  "a tracker that starts while all regions are being loaded loses none of their pages",
  async () => {
    const ranges = Array.from({ length: 4 }, (_, i) => [START + i * 2 ** 32, 2000 * PAGE] as const);
    using snapshot = await snapshotOf(ranges);
    // The last region is registered for the tracker last, and loaded first.
    const workingSet = [[gpa(ranges[3]![0]), 2000 * PAGE]] as const;
    for (let round = 0; round < 8; round++) {
      const bitmap = (length: number) => new AtomicBitmap(length, PAGE);
      using memory = snapshot.restore({ bitmap, workingSet });
      const handler = FaultHandler.of(memory);
      // The thread has begun.
      while (handler.progress.bytes < 7000 * PAGE / 3) memory.readObj(u64, gpa(START + PAGE));
      using tracker = WriteTracker.start(memory);
      await handler.done;
      assertEquals([wrongPages(memory), tracker.collect()], [[], 0]);
    }
  },
);

lazyTest(
  "a program that may not read the module of the thread is refused, and does not wait",
  async () => {
    const source = `
    import { Backing, GuestAddress, GuestMemoryMmap } from "${
      import.meta.resolve("../../../mod.ts")
    }";
    import { restore } from "${import.meta.resolve("../../../src/snapshot/mod.ts")}";
    const ranges = [[GuestAddress(0), 4096]];
    using template = GuestMemoryMmap.fromRanges(ranges, { backing: Backing.memfd() });
    try {
      restore(ranges, template.describe()[0].fd, { mode: "lazy" });
    } catch (error) {
      console.log(error.name, error.message);
    }
  `;
    const { code, stdout, stderr } = await runDeno(["--no-check", "--allow-ffi", "-"], source);
    assertEquals([code, stderr], [0, ""]);
    assertStringIncludes(stdout, "FaultsUnavailable");
    assertStringIncludes(stdout, "--allow-read=");
  },
);

lazyTest("what onProgress throws rejects done, and loading continues", async () => {
  using snapshot = await snapshotOf([[START, 2 ** 26]], (at) => at / PAGE % 4 === 0);
  const error = new Error("enough");
  let calls = 0;
  const onProgress = () => {
    calls++;
    throw error;
  };
  using memory = snapshot.restore({ onProgress });
  const handler = FaultHandler.of(memory);
  assertEquals(await handler.done.catch((error) => error), error);
  assert(await until(() => handler.progress.bytes === 2 ** 26));
  assertEquals([calls, wrongPages(memory, (at) => at / PAGE % 4 === 0)], [1, []]);
});
