import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  Backing,
  type Bitmap,
  DescriptorClosed,
  type GuestMemory,
  GuestMemoryHeap,
  GuestMemoryMmap,
  type GuestMemoryRegion,
  GuestRegionCollection,
  GuestRegionMmap,
  MemoryClosed,
  MmapRegion,
  pageSize,
  Permissions,
  SystemError,
  u8,
} from "../../mod.ts";
import { RegionNotTrackable, WriteTracker } from "../../src/snapshot/mod.ts";
import { runDeno } from "../backend/mmap/crash/run.ts";
import { openDescriptors } from "../support/descriptors.ts";
import { collectUntil, gcTest } from "../support/garbage.ts";
import { mappings } from "../support/proc_maps.ts";
import { gpa, offset } from "../support/values.ts";
import { reasonOf, takePages, trackedMemory, trackerTest } from "./tracking.ts";

const PAGE = Deno.build.os === "linux" ? pageSize() : 4096;

// What the library does not mark.
function poke(memory: GuestMemory, at: number): void {
  memory.getSlice(gpa(at), 1).rawView()[0]!++;
}

trackerTest("collect() marks what was written since the last time, and returns the bytes", () => {
  const start = 5 * PAGE;
  using memory = trackedMemory([[start, 16]]);
  poke(memory, start);
  using tracker = WriteTracker.start(memory);
  assertEquals([tracker.collect(), takePages(memory)], [0, []]);
  poke(memory, start + 3 * PAGE + 7);
  poke(memory, start + 4 * PAGE);
  poke(memory, start + 9 * PAGE - 1);
  assertEquals(tracker.collect(), 3 * PAGE);
  assertEquals(tracker.collect(), 0);
  assertEquals(takePages(memory), [3, 4, 8].map((page) => start + page * PAGE));
  memory.readObj(u8, gpa(start + 12 * PAGE));
  poke(memory, start + 3 * PAGE);
  assertEquals([tracker.collect(), takePages(memory)], [PAGE, [start + 3 * PAGE]]);
});

trackerTest(
  "collect() marks first and last bytes of regions, and nothing of their neighbours",
  () => {
    const ranges = [[PAGE, 4], [5 * PAGE, 1], [6 * PAGE, 3], [2 ** 32, 2]] as const;
    for (const backing of [Backing.anonymous(), Backing.memfd()]) {
      using memory = trackedMemory(ranges, { backing, guardPages: true });
      using tracker = WriteTracker.start(memory);
      for (const [start, pages] of ranges) {
        for (const at of [start, start + pages * PAGE - 1]) {
          poke(memory, at);
          assertEquals(tracker.collect(), PAGE);
          const { startAddr } = memory.findRegion(gpa(at))!;
          assertEquals(takePages(memory), [startAddr + Math.floor((at - startAddr) / PAGE) * PAGE]);
        }
      }
    }
  },
);

trackerTest("collect() counts what of the last page is in the region", () => {
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 2 * PAGE + 10]], {
    bitmap: (length) => new AtomicBitmap(length, PAGE),
  });
  using tracker = WriteTracker.start(memory);
  poke(memory, 2 * PAGE + 9);
  assertEquals(tracker.collect(), 10);
  memory.fill(gpa(PAGE), PAGE + 10, 1);
  assertEquals(tracker.collect(), PAGE + 10);
});

trackerTest("collect() adds to the marks that there are, of any size", () => {
  const bits = 3 * PAGE;
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 9 * PAGE]], {
    bitmap: (length) => new AtomicBitmap(length, bits),
  });
  using tracker = WriteTracker.start(memory);
  const { bitmap } = memory.findRegion(gpa(0))!;
  bitmap.markDirty(0, 1);
  poke(memory, 8 * PAGE);
  assertEquals(tracker.collect(), PAGE);
  assertEquals([...bitmap.dirtyRuns()], [[0, bits], [2 * bits, bits]]);
});

trackerTest("start() refuses what it cannot track, and says what to do", () => {
  using memory = trackedMemory([[0, 2]]);
  using plain = GuestMemoryMmap.fromRanges([[gpa(PAGE), PAGE]]);
  using heap = GuestMemoryHeap.fromRanges([[gpa(2 * PAGE), PAGE]]);
  const descriptors = openDescriptors();
  const cases: [Iterable<GuestMemoryRegion>, number, string][] = [
    [plain, PAGE, "bitmap"],
    [heap, 2 * PAGE, "GuestMemoryMmap"],
    [[...memory, ...plain], PAGE, "bitmap"],
  ];
  for (const [regions, at, text] of cases) {
    const error = assertThrows(() => WriteTracker.start(regions), RegionNotTrackable);
    assertEquals(error.startAddr, gpa(at));
    assertStringIncludes(error.message, text);
  }
  for (const wrong of [undefined, null, 7, {}]) {
    assertThrows(() => WriteTracker.start(wrong as never), TypeError, "as memory");
  }
  const { constructor } = WriteTracker.prototype as unknown as { constructor: new () => void };
  assertThrows(() => new constructor(), TypeError, "Illegal");
  const closed = trackedMemory([[0, 1]]);
  const regions = [...closed];
  closed.close();
  assertThrows(() => WriteTracker.start(closed), MemoryClosed);
  assertThrows(() => WriteTracker.start(regions), MemoryClosed);
  assertEquals(openDescriptors(), descriptors);
  using tracker = WriteTracker.start([]);
  assertEquals(tracker.collect(), 0);
});

trackerTest("start() refuses a mapping that is tracked, whatever map it is in", () => {
  using memory = trackedMemory([[0, 2], [8 * PAGE, 2]]);
  using first = WriteTracker.start([memory.findRegion(gpa(8 * PAGE))!]);
  using other = memory.insertRegion(
    GuestRegionMmap.fromRange(gpa(2 ** 32), PAGE, { bitmap: (n) => new AtomicBitmap(n, PAGE) }),
  );
  const descriptors = openDescriptors();
  for (const map of [memory, other]) {
    const error = assertThrows(() => WriteTracker.start(map), RegionNotTrackable, "tracker");
    assertEquals(error.startAddr, gpa(8 * PAGE));
    assert(error.cause instanceof SystemError && error.cause.code === "EBUSY");
  }
  assertEquals(openDescriptors(), descriptors);
  // Each region on its own; an inserted one too.
  using second = WriteTracker.start([memory.findRegion(gpa(0))!, other.findRegion(gpa(2 ** 32))!]);
  poke(other, 8 * PAGE);
  poke(other, PAGE);
  poke(other, 2 ** 32);
  assertEquals([first.collect(), second.collect()], [PAGE, 2 * PAGE]);
  assertEquals(takePages(other), [PAGE, 8 * PAGE, 2 ** 32]);
  first.close();
  using third = WriteTracker.start([memory.findRegion(gpa(8 * PAGE))!]);
  poke(memory, 9 * PAGE);
  assertEquals([second.collect(), third.collect()], [0, PAGE]);
});

trackerTest("regions that map the same are marked each", () => {
  const mmap = new MmapRegion(4 * PAGE, { bitmap: (length) => new AtomicBitmap(length, PAGE) });
  mmap.retain();
  const one = new GuestRegionMmap(mmap, gpa(0));
  const two = new GuestRegionMmap(mmap, gpa(64 * PAGE));
  // A part of it again, with a bitmap of its own.
  const backing = Backing.foreign(mmap.hostAddress() + BigInt(2 * PAGE));
  const three = GuestRegionMmap.fromRange(gpa(128 * PAGE), 2 * PAGE, {
    backing,
    bitmap: (length) => new AtomicBitmap(length, PAGE),
  });
  using memory = GuestMemoryMmap.fromRegions([one, two, three]);
  using tracker = WriteTracker.start(memory);
  poke(memory, PAGE);
  poke(memory, 64 * PAGE + 3 * PAGE);
  assertEquals(tracker.collect(), 5 * PAGE);
  assertEquals(tracker.collect(), 0);
  assertEquals([...three.bitmap.dirtyRuns()], [[PAGE, PAGE]]);
  assertEquals([...one.bitmap.dirtyRuns()], [[PAGE, PAGE], [3 * PAGE, PAGE]]);
  mmap.release();
});

trackerTest("close() ends tracking and closes the descriptors, once", () => {
  using memory = trackedMemory([[0, 4]]);
  const descriptors = openDescriptors();
  const tracker = WriteTracker.start(memory);
  assertEquals([tracker.closed, openDescriptors()], [false, descriptors + 2]);
  poke(memory, PAGE);
  tracker.close();
  tracker.close();
  assertEquals([tracker.closed, openDescriptors()], [true, descriptors]);
  assertThrows(() => tracker.collect(), DescriptorClosed, "write tracker");
  assertEquals(takePages(memory), []);
  poke(memory, 2 * PAGE);
  {
    using again = WriteTracker.start(memory);
    poke(memory, 3 * PAGE);
    assertEquals([again.collect(), takePages(memory)], [PAGE, [3 * PAGE]]);
  }
  assertEquals(openDescriptors(), descriptors);
});

trackerTest("memory that is closed is unmapped, and not tracked any more", () => {
  const backing = () => Backing.memfd({ name: "tracked" });
  const memory = trackedMemory([[0, 4]], { backing: backing() });
  using other = trackedMemory([[2 ** 32, 4]], { backing: backing() });
  const mapped = () => mappings().filter(({ path }) => path.includes("memfd:tracked")).length;
  using tracker = WriteTracker.start([...memory, ...other]);
  poke(memory, PAGE);
  poke(other, 2 ** 32);
  assertEquals(mapped(), 2);
  memory.close();
  assertEquals([mapped(), tracker.collect()], [1, PAGE]);
  // What comes to be at the same addresses is another's.
  using next = trackedMemory([[0, 4]], { backing: backing() });
  using nextTracker = WriteTracker.start(next);
  poke(next, PAGE);
  assertEquals([tracker.collect(), nextTracker.collect()], [0, PAGE]);
});

trackerTest("a region that is removed is tracked until it is closed", () => {
  const memory = trackedMemory([[0, 2], [8 * PAGE, 2]]);
  using tracker = WriteTracker.start(memory);
  const [rest, region] = memory.removeRegion(gpa(8 * PAGE), 2 * PAGE);
  memory.close();
  region.asVolatileSlice().rawView()[PAGE] = 1;
  assertEquals(tracker.collect(), PAGE);
  assertEquals([...(region.bitmap as AtomicBitmap).dirtyRuns()], [[PAGE, PAGE]]);
  region.close();
  poke(rest, 0);
  assertEquals(tracker.collect(), PAGE);
  rest.close();
  assertEquals(tracker.collect(), 0);
});

const trackerGcTest = reasonOf("writeTracker") === undefined ? gcTest : trackerTest;

trackerGcTest("a tracker keeps memory mapped that nobody else can reach", async () => {
  const count = () => mappings().filter(({ path }) => path.includes("memfd:kept")).length;
  const make = () => {
    const memory = trackedMemory([[0, 4]], { backing: Backing.memfd({ name: "kept" }) });
    return WriteTracker.start(memory);
  };
  let tracker: WriteTracker | undefined = make();
  let rounds = 0;
  await collectUntil(() => ++rounds > 10);
  assertEquals([count(), tracker.collect()], [1, 0]);
  tracker.close();
  tracker = undefined;
  assertEquals(await collectUntil(() => count() === 0), true);
});

// Marks nothing, but does something.
function bitmapThat(act: (offset: number, length: number) => void): Bitmap {
  const bitmap: Bitmap = { markDirty: act, dirtyAt: () => false, sliceAt: () => bitmap };
  return bitmap;
}

trackerTest("what a bitmap refuses is marked by the next collect(), and all others now", () => {
  const marks: [number, number][] = [];
  let refuses = true;
  using memory = GuestMemoryMmap.fromRanges([
    [gpa(0), 4 * PAGE, {
      bitmap: () =>
        bitmapThat((...mark) => {
          if (refuses) throw new RangeError("full");
          marks.push(mark);
        }),
    }],
    [gpa(64 * PAGE), PAGE, { bitmap: (length) => new AtomicBitmap(length, PAGE) }],
  ]);
  using tracker = WriteTracker.start(memory);
  poke(memory, 2 * PAGE);
  poke(memory, 64 * PAGE);
  assertThrows(() => tracker.collect(), RangeError, "full");
  const { bitmap } = memory.findRegion(gpa(64 * PAGE))!;
  assertEquals(bitmap.dirtyAt(0), true);
  refuses = false;
  poke(memory, 0);
  assertEquals([tracker.collect(), marks], [PAGE, [[0, PAGE], [2 * PAGE, PAGE]]]);
});

trackerTest("a bitmap may close the memory, the tracker, or collect again", () => {
  for (const what of ["memory", "tracker", "again"]) {
    const marks: number[] = [];
    const memory: GuestMemoryMmap = GuestMemoryMmap.fromRanges(
      [[gpa(0), 4 * PAGE], [gpa(64 * PAGE), PAGE]],
      {
        bitmap: (_, start) =>
          bitmapThat((offset) => {
            marks.push(start + offset);
            if (what === "memory") memory.close();
            else if (what === "tracker") tracker.close();
            else tracker.collect();
          }),
      },
    );
    const tracker = WriteTracker.start(memory);
    for (const at of [0, 2 * PAGE, 64 * PAGE]) poke(memory, at);
    assertEquals(tracker.collect(), 3 * PAGE);
    // A call in the middle finds what the outer one has not marked yet.
    assertEquals(marks.sort((a, b) => a - b), [0, 2 * PAGE, 64 * PAGE], what);
    tracker.close();
    memory.close();
  }
});

trackerTest("protection that changes meanwhile changes nothing", () => {
  using memory = trackedMemory([[0, 4]]);
  const { mmap } = memory.findRegion(gpa(0))!;
  using tracker = WriteTracker.start(memory);
  poke(memory, PAGE);
  mmap.protect(Permissions.No);
  assertEquals(tracker.collect(), PAGE);
  mmap.protect(Permissions.Read);
  assertEquals(tracker.collect(), 0);
  mmap.protect(Permissions.ReadWrite);
  memory.readObj(u8, gpa(2 * PAGE));
  poke(memory, 3 * PAGE);
  assertEquals(tracker.collect(), PAGE);
  assertEquals(takePages(memory), [PAGE, 3 * PAGE]);
});

trackerTest("what is discarded is marked by discard(), and tracked again", () => {
  using memory = trackedMemory([[0, 1024]]);
  memory.fill(gpa(0), 1024 * PAGE, 1);
  using tracker = WriteTracker.start(memory);
  takePages(memory);
  memory.discard(gpa(0), 1024 * PAGE);
  assertEquals(takePages(memory).length, 1024);
  tracker.collect();
  takePages(memory);
  memory.readObj(u8, gpa(7 * PAGE));
  assertEquals(tracker.collect(), 0);
  poke(memory, 9 * PAGE);
  assertEquals([tracker.collect(), takePages(memory)], [PAGE, [9 * PAGE]]);
});

trackerTest(
  "collect() finds what was written to pages that the kernel has taken back since",
  () => {
    const path = Deno.makeTempFileSync();
    Deno.writeFileSync(path, new Uint8Array(16 * PAGE));
    using file = Deno.openSync(path, { read: true, write: true });
    Deno.removeSync(path);
    using memory = trackedMemory([[0, 16]], { backing: Backing.file(file) });
    const { mmap } = memory.findRegion(gpa(0))!;
    using tracker = WriteTracker.start(memory);
    poke(memory, 5 * PAGE);
    memory.readObj(u8, gpa(9 * PAGE));
    mmap.flush();
    mmap.advise("pageout");
    // It has no page now, where the file system lets go of it.
    assertEquals([tracker.collect(), takePages(memory)], [PAGE, [5 * PAGE]]);
    assertEquals(memory.readObj(u8, gpa(5 * PAGE)), 1);
    assertEquals(tracker.collect(), 0);
  },
);

trackerTest("limits: other mappings of the same memory, and its file, are not seen", () => {
  using memory = trackedMemory([[0, 4]], { backing: Backing.memfd() });
  const { fd } = memory.describe()[0]!;
  using other = GuestMemoryMmap.fromDescription(memory.describe(), [fd!]);
  using tracker = WriteTracker.start(memory);
  poke(other, PAGE);
  assertEquals(memory.readObj(u8, gpa(PAGE)), 1);
  assertEquals(tracker.collect(), 0);
});

trackerTest("other programs that are started do not end tracking", async () => {
  using memory = trackedMemory([[0, 4]]);
  using tracker = WriteTracker.start(memory);
  poke(memory, PAGE);
  const { code } = await runDeno(["-"], "");
  poke(memory, 2 * PAGE);
  assertEquals([code, tracker.collect(), takePages(memory)], [0, 2 * PAGE, [PAGE, 2 * PAGE]]);
});

trackerTest("a user without privileges can track", async () => {
  const url = new URL("./unprivileged.ts", import.meta.url);
  const { code, stdout, stderr } = await runDeno(["--allow-all", url.href]);
  assertEquals([code, stderr], [0, ""]);
  if (stdout === "no other user") return;
  assertEquals(JSON.parse(stdout), { capable: true, bytes: PAGE, copies: [[PAGE, PAGE]] });
});

trackerTest("start() checks again what a region closes while it is asked", () => {
  const memory = trackedMemory([[0, 2]]);
  using other = trackedMemory([[64 * PAGE, 1]]);
  const descriptors = openDescriptors();
  const region = other.findRegion(gpa(64 * PAGE))!;
  const bitmap = region.bitmap;
  Object.defineProperty(region, "bitmap", {
    get: () => {
      memory.close();
      return bitmap;
    },
  });
  assertThrows(() => WriteTracker.start([...memory, region]), MemoryClosed);
  assertEquals(openDescriptors(), descriptors);
});

trackerTest("start() takes any collection of regions", () => {
  using memory = trackedMemory([[3 * PAGE, 2]]);
  const region = memory.findRegion(gpa(3 * PAGE))!;
  const collection = new GuestRegionCollection([region]);
  using tracker = WriteTracker.start(collection);
  region.asVolatileSlice().rawView()[PAGE] = 1;
  assertEquals(tracker.collect(), PAGE);
  assertEquals(region.bitmap.dirtyAt(offset(PAGE)), true);
  collection.close();
});
