import { assertEquals, assertThrows } from "@std/assert";
import { closeSync, fstatSync, openSync } from "node:fs";
import {
  AtomicBitmap,
  Cursor,
  Fd,
  GuestAddress,
  GuestMemoryMmap,
  IOError,
  PartialBuffer,
  u64,
} from "../../mod.ts";
import { broken, inPieces, sevens } from "../support/writes.ts";

/** Memory of two adjacent regions, a hole and another region, and the runs that were marked. */
function threeRegions() {
  const bitmaps: AtomicBitmap[] = [];
  const memory = GuestMemoryMmap.fromRanges(
    [[GuestAddress(0), 64], [GuestAddress(64), 64], [GuestAddress(256), 64]],
    {
      bitmap(length) {
        bitmaps.push(new AtomicBitmap(length, 1));
        return bitmaps.at(-1)!;
      },
    },
  );
  return {
    memory,
    marked() {
      const runs = bitmaps.map((bitmap) => [...bitmap.dirtyRuns()]);
      for (const bitmap of bitmaps) bitmap.reset();
      return runs;
    },
    [Symbol.dispose]: () => memory.close(),
  };
}

Deno.test("GuestMemory marks in each region the part that it wrote there", () => {
  using three = threeRegions();
  const { memory, marked } = three;
  const at = GuestAddress(60);
  const writes: (() => unknown)[] = [
    () => memory.write(sevens(8), at),
    () => memory.writeSlice(sevens(8), at),
    () => memory.writeObj(u64, 7n, at),
    () => memory.readVolatileFrom(at, new Cursor(sevens(8)), 8),
    () => memory.readExactVolatileFrom(at, inPieces(3), 8),
  ];
  for (const write of writes) {
    write();
    assertEquals(marked(), [[[60, 4]], [[0, 4]], []], `${write}`);
  }
});

Deno.test("GuestMemory marks up to a hole, and nothing beyond it", () => {
  using three = threeRegions();
  const { memory, marked } = three;
  const at = GuestAddress(120);
  const writes: (() => unknown)[] = [
    () => memory.write(sevens(200), at),
    () => assertThrows(() => memory.writeSlice(sevens(200), at), PartialBuffer),
    () => memory.readVolatileFrom(at, new Cursor(sevens(200)), 200),
    () => assertThrows(() => memory.readExactVolatileFrom(at, inPieces(3), 200), PartialBuffer),
  ];
  for (const write of writes) {
    write();
    assertEquals(marked(), [[], [[56, 8]], []], `${write}`);
  }
});

Deno.test("GuestMemory marks a prefix where the source is short in one region", () => {
  using three = threeRegions();
  const { memory, marked } = three;
  memory.readVolatileFrom(GuestAddress(50), new Cursor(sevens(6)), 40);
  assertEquals(marked(), [[[50, 6]], [], []]);
  memory.readVolatileFrom(GuestAddress(50), new Cursor(sevens(20)), 40);
  assertEquals(marked(), [[[50, 14]], [[0, 6]], []]);
});

Deno.test("GuestMemory.writeObj() over two regions with a codec that throws marks nothing", () => {
  using three = threeRegions();
  const { memory, marked } = three;
  assertThrows(() => memory.writeObj(broken, 7, GuestAddress(60)), TypeError);
  assertEquals(marked(), [[], [], []]);
  assertEquals(memory.readObj(u64, GuestAddress(60)), 0n);
});

Deno.test("GuestMemory marks nothing for an atomic access over two regions", () => {
  using three = threeRegions();
  const { memory, marked } = three;
  assertThrows(() => memory.store(u64, 7n, GuestAddress(60)));
  assertThrows(() => memory.getAtomicRef(u64, GuestAddress(60)).fetchAdd(7n));
  assertEquals(marked(), [[], [], []]);
});

Deno.test("GuestMemory.getSlices() gives slices that mark where they lie", () => {
  using three = threeRegions();
  const { memory, marked } = three;
  for (const slice of memory.getSlices(GuestAddress(60), 8)) slice.write(sevens(2), 1);
  assertEquals(marked(), [[[61, 2]], [[1, 2]], []]);
});

Deno.test("Fd marks what one read brought into several regions, and all where it fails", () => {
  using three = threeRegions();
  const { memory, marked } = three;
  const opened = openSync(new URL(import.meta.url), "r");
  using stack = new DisposableStack();
  stack.defer(() => closeSync(opened));
  const fd = new Fd(opened).at(fstatSync(opened).size - 10);
  assertEquals(memory.readVolatileFrom(GuestAddress(60), fd, 40), 10);
  assertEquals(marked(), [[[60, 4]], [[0, 6]], []]);
  assertEquals(memory.readVolatileFrom(GuestAddress(60), fd, 40), 0);
  assertEquals(marked(), [[], [], []]);
  const closed = new Fd(2 ** 31 - 1);
  assertThrows(() => memory.readVolatileFrom(GuestAddress(60), closed, 40), IOError);
  assertEquals(marked(), [[[60, 4]], [[0, 36]], []]);
  assertThrows(() => memory.readVolatileFrom(GuestAddress(256), closed, 40), IOError);
  assertEquals(marked(), [[], [], [[0, 40]]]);
});
