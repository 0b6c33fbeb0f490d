import { assert, assertEquals, assertFalse, assertStrictEquals, assertThrows } from "@std/assert";
import {
  AddressSpaceLocked,
  type GuestAddressSpace,
  GuestMemoryAtomic,
  GuestMemoryError,
  GuestMemoryHeap,
  InvalidGuestAddress,
  MemoryClosed,
  u32,
} from "../../mod.ts";
import { heapRegion, heapSpace, PAGE, pageAt, plug } from "../support/address_spaces.ts";

Deno.test("GuestMemoryAtomic.memory() gives the map as it is now", async () => {
  using space = heapSpace(0, 1);
  using before = space.memory();
  for (const page of [4, 5, 6]) await plug(space, page);
  using after = space.memory();
  assertEquals([before.memory.numRegions, after.memory.numRegions], [2, 5]);
  assertThrows(() => before.memory.readObj(u32, pageAt(5)), InvalidGuestAddress);
  assertEquals(after.memory.readObj(u32, pageAt(5)), 0);
});

Deno.test("GuestMemoryAtomic.memory() does not wait for the lock", async () => {
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
  after.memory.store(u32, 7, pageAt(0));
  assertEquals(before.memory.load(u32, pageAt(0)), 7);
});

Deno.test("GuestMemoryLoadGuard.close() again does nothing to other guards", async () => {
  using space = heapSpace(0);
  const guard = space.memory();
  using other = space.memory();
  await plug(space, 1);
  guard.close();
  guard.close();
  guard[Symbol.dispose]();
  assertEquals([other.memory.closed, other.memory.readObj(u32, pageAt(0))], [false, 0]);
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
  assertThrows(() => memory.readObj(u32, pageAt(0)), MemoryClosed);
});

Deno.test("GuestMemoryAtomic owns its memory in place of its creator", () => {
  const memory = GuestMemoryHeap.fromRanges([[pageAt(0), PAGE]]);
  const space = new GuestMemoryAtomic(memory);
  memory.close();
  memory.close();
  assertEquals(space.memory().memory.readObj(u32, pageAt(0)), 0);
});

Deno.test("GuestMemoryAtomic of a closed memory is refused", () => {
  const memory = GuestMemoryHeap.fromRanges([[pageAt(0), PAGE]]);
  memory.close();
  assertThrows(() => new GuestMemoryAtomic(memory), MemoryClosed);
});

Deno.test("GuestMemoryAtomic.close() keeps the maps of guards, and closing again does nothing", () => {
  const space = heapSpace(0);
  const guard = space.memory();
  const { memory } = guard;
  space.close();
  space.close();
  space[Symbol.dispose]();
  assertEquals(memory.readObj(u32, pageAt(0)), 0);
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
    // A task that waits a while keeps the others waiting.
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

Deno.test("GuestMemoryAtomic.lock(): of many concurrent changes of the map, none is lost", async () => {
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

Deno.test("GuestMemoryAtomic.lockSync() takes a free lock, and what it publishes is seen", async () => {
  using space = heapSpace(0);
  const exclusive = space.lockSync();
  assertEquals(space.tryLock(), undefined);
  const next = space.lock();
  exclusive.replace(exclusive.memory.insertRegion(heapRegion(1)));
  using two = await next;
  assertEquals(two.memory.numRegions, 2);
  two.close();
  space.lockSync().close();
  using again = space.lockSync();
  assertStrictEquals(again.memory, two.memory);
});

Deno.test("GuestMemoryAtomic.lockSync() throws while the lock is held, and while somebody waits for it", async () => {
  using space = heapSpace(0);
  const refused = (waiting: number) => {
    const error = assertThrows(() => space.lockSync(), AddressSpaceLocked, "await lock()");
    assert(error instanceof GuestMemoryError);
    assertEquals([error.name, error.waiting], ["AddressSpaceLocked", waiting]);
  };
  const one = space.lockSync();
  refused(0);
  const next = space.lock();
  const last = space.lock();
  refused(2);
  one.close();
  // It is promised to the one who waits.
  refused(1);
  (await next).close();
  refused(0);
  using three = await last;
  assertEquals(three.memory.numRegions, 1);
  three.close();
  space.lockSync().close();
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
  using third = GuestMemoryHeap.fromRanges([[pageAt(7), PAGE]]);
  assertThrows(() => exclusive.replace(third), TypeError, "given back");
  assertThrows(() => exclusive.replace(next), TypeError, "given back");
  exclusive.close();
  const closed = await space.lock();
  closed.close();
  assertThrows(() => closed.replace(third), TypeError, "given back");
  using now = space.memory();
  assertStrictEquals(now.memory, next);
  assertEquals(third.readObj(u32, pageAt(7)), 0);
});

Deno.test("GuestMemoryExclusiveGuard.replace() by a closed memory changes nothing and keeps the lock", async () => {
  using space = heapSpace(0);
  using exclusive = await space.lock();
  const closed = GuestMemoryHeap.fromRanges([[pageAt(7), PAGE]]);
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
  assertEquals(guard.memory.readObj(u32, pageAt(0)), 0);
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
  assertEquals(now.memory.readObj(u32, pageAt(0)), 0);
});

Deno.test("GuestRegionCollection.memory() is a guard that keeps it open", () => {
  const memory = GuestMemoryHeap.fromRanges([[pageAt(0), PAGE]]);
  const guard = memory.memory();
  assertStrictEquals(guard.memory, memory);
  memory.close();
  assertEquals([memory.closed, memory.readObj(u32, pageAt(0))], [false, 0]);
  guard.close();
  assert(memory.closed);
  assertThrows(() => memory.memory(), MemoryClosed);
});

Deno.test("GuestAddressSpace is the map that changes and the one that does not", async () => {
  const read = (space: GuestAddressSpace, page: number) => {
    using guard = space.memory();
    return guard.memory.checkRange(pageAt(page), PAGE);
  };
  using fixed = GuestMemoryHeap.fromRanges([[pageAt(0), PAGE]]);
  using changing = heapSpace(0);
  await plug(changing, 1);
  assertEquals([read(fixed, 0), read(fixed, 1)], [true, false]);
  assertEquals([read(changing, 0), read(changing, 1)], [true, true]);
  assertFalse(fixed.closed);
});
