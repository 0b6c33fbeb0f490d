import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  type Bitmap,
  Cursor,
  dirtyRuns,
  type GuestDirtyRun,
  IOError,
  IommuMemory,
  NoBitmap,
  u16,
  u32,
  u64,
  u8,
} from "../../mod.ts";
import { PAGE, physicalMemory, scattered, TableIommu, Vectored } from "../support/iommu.ts";
import { count, gpa } from "../support/values.ts";

/** Where the scattered pages are: the runs of the physical bytes of I/O virtual runs. */
function physicalRuns(runs: Iterable<readonly [start: number, length: number]>): GuestDirtyRun[] {
  const pages = [96, 56, 0];
  const bitmap = new AtomicBitmap(256, 1);
  for (const [start, length] of runs) {
    for (let at = start; at < start + length; at++) {
      bitmap.setBit(pages[(at - 0x1000) >> 4]! + at % PAGE);
    }
  }
  return [...bitmap.dirtyRuns()].map(([start, length]) => [gpa(start), length]);
}

Deno.test("writes behind an IOMMU are marked by I/O virtual address, and in physical memory", () => {
  const { physical, memory, bitmap } = scattered();
  const marks = (run: () => unknown) => {
    bitmap.reset();
    for (const region of physical) region.bitmap.reset();
    run();
    const runs = [...bitmap.dirtyRuns()];
    assertEquals([...dirtyRuns(physical)], physicalRuns(runs));
    return runs;
  };
  assertEquals(marks(() => memory.write(count(30), gpa(0x1002))), [[0x1002, 30]]);
  assertEquals(marks(() => memory.writeSlice(count(3), gpa(0x100f))), [[0x100f, 3]]);
  assertEquals(marks(() => memory.writeObj(u64, 1n, gpa(0x101c))), [[0x101c, 8]]);
  assertEquals(marks(() => memory.writeObj(u16, 1, gpa(0x1000))), [[0x1000, 2]]);
  assertEquals(marks(() => memory.store(u32, 1, gpa(0x1004))), [[0x1004, 4]]);
  assertEquals(marks(() => memory.getAtomicRef(u32, gpa(0x1024)).fetchXor(1)), [[0x1024, 4]]);
  assertEquals(
    marks(() => memory.readVolatileFrom(gpa(0x1008), new Cursor(count(11)), 40)),
    [[0x1008, 11]],
  );
  assertEquals(
    marks(() => memory.readExactVolatileFrom(gpa(0x1008), new Vectored(5), 40)),
    [[0x1008, 40]],
  );
  assertEquals(
    marks(() =>
      memory.readVolatileFrom(gpa(0x1008), { readSync: (view) => view.fill(1).length }, 40)
    ),
    [[0x1008, 40]],
  );
  assertEquals(
    marks(() => {
      for (const slice of memory.getSlices(gpa(0x1008), 40)) slice.offset(2).writeObj(u8, 1, 1);
    }),
    [[0x100b, 1], [0x1013, 1], [0x101b, 1], [0x1023, 1]],
  );
  assertEquals(
    marks(() => {
      memory.read(new Uint8Array(48), gpa(0x1000));
      memory.load(u32, gpa(0x1004));
      memory.writeVolatileTo(gpa(0x1000), new Cursor(new Uint8Array(48)), 48);
      [...memory.getSlices(gpa(0x1000), 48)];
    }),
    [],
  );
});

Deno.test("two pages at one physical page are marked apart", () => {
  const physical = physicalMemory();
  const bitmap = new AtomicBitmap(64, 1);
  const memory = new IommuMemory(physical, new TableIommu().map(0, 32).map(48, 32), { bitmap });
  memory.writeObj(u8, 7, gpa(50));
  assertEquals(memory.readObj(u8, gpa(2)), 7);
  assertEquals([...bitmap.dirtyRuns()], [[50, 1]]);
  assertEquals([...dirtyRuns(physical)], [[gpa(34), 1]]);
});

Deno.test("a failing read marks all of its range by both kinds of address", () => {
  const { physical, memory, bitmap } = scattered();
  const failing = {
    readSync() {
      throw new Error("unplugged");
    },
  };
  assertThrows(() => memory.readVolatileFrom(gpa(0x1004), failing, 10), IOError);
  assertEquals([...bitmap.dirtyRuns()], [[0x1004, 10]]);
  assertEquals([...dirtyRuns(physical)], [[gpa(100), 10]]);
});

Deno.test("writes with the IOMMU disabled are marked in physical memory only", () => {
  const { physical, memory, bitmap } = scattered();
  memory.enabled = false;
  memory.write(count(10), gpa(60));
  memory.store(u16, 1, gpa(100));
  memory.readExactVolatileFrom(gpa(200), new Vectored(), 5);
  assertEquals([...dirtyRuns(physical)], [[gpa(60), 10], [gpa(100), 2], [gpa(200), 5]]);
  assertEquals(bitmap.dirtyPages, 0);
});

Deno.test("IommuMemory without a bitmap marks the physical memory's", () => {
  const physical = physicalMemory();
  const memory = new IommuMemory(physical, new TableIommu().map(0, 0));
  const bitmap: Bitmap = memory.bitmap;
  assertStrictEquals(bitmap, NoBitmap);
  memory.write(count(10), gpa(0));
  memory.store(u32, 1, gpa(12));
  memory.getAtomicRef(u8, gpa(11)).fetchAdd(1);
  assertEquals([...dirtyRuns(physical)], [[gpa(0), 10], [gpa(11), 5]]);
});
