import { assertEquals, assertStrictEquals } from "@std/assert";
import fc from "fast-check";
import {
  Backing,
  FileOffset,
  GuestMemoryAtomic,
  type GuestMemoryLoadGuard,
  GuestMemoryMmap,
  type GuestRegionCollection,
  GuestRegionMmap,
  u32,
} from "../../../mod.ts";
import { PAGE, pageAt } from "../../support/address_spaces.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { type Mapping, mappingsOf } from "../../support/proc_maps.ts";
import { temporaryFile } from "../../support/temporary_file.ts";
import { offset } from "../../support/values.ts";

const FILE_PAGES = 16;

/** Regions of one separate file, so that the kernel can be asked which are mapped. */
function fileBacked() {
  const file = temporaryFile(FILE_PAGES * PAGE);
  const opened = Deno.openSync(file.path, { read: true, write: true });
  return {
    region: (page: number) =>
      GuestRegionMmap.fromRange(pageAt(page), PAGE, {
        backing: Backing.file(new FileOffset(opened, page * PAGE)),
      }),
    /** Which pages of the file are mapped, each as often as it is. */
    mapped: () => mappingsOf(file.path).flatMap(pagesOf).sort((a, b) => a - b),
    [Symbol.dispose]() {
      opened.close();
      file[Symbol.dispose]();
    },
  };
}

// Mappings of pages in a row share a line where they happen to be adjacent.
function pagesOf({ start, end, offset }: Mapping): number[] {
  return Array.from({ length: (end - start) / PAGE }, (_, i) => offset / PAGE + i);
}

linuxTest("GuestMemoryAtomic unmaps a removed region when its last holder lets go", async () => {
  using file = fileBacked();
  const memory = GuestMemoryMmap.fromRegions([file.region(0), file.region(1)]);
  using space = new GuestMemoryAtomic(memory);
  using one = space.memory();
  const two = space.memory();
  let removed: GuestRegionMmap;
  {
    using exclusive = await space.lock();
    const [rest, region] = exclusive.memory.removeRegion(pageAt(1), PAGE);
    exclusive.replace(rest);
    removed = region;
  }
  using now = space.memory();
  assertEquals(now.memory.findRegion(pageAt(1)), undefined);
  one.memory.writeObj(u32, 7, pageAt(1));
  assertEquals([two.memory.readObj(u32, pageAt(1)), removed.readObj(u32, offset(0))], [7, 7]);
  assertEquals(file.mapped(), [0, 1]);
  removed.close();
  assertEquals(file.mapped(), [0, 1]);
  one.close();
  assertEquals(file.mapped(), [0, 1]);
  assertEquals(two.memory.readObj(u32, pageAt(1)), 7);
  two.close();
  assertEquals(file.mapped(), [0]);
  now.memory.writeObj(u32, 8, pageAt(0));
});

linuxTest("GuestMemoryAtomic: whoever removed a region may be the last who holds it", async () => {
  using file = fileBacked();
  const space = new GuestMemoryAtomic(
    GuestMemoryMmap.fromRegions([file.region(0), file.region(1)]),
  );
  const exclusive = await space.lock();
  const [rest, removed] = exclusive.memory.removeRegion(pageAt(1), PAGE);
  exclusive.replace(rest);
  space.close();
  assertEquals(file.mapped(), [1]);
  assertEquals(removed.readObj(u32, offset(0)), 0);
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
    const [rest, removed] = exclusive.memory.removeRegion(pageAt(1), PAGE);
    rest.close();
    exclusive.replace(exclusive.memory.insertRegion(file.region(2)));
    space.close();
    assertEquals(file.mapped(), [1]);
    assertEquals(removed.readObj(u32, offset(0)), 0);
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
  const [rest, region] = out.memory.removeRegion(pageAt(1), PAGE);
  region.writeObj(u32, 7, offset(0));
  out.replace(rest);
  const again = await space.lock();
  again.replace(again.memory.insertRegion(region));
  region.close();
  using guard = space.memory();
  assertEquals([guard.memory.readObj(u32, pageAt(1)), file.mapped()], [7, [0, 1]]);
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

// What follows compares with a model: which regions still have references.

type Memory = GuestRegionCollection<GuestRegionMmap>;

/** The address space under test, and who has which references. */
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
      region.store(u32, 9, offset(0));
      assertEquals(region.load(u32, offset(0)), 9);
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
      const isThere = [...holders.current].some(({ startAddr }) => startAddr === pageAt(page));
      if (isThere) return;
      const old = [...holders.removed].find(({ startAddr }) => startAddr === pageAt(page));
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
