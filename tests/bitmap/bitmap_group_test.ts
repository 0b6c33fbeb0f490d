import { assertEquals } from "@std/assert";
import {
  AtomicBitmap,
  BitmapGroup,
  GuestAddress,
  GuestMemoryHeap,
  NoBitmap,
  u32,
} from "../../mod.ts";

const SIZE = 16 * 128;

function bitmapOf(pageSize = 128): AtomicBitmap {
  return new AtomicBitmap(SIZE, pageSize);
}

Deno.test("BitmapGroup passes each mark on to every member", () => {
  const fine = bitmapOf();
  const coarse = bitmapOf(1024);
  const group = new BitmapGroup([fine, NoBitmap, coarse]);
  group.markDirty(1000, 100);
  assertEquals([...fine.dirtyRuns()], [[896, 256]]);
  assertEquals([...coarse.dirtyRuns()], [[0, 2048]]);
});

Deno.test("BitmapGroup.dirtyAt() is true where a byte is dirty with any member", () => {
  const first = bitmapOf();
  const second = bitmapOf();
  const group = new BitmapGroup([first, second]);
  group.markDirty(0, 1);
  assertEquals(group.dirtyAt(0), true);
  first.reset();
  assertEquals(group.dirtyAt(127), true);
  second.reset();
  assertEquals([group.dirtyAt(0), new BitmapGroup().dirtyAt(0)], [false, false]);
});

Deno.test("BitmapGroup members take and reset their marks independently", () => {
  const [snapshot, migration] = [bitmapOf(), bitmapOf()];
  const group = new BitmapGroup([snapshot, migration]);
  group.markDirty(128, 1);
  assertEquals(snapshot.getAndReset()[0], 0b10);
  group.markDirty(256, 1);
  assertEquals([snapshot.getAndReset()[0], migration.getAndReset()[0]], [0b100, 0b110]);
});

Deno.test("BitmapGroup.add() gives a member the marks from then on", () => {
  const [first, second] = [bitmapOf(), bitmapOf()];
  const group = new BitmapGroup([first]);
  group.markDirty(0, 1);
  group.add(second);
  group.markDirty(128, 1);
  assertEquals([first.getAndReset()[0], second.getAndReset()[0]], [0b11, 0b10]);
});

Deno.test("BitmapGroup.delete() gives a member no more marks, and ignores one that is none", () => {
  const [first, second, stranger] = [bitmapOf(), bitmapOf(), bitmapOf()];
  const group = new BitmapGroup([first, second]);
  group.delete(stranger);
  group.delete(first);
  group.delete(first);
  group.markDirty(0, 1);
  assertEquals([first, second, stranger].map((bitmap) => bitmap.dirtyPages), [0, 1, 0]);
  group.delete(second);
  group.markDirty(0, SIZE);
  assertEquals(second.dirtyPages, 1);
});

Deno.test("BitmapGroup does not change with the list it was made of", () => {
  const [first, second] = [bitmapOf(), bitmapOf()];
  const members = [first];
  const group = new BitmapGroup(members);
  members.push(second);
  group.markDirty(0, 1);
  assertEquals([first.dirtyPages, second.dirtyPages], [1, 0]);
  new BitmapGroup(new Set([second])).markDirty(0, 1);
  assertEquals(second.dirtyPages, 1);
});

Deno.test("BitmapGroup.sliceAt() marks and asks from its offset on, and adds offsets up", () => {
  const [first, second] = [bitmapOf(), bitmapOf()];
  const slice = new BitmapGroup([first, second]).sliceAt(100).sliceAt(20).sliceAt(8);
  slice.markDirty(0, 1);
  for (const bitmap of [first, second]) assertEquals([...bitmap.dirtyRuns()], [[128, 128]]);
  assertEquals([slice.dirtyAt(0), slice.dirtyAt(127), slice.dirtyAt(128)], [true, true, false]);
});

Deno.test("BitmapGroup.add() and delete() apply to the slices that were taken before", () => {
  const [first, second] = [bitmapOf(), bitmapOf()];
  const group = new BitmapGroup([first]);
  const slice = group.sliceAt(128);
  const part = slice.sliceAt(128);
  group.add(second);
  slice.markDirty(0, 1);
  part.markDirty(0, 1);
  assertEquals([first.getAndReset()[0], second.getAndReset()[0]], [0b110, 0b110]);
  group.delete(first);
  slice.markDirty(0, 1);
  part.markDirty(0, 1);
  assertEquals([first.dirtyPages, second.dirtyPages], [0, 2]);
});

Deno.test("BitmapGroup of a region gives marks to consumers that come while it is used", () => {
  const group = new BitmapGroup();
  const memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), SIZE]], { bitmap: () => group });
  memory.writeObj(u32, 1, GuestAddress(0));
  const slice = memory.getSlice(GuestAddress(256), 16);
  const consumer = bitmapOf();
  group.add(consumer);
  slice.store(u32, 1, 4);
  memory.writeObj(u32, 1, GuestAddress(1024));
  assertEquals([...consumer.dirtyRuns()], [[256, 128], [1024, 128]]);
});
