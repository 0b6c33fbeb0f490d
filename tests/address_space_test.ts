import { assert, assertEquals, assertFalse, assertStrictEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  FileOffset,
  GuestAddress,
  type GuestAddressSpace,
  GuestMemoryAtomic,
  GuestMemoryHeap,
  type GuestMemoryLoadGuard,
  GuestMemoryMmap,
  type GuestRegionCollection,
  GuestRegionHeap,
  GuestRegionMmap,
  InvalidGuestAddress,
  MemoryClosed,
  MemoryRegionAddress,
  u32,
} from "../mod.ts";
import { linuxTest, type Mapping, mappingsOf, temporaryFile } from "./proc_maps.ts";

const PAGE = 4096;
const FILE_PAGES = 16;
const gpa = (page: number) => GuestAddress(page * PAGE);
const first = MemoryRegionAddress(0);

function heapRegion(page: number): GuestRegionHeap {
  return new GuestRegionHeap(gpa(page), PAGE);
}

function heapSpace(...pages: number[]): GuestMemoryAtomic<GuestMemoryHeap> {
  return new GuestMemoryAtomic(GuestMemoryHeap.fromRanges(pages.map((page) => [gpa(page), PAGE])));
}

/** Publishes a map with one more region. */
async function plug(space: GuestMemoryAtomic<GuestMemoryHeap>, page: number): Promise<void> {
  using exclusive = await space.lock();
  exclusive.replace(exclusive.memory.insertRegion(heapRegion(page)));
}

/** Regions of one file of their own, so that the kernel can be asked which are mapped. */
function fileBacked() {
  const file = temporaryFile(FILE_PAGES * PAGE);
  const opened = Deno.openSync(file.path, { read: true, write: true });
  return {
    region: (page: number) =>
      GuestRegionMmap.fromRange(gpa(page), PAGE, { file: new FileOffset(opened, page * PAGE) }),
    /** Which pages of the file are mapped, each as often as it is. */
    mapped: () => mappingsOf(file.path).flatMap(pagesOf).sort((a, b) => a - b),
    [Symbol.dispose]() {
      opened.close();
      file[Symbol.dispose]();
    },
  };
}

// Mappings of pages in a row share a line where they happen to lie in a row.
function pagesOf({ start, end, offset }: Mapping): number[] {
  return Array.from({ length: (end - start) / PAGE }, (_, i) => offset / PAGE + i);
}

Deno.test("GuestMemoryAtomic.memory() gives the map as it is now", async () => {
  using space = heapSpace(0, 1);
  using before = space.memory();
  for (const page of [4, 5, 6]) await plug(space, page);
  using after = space.memory();
  assertEquals([before.memory.numRegions, after.memory.numRegions], [2, 5]);
  assertThrows(() => before.memory.readObj(u32, gpa(5)), InvalidGuestAddress);
  assertEquals(after.memory.readObj(u32, gpa(5)), 0);
});

Deno.test("GuestMemoryAtomic.memory() does not wait for whoever has the lock", async () => {
  using space = heapSpace(0);
  using exclusive = await space.lock();
  using guard = space.memory();
  assertStrictEquals(guard.memory, exclusive.memory);
  exclusive.replace(exclusive.memory.insertRegion(heapRegion(1)));
  assertEquals(guard.memory.numRegions, 1);
});

Deno.test("GuestMemoryLoadGuard sees the writes of those who have another map", async () => {
  using space = heapSpace(0);
  using before = space.memory();
  await plug(space, 1);
  using after = space.memory();
  after.memory.store(u32, 7, gpa(0));
  assertEquals(before.memory.load(u32, gpa(0)), 7);
});

Deno.test("GuestMemoryLoadGuard.close() again does nothing to other guards", async () => {
  using space = heapSpace(0);
  const guard = space.memory();
  using other = space.memory();
  await plug(space, 1);
  guard.close();
  guard.close();
  guard[Symbol.dispose]();
  assertEquals([other.memory.closed, other.memory.readObj(u32, gpa(0))], [false, 0]);
});

Deno.test("GuestMemoryLoadGuard.clone() is closed by itself", async () => {
  using space = heapSpace(0);
  const guard = space.memory();
  const clone = guard.clone();
  await plug(space, 1);
  const { memory } = guard;
  assertStrictEquals(clone.memory, memory);
  guard.close();
  assertFalse(memory.closed);
  clone.close();
  assert(memory.closed);
  assertThrows(() => clone.clone(), MemoryClosed);
  assertThrows(() => memory.readObj(u32, gpa(0)), MemoryClosed);
});

Deno.test("GuestMemoryAtomic holds its memory in place of whoever made it", () => {
  const memory = GuestMemoryHeap.fromRanges([[gpa(0), PAGE]]);
  const space = new GuestMemoryAtomic(memory);
  memory.close();
  memory.close();
  assertEquals(space.memory().memory.readObj(u32, gpa(0)), 0);
});

Deno.test("GuestMemoryAtomic of a closed memory is refused", () => {
  const memory = GuestMemoryHeap.fromRanges([[gpa(0), PAGE]]);
  memory.close();
  assertThrows(() => new GuestMemoryAtomic(memory), MemoryClosed);
});

Deno.test("GuestMemoryAtomic.close() keeps what guards hold, and closing again does nothing", () => {
  const space = heapSpace(0);
  const guard = space.memory();
  const { memory } = guard;
  space.close();
  space.close();
  space[Symbol.dispose]();
  assertEquals(memory.readObj(u32, gpa(0)), 0);
  guard.close();
  assert(memory.closed);
  assertThrows(() => space.memory(), MemoryClosed);
});

Deno.test("GuestMemoryAtomic.lock() is given in the order it was asked for", async () => {
  using space = heapSpace(0);
  const held = await space.lock();
  const order: number[] = [];
  const waiting = Array.from({ length: 20 }, async (_, i) => {
    using exclusive = await space.lock();
    order.push(i);
    // Whoever waits a while keeps the others waiting.
    await new Promise((resolve) => setTimeout(resolve, i % 3));
    exclusive.replace(exclusive.memory.insertRegion(heapRegion(i + 1)));
  });
  await new Promise((resolve) => setTimeout(resolve, 5));
  assertEquals(order, []);
  held.close();
  await Promise.all(waiting);
  assertEquals(order, Array.from({ length: 20 }, (_, i) => i));
  using after = space.memory();
  assertEquals(after.memory.numRegions, 21);
});

Deno.test("GuestMemoryAtomic.lock() gives the map that the one before has published", async () => {
  using space = heapSpace(0);
  const one = await space.lock();
  const next = space.lock();
  one.replace(one.memory.insertRegion(heapRegion(1)));
  using two = await next;
  using now = space.memory();
  assertEquals(two.memory.numRegions, 2);
  assertStrictEquals(two.memory, now.memory);
});

Deno.test("GuestMemoryAtomic.lock(): of many who change the map at once, no change is lost", async () => {
  using space = heapSpace(0);
  await Promise.all(Array.from({ length: 100 }, (_, i) => plug(space, i + 1)));
  using guard = space.memory();
  assertEquals(guard.memory.numRegions, 101);
});

Deno.test("GuestMemoryAtomic.tryLock() takes a free lock only", async () => {
  using space = heapSpace(0);
  const one = space.tryLock()!;
  assertEquals(space.tryLock(), undefined);
  const next = space.lock();
  one.close();
  // It is promised to the one who waits.
  assertEquals(space.tryLock(), undefined);
  const two = await next;
  assertEquals(space.tryLock(), undefined);
  two.close();
  const three = space.tryLock();
  assert(three !== undefined);
  const last = space.lock();
  three.replace(three.memory.insertRegion(heapRegion(1)));
  using four = await last;
  assertEquals(four.memory.numRegions, 2);
});

Deno.test("GuestMemoryExclusiveGuard.close() without replace() changes nothing and unlocks", async () => {
  using space = heapSpace(0);
  using before = space.memory();
  {
    using exclusive = await space.lock();
    assertEquals(exclusive.memory.numRegions, 1);
  }
  const exclusive = await space.lock();
  exclusive.close();
  exclusive.close();
  using other = await space.lock();
  exclusive[Symbol.dispose]();
  assertEquals(space.tryLock(), undefined);
  using after = space.memory();
  assertStrictEquals(after.memory, before.memory);
  assertStrictEquals(other.memory, before.memory);
  assertFalse(before.memory.closed);
});

Deno.test("GuestMemoryExclusiveGuard.replace() is for once", async () => {
  using space = heapSpace(0);
  const exclusive = await space.lock();
  const next = exclusive.memory.insertRegion(heapRegion(1));
  exclusive.replace(next);
  using third = GuestMemoryHeap.fromRanges([[gpa(7), PAGE]]);
  assertThrows(() => exclusive.replace(third), TypeError, "given back");
  assertThrows(() => exclusive.replace(next), TypeError, "given back");
  exclusive.close();
  const closed = await space.lock();
  closed.close();
  assertThrows(() => closed.replace(third), TypeError, "given back");
  using now = space.memory();
  assertStrictEquals(now.memory, next);
  assertEquals(third.readObj(u32, gpa(7)), 0);
});

Deno.test("GuestMemoryExclusiveGuard.replace() by a closed memory changes nothing and keeps the lock", async () => {
  using space = heapSpace(0);
  using exclusive = await space.lock();
  const closed = GuestMemoryHeap.fromRanges([[gpa(7), PAGE]]);
  closed.close();
  assertThrows(() => exclusive.replace(closed), MemoryClosed);
  assertEquals(space.tryLock(), undefined);
  using before = space.memory();
  assertStrictEquals(before.memory, exclusive.memory);
  exclusive.replace(exclusive.memory.insertRegion(heapRegion(1)));
  using after = space.memory();
  assertEquals(after.memory.numRegions, 2);
});

Deno.test("GuestMemoryExclusiveGuard.replace() by the same memory keeps it open", async () => {
  using space = heapSpace(0);
  using exclusive = await space.lock();
  exclusive.replace(exclusive.memory);
  using guard = space.memory();
  assertEquals(guard.memory.readObj(u32, gpa(0)), 0);
});

Deno.test("GuestMemoryExclusiveGuard.replace() closes the old map with its last guard", async () => {
  using space = heapSpace(0);
  const one = space.memory();
  const two = space.memory();
  const { memory } = one;
  await plug(space, 1);
  assertFalse(memory.closed);
  two.close();
  assertFalse(memory.closed);
  one.close();
  assert(memory.closed);
  using now = space.memory();
  assertEquals(now.memory.readObj(u32, gpa(0)), 0);
});

Deno.test("GuestRegionCollection.memory() is a guard that keeps it open", () => {
  const memory = GuestMemoryHeap.fromRanges([[gpa(0), PAGE]]);
  const guard = memory.memory();
  assertStrictEquals(guard.memory, memory);
  memory.close();
  assertEquals([memory.closed, memory.readObj(u32, gpa(0))], [false, 0]);
  guard.close();
  assert(memory.closed);
  assertThrows(() => memory.memory(), MemoryClosed);
});

Deno.test("GuestAddressSpace is the map that changes and the one that does not", async () => {
  const read = (space: GuestAddressSpace, page: number) => {
    using guard = space.memory();
    return guard.memory.checkRange(gpa(page), PAGE);
  };
  using fixed = GuestMemoryHeap.fromRanges([[gpa(0), PAGE]]);
  using changing = heapSpace(0);
  await plug(changing, 1);
  assertEquals([read(fixed, 0), read(fixed, 1)], [true, false]);
  assertEquals([read(changing, 0), read(changing, 1)], [true, true]);
  assertFalse(fixed.closed);
});

linuxTest("GuestMemoryAtomic unmaps a removed region when its last holder lets go", async () => {
  using file = fileBacked();
  const memory = GuestMemoryMmap.fromRegions([file.region(0), file.region(1)]);
  using space = new GuestMemoryAtomic(memory);
  using one = space.memory();
  const two = space.memory();
  let removed: GuestRegionMmap;
  {
    using exclusive = await space.lock();
    const [rest, region] = exclusive.memory.removeRegion(gpa(1), PAGE);
    exclusive.replace(rest);
    removed = region;
  }
  using now = space.memory();
  assertEquals(now.memory.findRegion(gpa(1)), undefined);
  one.memory.writeObj(u32, 7, gpa(1));
  assertEquals([two.memory.readObj(u32, gpa(1)), removed.readObj(u32, first)], [7, 7]);
  assertEquals(file.mapped(), [0, 1]);
  removed.close();
  assertEquals(file.mapped(), [0, 1]);
  one.close();
  assertEquals(file.mapped(), [0, 1]);
  assertEquals(two.memory.readObj(u32, gpa(1)), 7);
  two.close();
  assertEquals(file.mapped(), [0]);
  now.memory.writeObj(u32, 8, gpa(0));
});

linuxTest("GuestMemoryAtomic: whoever removed a region may be the last who holds it", async () => {
  using file = fileBacked();
  const space = new GuestMemoryAtomic(
    GuestMemoryMmap.fromRegions([file.region(0), file.region(1)]),
  );
  const exclusive = await space.lock();
  const [rest, removed] = exclusive.memory.removeRegion(gpa(1), PAGE);
  exclusive.replace(rest);
  space.close();
  assertEquals(file.mapped(), [1]);
  assertEquals(removed.readObj(u32, first), 0);
  removed.close();
  assertEquals(file.mapped(), []);
});

linuxTest(
  "GuestMemoryAtomic: a removed region stays the caller's while maps that have it are made",
  async () => {
    using file = fileBacked();
    const space = new GuestMemoryAtomic(
      GuestMemoryMmap.fromRegions([file.region(0), file.region(1)]),
    );
    const exclusive = await space.lock();
    const [rest, removed] = exclusive.memory.removeRegion(gpa(1), PAGE);
    rest.close();
    exclusive.replace(exclusive.memory.insertRegion(file.region(2)));
    space.close();
    assertEquals(file.mapped(), [1]);
    assertEquals(removed.readObj(u32, first), 0);
    removed.close();
    assertEquals(file.mapped(), []);
  },
);

linuxTest("GuestMemoryAtomic plugs a region in again that was removed", async () => {
  using file = fileBacked();
  using space = new GuestMemoryAtomic(
    GuestMemoryMmap.fromRegions([file.region(0), file.region(1)]),
  );
  const out = await space.lock();
  const [rest, region] = out.memory.removeRegion(gpa(1), PAGE);
  region.writeObj(u32, 7, first);
  out.replace(rest);
  const again = await space.lock();
  again.replace(again.memory.insertRegion(region));
  region.close();
  using guard = space.memory();
  assertEquals([guard.memory.readObj(u32, gpa(1)), file.mapped()], [7, [0, 1]]);
});

linuxTest("GuestMemoryAtomic.close() unmaps what no guard holds", () => {
  using file = fileBacked();
  const space = new GuestMemoryAtomic(GuestMemoryMmap.fromRegions([file.region(3)]));
  const guard = space.memory();
  space.close();
  assertEquals(file.mapped(), [3]);
  guard.close();
  assertEquals(file.mapped(), []);
});

// What follows compares with a model: which regions somebody still holds.

type Memory = GuestRegionCollection<GuestRegionMmap>;

/** The address space under test, and who holds what. */
class Holders {
  readonly file = fileBacked();
  readonly space: GuestMemoryAtomic<Memory>;
  current: Set<GuestRegionMmap>;
  guards: { guard: GuestMemoryLoadGuard<Memory>; regions: Set<GuestRegionMmap> }[] = [];
  removed: Set<GuestRegionMmap> = new Set();

  constructor() {
    const region = this.file.region(0);
    this.current = new Set([region]);
    this.space = new GuestMemoryAtomic<Memory>(GuestMemoryMmap.fromRegions([region]));
  }

  held(): number[] {
    const all = [this.current, this.removed, ...this.guards.map(({ regions }) => regions)];
    const regions = new Set(all.flatMap((regions) => [...regions]));
    return [...regions].map(({ startAddr }) => startAddr / PAGE).sort((a, b) => a - b);
  }

  check(): void {
    assertEquals(this.file.mapped(), this.held());
    using now = this.space.memory();
    for (const { guard, regions } of [...this.guards, { guard: now, regions: this.current }]) {
      assertEquals(new Set(guard.memory), regions);
      for (const { startAddr } of regions) {
        guard.memory.store(u32, startAddr + 1, startAddr);
        assertEquals(guard.memory.load(u32, startAddr), startAddr + 1);
      }
    }
    for (const region of this.removed) {
      region.store(u32, 9, first);
      assertEquals(region.load(u32, first), 9);
    }
  }
}

type Step = (holders: Holders) => Promise<void> | void;

function pick<T>(list: Iterable<T>, which: number): T | undefined {
  const all = [...list];
  return all[which % Math.max(all.length, 1)];
}

const which = fc.nat(100);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(fc.nat(FILE_PAGES - 1), fc.boolean(), fc.boolean())
    .map(([page, reuse, publish]): Step => async (holders) => {
      const isThere = [...holders.current].some(({ startAddr }) => startAddr === gpa(page));
      if (isThere) return;
      const old = [...holders.removed].find(({ startAddr }) => startAddr === gpa(page));
      const region = reuse && publish && old || holders.file.region(page);
      using exclusive = await holders.space.lock();
      const next = exclusive.memory.insertRegion(region);
      if (!publish) return next.close();
      exclusive.replace(next);
      holders.current = new Set([...holders.current, region]);
      holders.removed.delete(region);
    }),
  fc.tuple(which, fc.boolean()).map(([which, publish]): Step => async (holders) => {
    const region = pick(holders.current, which);
    if (region === undefined) return;
    using exclusive = await holders.space.lock();
    const [rest, removed] = exclusive.memory.removeRegion(region.startAddr, PAGE);
    assertStrictEquals(removed, region);
    if (publish) {
      exclusive.replace(rest);
      holders.current = new Set([...holders.current].filter((other) => other !== region));
      holders.removed.add(region);
    } else {
      rest.close();
      removed.close();
    }
  }),
  which.map((which): Step => (holders) => {
    const region = pick(holders.removed, which);
    region?.close();
    region?.close();
    holders.removed.delete(region!);
  }),
  fc.constant<Step>((holders) => {
    holders.guards.push({ guard: holders.space.memory(), regions: holders.current });
  }),
  which.map((which): Step => (holders) => {
    const held = pick(holders.guards, which);
    if (held === undefined) return;
    holders.guards.push({ guard: held.guard.clone(), regions: held.regions });
  }),
  fc.tuple(which, fc.boolean()).map(([which, twice]): Step => (holders) => {
    const held = pick(holders.guards, which);
    held?.guard.close();
    if (twice) held?.guard.close();
    holders.guards = holders.guards.filter((other) => other !== held);
  }),
);

linuxTest("GuestMemoryAtomic keeps mapped what somebody holds, and nothing else", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30, size: "max" }), async (steps) => {
      const holders = new Holders();
      using _ = holders.file;
      for (const step of steps) {
        await step(holders);
        holders.check();
      }
      holders.space.close();
      holders.current = new Set();
      assertEquals(holders.file.mapped(), holders.held());
      for (const { guard } of holders.guards) guard.close();
      holders.guards = [];
      assertEquals(holders.file.mapped(), holders.held());
      for (const region of holders.removed) region.close();
      assertEquals(holders.file.mapped(), []);
    }),
    { numRuns: 60 },
  );
});
