import { assertEquals, assertThrows } from "@std/assert";
import { GuestMemoryHeap, u16, u32 } from "../../mod.ts";
import {
  InvalidQueue,
  MockDriver,
  type MockDriverOptions,
  Virtqueue,
  VirtqueueError,
} from "../../src/virtio/mod.ts";
import { content, count, gpa } from "../support/values.ts";

const LENGTH = 0x1000;
const SIZE = 4;

function setUp(options: Partial<MockDriverOptions> = {}) {
  const memory = GuestMemoryHeap.fromRanges([[gpa(0), LENGTH]]);
  const driver = new MockDriver(memory, { size: SIZE, base: gpa(0), length: LENGTH, ...options });
  const { descTable, usedRing, availRing } = driver.state;
  return {
    ...{ memory, driver, descTable, availRing, usedRing },
    /** What a device writes that may break any rule. */
    use(index: number, head: number, length: number, slot = index - 1 & SIZE - 1) {
      memory.writeObj(u32, head, gpa(usedRing + 4 + 8 * slot));
      memory.writeObj(u32, length, gpa(usedRing + 8 + 8 * slot));
      memory.store(u16, index, gpa(usedRing + 2));
    },
  };
}

Deno.test("MockDriver lays its queue out, and clears the rings", () => {
  const memory = GuestMemoryHeap.fromRanges([[gpa(0), LENGTH]]);
  memory.writeSlice(new Uint8Array(LENGTH).fill(0xff), gpa(0));
  const { state } = new MockDriver(memory, { size: 8, base: gpa(0x100), length: 0x300 });
  assertEquals({ ...state }, {
    ...{ size: 8, descTable: gpa(0x100), availRing: gpa(0x180), usedRing: gpa(0x198) },
    ...{ eventIdx: false, indirect: false, nextAvail: 0, nextUsed: 0, unsignalled: 0 },
  });
  const end = 0x198 + 6 + 8 * 8;
  assertEquals(content(memory, 0x100, end - 0x100), new Uint8Array(end - 0x100));
  assertEquals([memory.readObj(u16, gpa(0xfe)), memory.readObj(u16, gpa(0x1e0))], [0xffff, 0xffff]);
});

Deno.test("MockDriver refuses impossible queues", () => {
  const memory = GuestMemoryHeap.fromRanges([[gpa(0), LENGTH]]);
  const right = { size: SIZE, base: gpa(0), length: LENGTH };
  const wrong: Partial<MockDriverOptions>[] = [
    ...[0, 3, -4, 0.5, NaN, 65_536].map((size) => ({ size })),
    ...[8, -16, 0.5, NaN, 2 ** 53 - 16, 2 ** 53, LENGTH].map((base) => ({ base: base as never })),
    ...[0, 64, NaN, -1, LENGTH + 16, Infinity].map((length) => ({ length })),
    ...[-1, 0.5, 65_536, NaN].map((firstIndex) => ({ firstIndex })),
  ];
  for (const options of wrong) {
    assertThrows(() => new MockDriver(memory, { ...right, ...options }), InvalidQueue);
  }
  for (const name of ["size", "base", "length", "firstIndex"]) {
    assertThrows(() => new MockDriver(memory, { ...right, [name]: "4" }), TypeError);
  }
  // The rings alone are enough.
  const length = 16 * SIZE + 16 + 6 + 8 * SIZE;
  const rounded = Math.ceil(length / 16) * 16;
  new MockDriver(memory, { ...right, length: rounded });
  assertThrows(() => new MockDriver(memory, { ...right, length: rounded - 1 }), InvalidQueue);
});

Deno.test("MockDriver.add() writes descriptors, direct and in a table", () => {
  const { memory, driver, descTable } = setUp({ indirect: true });
  const descriptor = (at: number) => [
    memory.readObj(u32, gpa(at)),
    ...[8].map((offset) => memory.readObj(u32, gpa(at + offset))),
    ...[12, 14].map((offset) => memory.readObj(u16, gpa(at + offset))),
  ];
  const head = driver.add([count(3), count(0)], [5])!;
  const [first, length, flags, next] = descriptor(descTable + 16 * head);
  assertEquals([length, flags], [3, 1]);
  assertEquals(content(memory, first!, 3), count(3));
  const [, emptyLength, emptyFlags, last] = descriptor(descTable + 16 * next!);
  assertEquals([emptyLength, emptyFlags], [0, 1]);
  assertEquals(descriptor(descTable + 16 * last!).slice(1), [5, 2, 0]);
  const indirect = driver.add([count(2)], [7], { indirect: true })!;
  const [table, tableLength, tableFlags] = descriptor(descTable + 16 * indirect);
  assertEquals([tableLength, tableFlags, table! % 16], [32, 4, 0]);
  assertEquals(descriptor(table!).slice(1), [2, 1, 1]);
  assertEquals(descriptor(table! + 16).slice(1), [7, 2, 0]);
  assertEquals(driver.pending, 2);
});

Deno.test("MockDriver.add() refuses requests that no queue can have", () => {
  const { driver, memory, availRing } = setUp();
  assertThrows(() => driver.add([]), RangeError);
  assertThrows(() => driver.add([], [1, 1, 1, 1, 1]), RangeError);
  for (const length of [-1, 0.5, NaN]) assertThrows(() => driver.add([], [length]), RangeError);
  assertThrows(() => driver.add([], ["1" as never]), TypeError);
  assertThrows(() => driver.add([[1] as never]), TypeError);
  assertThrows(() => driver.add([], [1], { indirect: true }), VirtqueueError);
  assertEquals([driver.pending, memory.load(u16, gpa(availRing + 2))], [0, 0]);
  assertEquals(driver.needsNotification(), false);
});

Deno.test("MockDriver.add() adds nothing without descriptors, until some come back", () => {
  const { driver, use } = setUp({ indirect: true });
  const head = driver.add([], [1, 1, 1])!;
  assertEquals(driver.add([], [1, 1]), undefined);
  assertEquals(driver.add([], [1, 1, 1], { indirect: true }) !== undefined, true);
  assertEquals(driver.add([], [1], { indirect: true }), undefined);
  assertEquals(driver.add([], [1]), undefined);
  assertEquals(driver.pending, 2);
  use(1, head, 0);
  assertEquals(driver.takeUsed(), { head, written: new Uint8Array(0) });
  assertEquals(driver.add([], [1, 1, 1]) !== undefined, true);
  assertEquals(driver.add([], [1]), undefined);
});

Deno.test("MockDriver.add() adds nothing without memory, until some comes back", () => {
  const { driver, memory, availRing, use } = setUp({ length: 0x1c0 });
  // 448 bytes, of which 128 are rings.
  const head = driver.add([], [256])!;
  assertEquals(driver.add([], [128]), undefined);
  // What was found for a part of the request is free again.
  assertEquals(driver.add([count(64)], [64]), undefined);
  assertEquals(memory.load(u16, gpa(availRing + 2)), 1);
  const small = driver.add([count(64)])!;
  assertEquals(driver.add([count(1)]), undefined);
  use(1, head, 256);
  assertEquals(driver.takeUsed()?.written.length, 256);
  assertEquals(driver.add([], [200]), head);
  use(2, small, 0);
  assertEquals(driver.takeUsed()?.head, small);
  assertEquals([driver.add([], [64]), driver.pending], [small, 2]);
});

Deno.test("MockDriver.takeUsed() refuses a chain that the device does not have", () => {
  for (const wrong of [1, SIZE, 0xffff, 2 ** 32 - 1]) {
    const { driver, use } = setUp();
    const head = driver.add([], [4])!;
    use(1, head === wrong ? 0 : wrong, 0);
    const error = assertThrows(() => driver.takeUsed(), VirtqueueError, "does not have");
    assertEquals(error.constructor, VirtqueueError);
    // The right one is still pending.
    use(1, head, 4);
    assertEquals(driver.takeUsed(), { head, written: new Uint8Array(4) });
  }
  // Twice the same.
  const { driver, use } = setUp();
  const heads = [driver.add([], [4])!, driver.add([], [4])!];
  use(1, heads[0]!, 0);
  use(2, heads[0]!, 0);
  assertEquals(driver.takeUsed()?.head, heads[0]);
  assertThrows(() => driver.takeUsed(), VirtqueueError, "does not have");
});

Deno.test("MockDriver.takeUsed() refuses more bytes than the chain has space for", () => {
  for (const [space, length] of [[4, 5], [0, 1], [4, 2 ** 32 - 1]] as const) {
    const { driver, use } = setUp();
    const head = driver.add([count(8)], [space])!;
    use(1, head, length);
    assertThrows(() => driver.takeUsed(), VirtqueueError, `claims ${length} bytes`);
    assertEquals(driver.pending, 1);
    use(1, head, space);
    assertEquals(driver.takeUsed()?.written.length, space);
  }
});

Deno.test("MockDriver refuses an index of the used ring that is too far ahead", () => {
  const { driver, use } = setUp();
  const head = driver.add([], [4])!;
  for (const index of [2, 0xffff, 0x8000]) {
    use(index, head, 0, 0);
    assertThrows(() => driver.takeUsed(), VirtqueueError, "chains of 1");
    assertThrows(() => driver.notifyOnUsed(true), VirtqueueError);
    assertThrows(() => driver.notifyOnUsed(false), VirtqueueError);
  }
  use(1, head, 0);
  assertEquals(driver.notifyOnUsed(true), true);
  assertEquals(driver.takeUsed()?.head, head);
  assertEquals(driver.takeUsed(), undefined);
});

Deno.test("MockDriver.takeUsed() collects what was written to several buffers", () => {
  const { memory, driver } = setUp();
  using queue = new Virtqueue(memory, driver.state);
  for (const length of [0, 1, 3, 4, 6]) {
    driver.add([count(2)], [3, 0, 3]);
    const chain = queue.pop()!;
    chain.writable.writeSlice(count(length));
    queue.addUsed(chain, length);
    assertEquals(driver.takeUsed()?.written, count(length));
  }
});

Deno.test("MockDriver.needsNotification() follows the device's flag, or avail_event", () => {
  const flag = setUp();
  flag.driver.add([], [1]);
  assertEquals([flag.driver.needsNotification(), flag.driver.needsNotification()], [true, false]);
  flag.memory.store(u16, 1, flag.usedRing);
  flag.driver.add([], [1]);
  assertEquals(flag.driver.needsNotification(), false);
  // Where the index wraps too.
  for (const firstIndex of [0, 65_534, 65_533]) {
    const { driver, memory, usedRing } = setUp({ eventIdx: true, firstIndex });
    const event = gpa(usedRing + 4 + 8 * SIZE);
    driver.add([], [1]);
    assertEquals(driver.needsNotification(), true);
    driver.add([], [1]);
    assertEquals(driver.needsNotification(), false);
    driver.add([], [1]);
    driver.add([], [1]);
    memory.store(u16, firstIndex + 3 & 0xffff, event);
    assertEquals(driver.needsNotification(), true);
    const passed = setUp({ eventIdx: true, firstIndex });
    passed.memory.store(u16, firstIndex + 2 & 0xffff, event);
    passed.driver.add([], [1]);
    passed.driver.add([], [1]);
    assertEquals(passed.driver.needsNotification(), false);
  }
});

Deno.test("MockDriver.notifyOnUsed() sets its flag, or used_event", () => {
  const { driver, memory, availRing } = setUp();
  assertEquals(driver.notifyOnUsed(false), false);
  assertEquals(memory.load(u16, availRing), 1);
  assertEquals([driver.takeUsed(), memory.load(u16, availRing)], [undefined, 1]);
  assertEquals(driver.notifyOnUsed(true), false);
  assertEquals(memory.load(u16, availRing), 0);
  const other = setUp({ eventIdx: true, firstIndex: 65_535 });
  const event = gpa(other.availRing + 4 + 2 * SIZE);
  const head = other.driver.add([], [1])!;
  other.use(0, head, 0, 65_535 % SIZE);
  assertEquals(other.driver.notifyOnUsed(true), true);
  assertEquals(other.memory.load(u16, event), 65_535);
  assertEquals(other.driver.takeUsed()?.head, head);
  assertEquals(other.driver.takeUsed(), undefined);
  assertEquals(other.memory.load(u16, event), 0);
  assertEquals(other.driver.notifyOnUsed(false), false);
  assertEquals([other.memory.load(u16, event), other.memory.load(u16, other.availRing)], [0, 0]);
});

Deno.test("MockDriver begins at any index, and wraps", () => {
  for (const firstIndex of [0, 1, 65_535]) {
    const { memory, driver } = setUp({ firstIndex });
    assertEquals([driver.state.nextAvail, driver.state.nextUsed], [firstIndex, firstIndex]);
    using queue = new Virtqueue(memory, driver.state);
    assertEquals([queue.pop(), driver.takeUsed()], [undefined, undefined]);
    for (let i = 1; i < 10; i++) {
      const head = driver.add([count(1, i)])!;
      const chain = queue.pop()!;
      assertEquals(chain.head, head);
      queue.addUsed(chain, 0);
      assertEquals(driver.takeUsed()?.head, head);
      assertEquals(queue.state.nextUsed, firstIndex + i & 0xffff);
    }
  }
});
