import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  CannotResolve,
  dirtyRuns,
  GuestMemory,
  type GuestMemoryRegion,
  GuestRegionHeap,
  InvalidBackendAddress,
  type Iommu,
  IommuError,
  IommuMemory,
  MemoryClosed,
  Misaligned,
  Permissions,
  u16,
  u32,
  u64,
  u8,
} from "../../mod.ts";
import { TranslationCache } from "../../src/iommu/translation_cache.ts";
import { OPERATIONS, physicalMemory, TableIommu } from "../support/iommu.ts";
import { content, count, gpa } from "../support/values.ts";

const { Read, ReadWrite, Write } = Permissions;

/** A table with a generation: translations may be remembered. */
class CountingIommu extends TableIommu {
  get generation(): number {
    return this.tlb.generation;
  }

  /** What was asked since the last call. */
  take(): TableIommu["asked"] {
    return this.asked.splice(0);
  }
}

/** Pages of 16 bytes at IOVA 0x1000, the first at 32 and the second at 96. */
function remembering() {
  const physical = physicalMemory();
  const iommu = new CountingIommu().map(0x1000, 32).map(0x1010, 96);
  const bitmap = new AtomicBitmap(0x2000, 1);
  const memory = new IommuMemory(physical, iommu, { bitmap, pageSize: 16 });
  return { physical, iommu, bitmap, memory };
}

// After it, the pages are remembered: nothing is right after a change.
function warm(memory: IommuMemory): void {
  for (let i = 0; i < 2; i++) {
    memory.readObj(u32, gpa(0x1000));
    memory.writeObj(u32, 0, gpa(0x1000));
  }
}

Deno.test("IommuMemory translates a page once as long as the generation stays the same", () => {
  const { physical, iommu, memory } = remembering();
  warm(memory);
  assertEquals(iommu.take(), [
    [0x1000, 4, Read],
    [0x1000, 4, Write],
    [0x1000, 16, Write],
    [0x1000, 4, Read],
    [0x1000, 16, Read],
  ]);
  memory.writeObj(u32, 7, gpa(0x1004));
  assertEquals(memory.write(count(6), gpa(0x1009)), 6);
  memory.store(u16, 9, gpa(0x1002));
  assertEquals([memory.load(u16, gpa(0x1002)), memory.readObj(u32, gpa(0x1004))], [9, 7]);
  assertEquals(content(memory, 0x1009, 6), count(6));
  assertEquals(iommu.take(), []);
  assertEquals(content(physical, 41, 6), count(6));
});

Deno.test("IommuMemory refuses a range beyond 2^53 that begins in a remembered page", () => {
  const start = 2 ** 53 - 16;
  const iommu = new CountingIommu().map(start, 32);
  const memory = new IommuMemory(physicalMemory(), iommu, { pageSize: 16 });
  for (let i = 0; i < 3; i++) {
    assertEquals(memory.write(count(6), gpa(start + 10)), 6);
    assertEquals(memory.read(new Uint8Array(6), gpa(start + 10)), 6);
    // The sum of address and length would be rounded to 2^53.
    assertThrows(() => memory.write(count(7), gpa(start + 10)), IommuError);
    assertThrows(() => memory.read(new Uint8Array(7), gpa(start + 10)), IommuError);
  }
});

Deno.test("IommuMemory without a generation remembers nothing", () => {
  const iommu = new TableIommu().map(0x1000, 32);
  const memory = new IommuMemory(physicalMemory(), iommu, { pageSize: 16 });
  for (let i = 0; i < 5; i++) memory.readObj(u32, gpa(0x1000));
  assertEquals(iommu.asked.length, 5);
});

for (const generation of ["1", 1n, null, {}, NaN] as unknown as number[]) {
  Deno.test(`IommuMemory remembers nothing for a generation that is ${typeof generation} ${generation}`, () => {
    const iommu = Object.assign(new TableIommu().map(0x1000, 32), { generation });
    const memory = new IommuMemory(physicalMemory(), iommu, { pageSize: 16 });
    for (let i = 0; i < 5; i++) memory.readObj(u32, gpa(0x1000));
    assertEquals(iommu.asked.length, 5);
  });
}

const CHANGES: Readonly<Record<string, (iommu: CountingIommu) => void>> = {
  "invalidateMapping": ({ tlb }) => tlb.invalidateMapping(gpa(0x100f), 1),
  "invalidateAll": ({ tlb }) => tlb.invalidateAll(),
  "setMapping without permissions": (iommu) => iommu.map(0x1000, 32, 16, Permissions.No),
};

for (const [name, change] of Object.entries(CHANGES)) {
  for (const [operation, needs, run] of OPERATIONS) {
    Deno.test(`IommuMemory.${operation} of a page that is remembered fails after ${name}`, () => {
      const { physical, iommu, bitmap, memory } = remembering();
      for (let i = 0; i < 3; i++) run(memory, gpa(0x1008));
      bitmap.reset();
      for (const region of physical) region.bitmap.reset();
      const before = content(physical, 0, 128);
      change(iommu);
      assertThrows(() => run(memory, gpa(0x1008)), CannotResolve);
      assertEquals(content(physical, 0, 128), before, `${needs}`);
      assertEquals([[...bitmap.dirtyRuns()], [...dirtyRuns(physical)]], [[], []]);
    });
  }
}

Deno.test("IommuMemory follows a page that moves", () => {
  const { physical, iommu, memory } = remembering();
  warm(memory);
  physical.writeObj(u32, 5, gpa(200));
  iommu.map(0x1000, 200);
  assertEquals(memory.readObj(u32, gpa(0x1000)), 5);
  warm(memory);
  memory.writeObj(u32, 8, gpa(0x1004));
  assertEquals(physical.readObj(u32, gpa(204)), 8);
});

Deno.test("IommuMemory remembers what may be read and what may be written apart", () => {
  const { iommu, memory } = remembering();
  iommu.map(0x1000, 32, 16, Read);
  for (let i = 0; i < 3; i++) memory.readObj(u32, gpa(0x1000));
  assertThrows(() => memory.writeObj(u32, 1, gpa(0x1000)), CannotResolve);
  iommu.map(0x1000, 32, 16, Write);
  for (let i = 0; i < 3; i++) memory.writeObj(u32, 1, gpa(0x1000));
  assertThrows(() => memory.readObj(u32, gpa(0x1000)), CannotResolve);
});

Deno.test("IommuMemory uses nothing that is remembered while it is disabled", () => {
  const { physical, memory } = remembering();
  const reference = memory.getAtomicRef(u32, gpa(0x1000));
  reference.store(3);
  warm(memory);
  reference.store(3);
  memory.enabled = false;
  assertThrows(() => memory.readObj(u32, gpa(0x1000)));
  assertThrows(() => reference.load());
  assertEquals(memory.readObj(u32, gpa(32)), 3);
  memory.enabled = true;
  assertEquals([memory.readObj(u32, gpa(0x1000)), reference.load()], [3, 3]);
  assertEquals(physical.readObj(u32, gpa(32)), 3);
});

Deno.test("AtomicRef behind an IOMMU follows the address when the generation changes", () => {
  const { physical, iommu, bitmap, memory } = remembering();
  const reference = memory.getAtomicRef(u32, gpa(0x1004));
  reference.store(1);
  iommu.map(0x1000, 64);
  assertEquals([reference.load(), reference.fetchAdd(5), reference.load()], [0, 0, 5]);
  assertEquals([physical.readObj(u32, gpa(36)), physical.readObj(u32, gpa(68))], [1, 5]);
  iommu.take();
  for (let i = 0; i < 3; i++) reference.fetchOr(2);
  assertEquals(iommu.take(), []);
  assertEquals([...bitmap.dirtyRuns()], [[0x1004, 4]]);
  assertEquals([...dirtyRuns(physical)], [[gpa(36), 4], [gpa(68), 4]]);
  iommu.map(0x1000, 62);
  assertThrows(() => reference.load(), InvalidBackendAddress);
  iommu.map(0x1000, 66);
  assertThrows(() => reference.fetchAdd(1), Misaligned);
  iommu.tlb.invalidateAll();
  for (let i = 0; i < 2; i++) assertThrows(() => reference.exchange(1), CannotResolve);
  iommu.map(0x1000, 64);
  assertEquals(reference.load(), 7);
});

Deno.test("AtomicRef behind an IOMMU without a generation stays where it was translated to", () => {
  const physical = physicalMemory();
  const iommu = new TableIommu().map(0x1000, 32);
  const reference = new IommuMemory(physical, iommu).getAtomicRef(u32, gpa(0x1004));
  iommu.tlb.invalidateAll();
  reference.store(4);
  assertEquals(physical.readObj(u32, gpa(36)), 4);
});

Deno.test("IommuMemory refuses a page of memory that was closed", () => {
  const { physical, memory } = remembering();
  warm(memory);
  const reference = memory.getAtomicRef(u32, gpa(0x1000));
  physical.close();
  for (const [name, , run] of OPERATIONS) {
    assertThrows(() => run(memory, gpa(0x1000)), MemoryClosed, undefined, name);
  }
  assertThrows(() => reference.load(), MemoryClosed);
});

Deno.test("IommuMemory refuses a page of a closed map whose region another map holds", () => {
  const { physical, memory } = remembering();
  warm(memory);
  using other = physical.insertRegion(new GuestRegionHeap(gpa(0x8000), 16));
  physical.close();
  assertThrows(() => memory.readObj(u32, gpa(0x1000)), MemoryClosed);
  assertEquals(other.readObj(u32, gpa(32)), 0);
});

class ChangingMemory extends GuestMemory {
  region: GuestMemoryRegion | undefined = new GuestRegionHeap(gpa(0), 256);

  findRegion(): GuestMemoryRegion | undefined {
    return this.region;
  }

  *[Symbol.iterator](): Generator<GuestMemoryRegion> {
    if (this.region !== undefined) yield this.region;
  }
}

Deno.test("IommuMemory asks a custom memory for its regions at each access", () => {
  const physical = new ChangingMemory();
  const iommu = new CountingIommu().map(0x1000, 32);
  const memory = new IommuMemory(physical, iommu, { pageSize: 16 });
  warm(memory);
  const first = physical.region!;
  const second = new GuestRegionHeap(gpa(0), 256);
  physical.region = second;
  memory.writeObj(u32, 6, gpa(0x1000));
  assertEquals(second.asVolatileSlice().readObj(u32, 32), 6);
  assertEquals(first.asVolatileSlice().readObj(u32, 32), 0);
  physical.region = undefined;
  assertThrows(() => memory.readObj(u32, gpa(0x1000)));
});

Deno.test("a page that is translated ahead and fails is not an error, and is asked once", () => {
  const physical = physicalMemory();
  const iommu = new CountingIommu().map(0x1000, 32, 8);
  const memory = new IommuMemory(physical, iommu, { pageSize: 16 });
  for (let i = 0; i < 4; i++) memory.writeObj(u32, i, gpa(0x1000));
  assertEquals(iommu.take().filter(([, length]) => length === 16).length, 1);
  assertThrows(() => memory.readObj(u32, gpa(0x1008)), CannotResolve);
  // Nothing is translated ahead of an access that fails.
  assertEquals(iommu.take(), [[0x1008, 4, Read]]);
});

Deno.test("a page in two pieces of memory is accessed piece by piece", () => {
  const { physical, memory, iommu } = remembering();
  iommu.map(0x1000, 56).map(0x1010, 120);
  for (let i = 0; i < 3; i++) {
    memory.writeObj(u64, 0x0807060504030201n, gpa(0x1004));
    assertEquals(content(physical, 60, 8), count(8));
    assertThrows(() => memory.load(u16, gpa(0x1018)));
  }
});

Deno.test("values and copies over two remembered pages are right", () => {
  const { physical, memory } = remembering();
  for (let i = 0; i < 3; i++) {
    memory.write(count(32), gpa(0x1000));
    memory.writeObj(u64, 0x0807060504030201n, gpa(0x100c));
    assertEquals([...content(physical, 44, 4), ...content(physical, 96, 4)], [...count(8)]);
    assertEquals(memory.readObj(u64, gpa(0x100c)), 0x0807060504030201n);
  }
});

Deno.test("addresses that are none are refused with pages remembered", () => {
  const { memory, iommu } = remembering();
  warm(memory);
  for (const bad of [0x1000 + 0.5, -1, NaN, Infinity, 2 ** 53]) {
    assertThrows(() => memory.readObj(u8, bad as never), IommuError, undefined, `${bad}`);
    assertThrows(() => memory.write(count(2), bad as never), IommuError, undefined, `${bad}`);
  }
  for (const bad of ["4096", 4096n, null, {}]) {
    assertThrows(() => memory.readObj(u8, bad as never), TypeError);
  }
  iommu.take();
  assertEquals(memory.read(new Uint8Array(0), gpa(0x1000)), 0);
});

/** An IOMMU whose generation runs code. */
function hostile(generation: (iommu: CountingIommu) => number) {
  const table = new CountingIommu().map(0x1000, 32);
  const physical = physicalMemory();
  const iommu: Iommu = {
    translate: (iova, length, permissions) => table.translate(iova, length, permissions),
    get generation() {
      return generation(table);
    },
  };
  return { table, physical, memory: new IommuMemory(physical, iommu, { pageSize: 16 }) };
}

Deno.test("a generation whose getter removes the mapping ends what is remembered", () => {
  let armed = false;
  const { memory } = hostile(({ tlb }) => {
    if (armed) tlb.invalidateAll();
    return tlb.generation;
  });
  warm(memory);
  const reference = memory.getAtomicRef(u32, gpa(0x1000));
  reference.store(1);
  armed = true;
  assertThrows(() => memory.readObj(u32, gpa(0x1000)), CannotResolve);
  assertThrows(() => memory.writeObj(u32, 1, gpa(0x1000)), CannotResolve);
  assertThrows(() => reference.load(), CannotResolve);
});

Deno.test("a generation whose getter disables the IOMMU, closes the memory or throws is obeyed", () => {
  let act = () => {};
  const { memory, physical } = hostile(({ tlb }) => {
    act();
    return tlb.generation;
  });
  warm(memory);
  physical.writeObj(u32, 4, gpa(32));
  act = () => {
    throw new Error("unplugged");
  };
  assertThrows(() => memory.readObj(u32, gpa(0x1000)), Error, "unplugged");
  act = () => {
    memory.enabled = false;
  };
  assertEquals(memory.readObj(u32, gpa(32)), 4);
  act = () => {
    memory.enabled = true;
    physical.close();
  };
  assertThrows(() => memory.readObj(u32, gpa(0x1000)), MemoryClosed);
});

Deno.test("mappings that change while they are translated are not remembered as they were", () => {
  const physical = physicalMemory();
  const table = new CountingIommu().map(0x1000, 32);
  let nested = false;
  const memory: IommuMemory = new IommuMemory(physical, {
    translate(iova, length, permissions) {
      const ranges = table.translate(iova, length, permissions);
      // The answer is right when it is given; the page moves before it can be used.
      if (length === 16 && !nested) {
        nested = true;
        table.map(0x1000, 96);
        warm(memory);
      }
      return ranges;
    },
    get generation() {
      return table.generation;
    },
  }, { pageSize: 16 });
  for (let i = 0; i < 3; i++) memory.readObj(u32, gpa(0x1000));
  assert(nested);
  physical.writeObj(u32, 7, gpa(96));
  assertEquals(memory.readObj(u32, gpa(0x1000)), 7);
});

Deno.test("IommuMemory marks what it writes to remembered pages by both kinds of address", () => {
  const { physical, bitmap, memory } = remembering();
  warm(memory);
  bitmap.reset();
  for (const region of physical) region.bitmap.reset();
  memory.writeObj(u32, 1, gpa(0x1004));
  memory.write(count(2), gpa(0x1009));
  memory.store(u16, 1, gpa(0x100e));
  memory.readObj(u32, gpa(0x1000));
  assertEquals([...bitmap.dirtyRuns()], [[0x1004, 4], [0x1009, 2], [0x100e, 2]]);
  assertEquals([...dirtyRuns(physical)], [[gpa(36), 4], [gpa(41), 2], [gpa(46), 2]]);
});

Deno.test("IommuMemory.withReplacedBackend() shares no remembered page", () => {
  const { physical, iommu, memory } = remembering();
  warm(memory);
  const other = physicalMemory();
  const replaced = memory.withReplacedBackend(other);
  warm(replaced);
  replaced.writeObj(u32, 3, gpa(0x1000));
  assertEquals([other.readObj(u32, gpa(32)), physical.readObj(u32, gpa(32))], [3, 0]);
  // Pages of the same size.
  assertEquals(iommu.take().at(-1), [0x1000, 16, Read]);
});

Deno.test("Iotlb.generation changes with every mapping, and not with a look-up", () => {
  const { tlb } = new TableIommu();
  const seen = new Set([tlb.generation]);
  tlb.setMapping(gpa(0), gpa(0), 16, ReadWrite);
  seen.add(tlb.generation);
  tlb.setMapping(gpa(0), gpa(16), 16, ReadWrite);
  seen.add(tlb.generation);
  tlb.invalidateMapping(gpa(0), 1);
  seen.add(tlb.generation);
  tlb.invalidateAll();
  seen.add(tlb.generation);
  assertEquals(seen.size, 5);
  const last = tlb.generation;
  tlb.lookup(gpa(0), 0, Read);
  assertThrows(() => tlb.lookup(gpa(0), 1, Read));
  assertEquals(tlb.generation, last);
});

for (const pageSize of [0, -4096, 3, 0.5, NaN, Infinity, 2 ** 31]) {
  Deno.test(`IommuMemory refuses pages of ${pageSize} bytes`, () => {
    const make = () => new IommuMemory(physicalMemory(), new TableIommu(), { pageSize });
    assertThrows(make, RangeError, "it must be a power of two");
  });
}

Deno.test("TranslationCache keeps the last page of each slot for one generation", () => {
  const cache = new TranslationCache(4096);
  const page = (iova: number) => ({
    iova,
    end: iova + 4096,
    physical: gpa(0),
    region: undefined,
    piece: undefined,
  });
  assertEquals([cache.keep(1), cache.keep(1)], [false, true]);
  const [first, second, last] = [page(0), page(64 * 4096), page(2 ** 53 - 4096)];
  for (const each of [first, second, last]) cache.add(1, Write, each);
  assertStrictEquals(cache.find(64 * 4096, 4096, Write), second);
  assertStrictEquals(cache.find(2 ** 53 - 8, 8, Write), last);
  assertEquals(cache.find(0, 1, Write), undefined);
  assertEquals(cache.find(64 * 4096, 1, Read), undefined);
  assertEquals(cache.find(64 * 4096, 4097, Write), undefined);
  assertEquals(cache.find(64 * 4096, 0, Write), undefined);
  cache.add(2, Read, first);
  assertEquals(cache.find(0, 1, Read), undefined);
  assertEquals(cache.keep(2), false);
  assertEquals(cache.find(64 * 4096, 1, Write), undefined);
});
