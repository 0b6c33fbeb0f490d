import { assertEquals, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  Cursor,
  GuestMemoryAtomic,
  GuestMemoryHeap,
  MemoryClosed,
  u16,
  u32,
} from "../../mod.ts";
import {
  ChainUsed,
  InvalidAvailRingIndex,
  InvalidChain,
  InvalidQueue,
  MockDriver,
  Virtqueue,
} from "../../src/virtio/mod.ts";
import { count, gpa } from "../support/values.ts";

const SIZE = 8;
const LENGTH = 0x4000;

/** A driver and a device over the same memory. */
function pair(features: { eventIdx?: boolean; indirect?: boolean } = {}) {
  const memory = GuestMemoryHeap.fromRanges([[gpa(0), LENGTH]]);
  const driver = new MockDriver(memory, { size: SIZE, base: gpa(0), length: LENGTH, ...features });
  return { memory, driver, queue: new Virtqueue(memory, driver.state) };
}

Deno.test("Virtqueue takes chains in order, and gives them back in any", () => {
  const { driver, queue } = pair();
  const heads = [1, 2, 3].map((first) => driver.add([count(4, first)], [4]));
  const chains = [queue.pop()!, queue.pop()!, queue.pop()!];
  assertEquals(queue.pop(), undefined);
  assertEquals(chains.map(({ head }) => head), heads);
  for (const i of [2, 0, 1]) {
    const { readable, writable } = chains[i]!;
    const bytes = new Uint8Array(readable.remaining);
    readable.readSlice(bytes);
    writable.writeSlice(bytes.toReversed());
    queue.addUsed(chains[i]!, 4);
  }
  for (const i of [2, 0, 1]) {
    assertEquals(driver.takeUsed(), { head: heads[i]!, written: count(4, i + 1).toReversed() });
  }
  assertEquals([driver.takeUsed(), driver.pending], [undefined, 0]);
});

Deno.test("Virtqueue.pop() throws for a wrong chain, and takes the next one then", () => {
  const { memory, driver, queue } = pair();
  const wrong = driver.add([count(4)])!;
  const right = driver.add([count(4)])!;
  // flags of its descriptor: next, which leads to itself.
  memory.writeObj(u16, 1, gpa(wrong * 16 + 12));
  memory.writeObj(u16, wrong, gpa(wrong * 16 + 14));
  const error = assertThrows(() => queue.pop(), InvalidChain);
  assertEquals([error.head, error.descriptor, error.problem], [wrong, wrong, "loop"]);
  assertEquals(queue.pop()?.head, right);
  queue.addUsed(error.head, 0);
  assertEquals(driver.takeUsed(), { head: wrong, written: new Uint8Array(0) });
});

Deno.test("Virtqueue.addUsed() gives back each head that a driver can name", () => {
  const { memory, driver, queue } = pair();
  const { availRing, usedRing } = driver.state;
  for (const [slot, head] of [SIZE, 0xffff].entries()) {
    memory.writeObj(u16, head, gpa(availRing + 4 + slot * 2));
    memory.store(u16, slot + 1, gpa(availRing + 2));
    const error = assertThrows(() => queue.pop(), InvalidChain);
    assertEquals([error.head, error.problem], [head, "index"]);
    queue.addUsed(error.head, 0);
    assertEquals(memory.readObj(u32, gpa(usedRing + 4 + slot * 8)), head);
  }
  assertEquals(memory.load(u16, gpa(usedRing + 2)), 2);
});

Deno.test("Virtqueue.pop() throws for an index that is too far ahead, and takes nothing", () => {
  const { memory, driver, queue } = pair();
  const head = driver.add([count(4)]);
  memory.store(u16, SIZE + 1, gpa(driver.state.availRing + 2));
  const error = assertThrows(() => queue.pop(), InvalidAvailRingIndex);
  assertEquals([error.index, error.nextAvail, error.size], [SIZE + 1, 0, SIZE]);
  memory.store(u16, 0xffff, gpa(driver.state.availRing + 2));
  assertThrows(() => queue.pop(), InvalidAvailRingIndex);
  memory.store(u16, 1, gpa(driver.state.availRing + 2));
  assertEquals(queue.pop()?.head, head);
  // Exactly as many as there are entries is right.
  memory.store(u16, SIZE + 1, gpa(driver.state.availRing + 2));
  assertEquals(queue.notifyOnAvail(true), true);
});

Deno.test("Virtqueue.pop() takes no more chains than the queue has entries until some are given back", () => {
  const { memory, driver, queue } = pair();
  const head = driver.add([count(4)])!;
  // A ring full of the same chain, over and over.
  for (let i = 0; i < SIZE; i++) {
    memory.writeObj(u16, head, gpa(driver.state.availRing + 4 + 2 * i));
  }
  memory.store(u16, SIZE, gpa(driver.state.availRing + 2));
  const chains = Array.from({ length: SIZE }, () => queue.pop()!);
  assertEquals(queue.pop(), undefined);
  memory.store(u16, 2 * SIZE, gpa(driver.state.availRing + 2));
  const error = assertThrows(() => queue.pop(), InvalidAvailRingIndex);
  assertEquals([error.index, error.nextAvail, error.inUse], [2 * SIZE, SIZE, SIZE]);
  queue.addUsed(chains[0]!, 0);
  assertEquals(queue.pop()?.head, head);
  assertThrows(() => queue.pop(), InvalidAvailRingIndex);
  // One that breaks a rule has to be given back too.
  queue.addUsed(head, 0);
  memory.writeObj(u16, 1, gpa(head * 16 + 12));
  memory.writeObj(u16, head, gpa(head * 16 + 14));
  assertThrows(() => queue.pop(), InvalidChain);
  assertThrows(() => queue.pop(), InvalidAvailRingIndex);
});

Deno.test("Virtqueue.addUsed() refuses chains of others, used ones, and too many bytes", () => {
  const { driver, queue } = pair();
  driver.add([count(4)], [4]);
  const other = pair();
  other.driver.add([count(4)], [4]);
  const chain = queue.pop()!;
  assertThrows(() => queue.addUsed(other.queue.pop()!, 0), TypeError);
  for (const written of [5, -1, 0.5, NaN, 2 ** 32]) {
    assertThrows(() => queue.addUsed(chain, written), RangeError);
  }
  assertThrows(() => queue.addUsed(chain, "4" as never), TypeError);
  for (const head of [-1, 65_536, 0.5, NaN]) {
    assertThrows(() => queue.addUsed(head, 0), RangeError);
  }
  assertThrows(() => queue.addUsed(0, 2 ** 32), RangeError);
  assertEquals([chain.isUsed, driver.takeUsed()], [false, undefined]);
  queue.addUsed(chain, 4);
  assertEquals(chain.isUsed, true);
  assertThrows(() => queue.addUsed(chain, 4), ChainUsed);
  assertThrows(() => chain.readable.read(new Uint8Array(1)), ChainUsed);
  assertThrows(() => chain.writable.write(new Uint8Array(1)), ChainUsed);
  for (const part of [chain.readable, chain.writable]) {
    assertThrows(() => part.skip(0), ChainUsed);
    assertThrows(() => part.ranges(), ChainUsed);
    assertThrows(() => part.splitAt(0), ChainUsed);
  }
  const cursor = new Cursor(new Uint8Array(1));
  for (const bytes of [0, 1, 5]) {
    assertThrows(() => chain.readable.writeAllVolatileTo(cursor, bytes), ChainUsed);
    assertThrows(() => chain.writable.readExactVolatileFrom(cursor, bytes), ChainUsed);
  }
  // Another chain uses its segments now.
  driver.takeUsed();
  driver.add([count(2)], [2]);
  const next = queue.pop()!;
  assertThrows(() => chain.writable.write(new Uint8Array(1)), ChainUsed);
  assertThrows(() => queue.addUsed(chain, 0), ChainUsed);
  assertEquals([next.readable.remaining, next.writable.remaining], [2, 2]);
});

Deno.test("Virtqueue.needsNotification() follows the driver's flag", () => {
  const { driver, queue } = pair();
  const serve = () => {
    driver.add([count(1)]);
    queue.addUsed(queue.pop()!, 0);
  };
  assertEquals(queue.needsNotification(), false);
  serve();
  assertEquals([queue.needsNotification(), queue.needsNotification()], [true, false]);
  driver.notifyOnUsed(false);
  serve();
  assertEquals(queue.needsNotification(), false);
  driver.notifyOnUsed(true);
  assertEquals(queue.needsNotification(), false);
  serve();
  assertEquals(queue.needsNotification(), true);
});

Deno.test("Virtqueue.needsNotification() follows used_event, at each wrap of the index", () => {
  const { driver, queue } = pair({ eventIdx: true });
  for (let i = 0; i < 0x8000 + 10; i++) {
    // Finding none, the driver waits for the first one.
    if (driver.takeUsed() !== undefined) throw new Error(`${i}`);
    for (let batch = 0; batch < 2; batch++) driver.add([count(1)]);
    for (let batch = 0; batch < 2; batch++) {
      queue.addUsed(queue.pop()!, 0);
      if (queue.needsNotification() !== (batch === 0)) throw new Error(`${i} ${batch}`);
    }
    driver.takeUsed();
    driver.takeUsed();
  }
});

Deno.test("Virtqueue asks for a notification when it finds the ring empty", () => {
  for (const eventIdx of [false, true]) {
    const { driver, queue } = pair({ eventIdx });
    const add = () => {
      driver.add([count(1)]);
      return driver.needsNotification();
    };
    assertEquals(add(), true);
    queue.pop();
    assertEquals(queue.pop(), undefined);
    assertEquals(add(), true);
    assertEquals(queue.notifyOnAvail(false), true);
    queue.pop();
    assertEquals(queue.pop(), undefined);
    assertEquals(add(), false);
    assertEquals(queue.notifyOnAvail(true), true);
    while (queue.pop() !== undefined);
    assertEquals(add(), true);
    assertEquals(queue.notifyOnAvail(true), true);
  }
});

Deno.test("Virtqueue.state continues where the queue was", () => {
  const { memory, driver, queue } = pair({ eventIdx: true, indirect: true });
  const heads = [0, 1, 2].map(() => driver.add([count(3)], [], { indirect: true })!);
  queue.addUsed(queue.pop()!, 0);
  const { state } = queue;
  assertEquals(JSON.parse(JSON.stringify(state)), {
    ...driver.state,
    ...{ nextAvail: 1, nextUsed: 1, unsignalled: 1 },
  });
  queue.close();
  const restored = new Virtqueue(memory, state);
  assertEquals(restored.needsNotification(), true);
  assertEquals(restored.pop()?.head, heads[1]);
  restored.addUsed(heads[1]!, 0);
  assertEquals(driver.takeUsed()?.head, heads[0]);
  assertEquals(driver.takeUsed()?.head, heads[1]);
});

Deno.test("Virtqueue marks exactly what it writes dirty", () => {
  const bitmap = new AtomicBitmap(LENGTH, 1);
  const memory = GuestMemoryHeap.fromRanges([[gpa(0), LENGTH]], { bitmap: () => bitmap });
  const driver = new MockDriver(memory, { size: SIZE, base: gpa(0), length: LENGTH });
  const { usedRing } = driver.state;
  driver.add([count(4)], [4]);
  driver.add([count(4)], [4]);
  const queue = new Virtqueue(memory, driver.state);
  bitmap.reset();
  const chain = queue.pop()!;
  chain.readable.readSlice(new Uint8Array(4));
  assertEquals([...bitmap.dirtyRuns()], []);
  queue.addUsed(chain, 0);
  assertEquals([...bitmap.dirtyRuns()], [[usedRing + 2, 10]]);
  bitmap.reset();
  queue.addUsed(queue.pop()!, 0);
  assertEquals([...bitmap.dirtyRuns()], [[usedRing + 2, 2], [usedRing + 12, 8]]);
  bitmap.reset();
  queue.notifyOnAvail(false);
  assertEquals([...bitmap.dirtyRuns()], [[usedRing, 2]]);
});

Deno.test("Virtqueue.refresh() takes the newest map of an address space", () => {
  const space = new GuestMemoryAtomic(GuestMemoryHeap.fromRanges([[gpa(0), LENGTH]]));
  using guard = space.memory();
  const driver = new MockDriver(guard.memory, { size: SIZE, base: gpa(0), length: LENGTH });
  using queue = new Virtqueue(space, driver.state);
  driver.add([count(4)]);
  driver.add([count(4)]);
  const chain = queue.pop()!;
  {
    using lock = space.lockSync();
    const [smaller, region] = lock.memory.removeRegion(gpa(0), LENGTH);
    region.close();
    lock.replace(smaller);
  }
  // The old map stays.
  chain.readable.readSlice(new Uint8Array(4));
  assertThrows(() => queue.refresh(), InvalidQueue);
  assertEquals(queue.pop()?.readable.remaining, 4);
  {
    using lock = space.lockSync();
    lock.replace(GuestMemoryHeap.fromRanges([[gpa(0), LENGTH]]));
  }
  queue.refresh();
  assertThrows(() => queue.pop(), InvalidAvailRingIndex);
});

Deno.test("Virtqueue throws once it or its memory is closed", () => {
  const calls: ((queue: Virtqueue) => unknown)[] = [
    (queue) => queue.pop(),
    (queue) => queue.addUsed(0, 0),
    (queue) => queue.needsNotification(),
    (queue) => queue.notifyOnAvail(true),
    (queue) => queue.notifyOnAvail(false),
    (queue) => queue.refresh(),
  ];
  for (const call of calls) {
    const { memory, driver, queue } = pair();
    driver.add([count(1)]);
    const chain = queue.pop()!;
    queue.close();
    queue.close();
    assertThrows(() => call(queue), MemoryClosed);
    assertThrows(() => chain.readable.read(new Uint8Array(1)), MemoryClosed);
    memory.close();
    const other = pair();
    const { state } = other.driver;
    // Over plain memory, as an IOMMU is: the queue does not keep it open.
    const plain = new Virtqueue(other.memory, state);
    other.queue.close();
    plain.close();
    assertThrows(() => call(plain), MemoryClosed);
  }
});

Deno.test("Virtqueue.state does not lose a notification of 2^16 chains", () => {
  const { memory, driver, queue } = pair({ eventIdx: true });
  for (let i = 0; i < 0x10000; i++) {
    driver.add([count(1)]);
    queue.addUsed(queue.pop()!, 0);
    if (i < 0xffff) driver.takeUsed();
  }
  // The driver waits for the last one, which comes a whole turn of the index later.
  memory.store(u16, 0xffff, gpa(driver.state.availRing + 4 + 2 * SIZE));
  assertEquals(new Virtqueue(memory, queue.state).needsNotification(), true);
  memory.store(u16, 0, gpa(driver.state.availRing + 4 + 2 * SIZE));
  assertEquals(new Virtqueue(memory, queue.state).needsNotification(), true);
});

Deno.test("Virtqueue refuses impossible queues", () => {
  const { memory, driver } = pair();
  const { state } = driver;
  for (const size of [0, 3, -8, 0.5, NaN, 65_536]) {
    assertThrows(() => new Virtqueue(memory, { ...state, size }), InvalidQueue);
  }
  const places = [["descTable", 8], ["availRing", 1], ["usedRing", 2]] as const;
  for (const [name, unit] of places) {
    const [beyond, odd] = [LENGTH * 2, state[name] + unit];
    const { length } = { length: { descTable: 128, availRing: 22, usedRing: 70 }[name] };
    for (const place of [beyond, odd, LENGTH - length + 16, -16, NaN, 2 ** 53]) {
      assertThrows(() => new Virtqueue(memory, { ...state, [name]: place }), InvalidQueue);
    }
  }
  assertThrows(() => new Virtqueue(memory, { ...state, size: "8" as never }), TypeError);
  for (const feature of ["eventIdx", "indirect"]) {
    assertThrows(() => new Virtqueue(memory, { ...state, [feature]: "false" }), TypeError);
  }
  assertThrows(() => new Virtqueue(memory, state).notifyOnAvail("false" as never), TypeError);
  const limits = { nextAvail: 65_535, nextUsed: 65_535, unsignalled: 65_536 };
  for (const [index, limit] of Object.entries(limits)) {
    for (const value of [-1, limit + 1, 0.5]) {
      assertThrows(() => new Virtqueue(memory, { ...state, [index]: value }), InvalidQueue);
    }
    new Virtqueue(memory, { ...state, [index]: limit }).close();
  }
});

Deno.test("Virtqueue keeps no memory open that it refused", () => {
  const { driver } = pair();
  const space = new GuestMemoryAtomic(GuestMemoryHeap.fromRanges([[gpa(0), 0x80]]));
  const guard = space.memory();
  assertThrows(() => new Virtqueue(space, driver.state), InvalidQueue);
  guard.close();
  space.close();
  assertEquals(guard.memory.closed, true);
});

Deno.test("Virtqueue shows where it is, in one line", () => {
  const { queue } = pair();
  assertEquals(Deno.inspect(queue), String(queue));
});

Deno.test("Virtqueue has a queue of one descriptor, and of 32768", () => {
  for (const size of [1, 32_768]) {
    const memory = GuestMemoryHeap.fromRanges([[gpa(0), 2 ** 21]]);
    const driver = new MockDriver(memory, { size, base: gpa(0), length: 2 ** 21 });
    const queue = new Virtqueue(memory, driver.state);
    for (let i = 0; i < size; i++) driver.add([Uint8Array.of(i)]);
    assertEquals(driver.add([Uint8Array.of(0)]), undefined);
    for (let i = 0; i < size; i++) {
      const chain = queue.pop()!;
      const byte = new Uint8Array(1);
      chain.readable.readSlice(byte);
      if (byte[0] !== (i & 0xff)) throw new Error(`${i}`);
      queue.addUsed(chain, 0);
    }
    assertEquals([queue.pop(), queue.state.nextUsed], [undefined, size]);
    for (let i = 0; i < size; i++) driver.takeUsed();
    assertEquals(driver.pending, 0);
  }
});

Deno.test("Virtqueue.addUsed() reports at most what the used ring has bits for", () => {
  const { memory, driver, queue } = pair();
  const head = driver.add([], [4, 4]);
  // Two buffers of 2^31 bytes, which need not be in memory to be a valid chain.
  for (const descriptor of [0, 1]) memory.writeObj(u32, 2 ** 31, gpa(descriptor * 16 + 8));
  const chain = queue.pop()!;
  assertEquals([chain.head, chain.writable.remaining], [head, 2 ** 32]);
  // A device that reports what it wrote gets no error that a guest can cause.
  queue.addUsed(chain, 2 ** 32);
  assertEquals(memory.readObj(u32, gpa(driver.state.usedRing + 8)), 2 ** 32 - 1);
});
