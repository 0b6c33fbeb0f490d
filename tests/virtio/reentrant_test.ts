import { assertEquals, assertThrows } from "@std/assert";
import {
  AccessDenied,
  CannotResolve,
  GuestMemoryAtomic,
  GuestMemoryHeap,
  GuestMemoryMmap,
  type GuestMemoryRegion,
  GuestRegionCollection,
  IommuMemory,
  MemoryClosed,
  type MemoryRegionAddress,
  Permissions,
  u16,
  u32,
} from "../../mod.ts";
import { ChainUsed, type DescriptorChain, MockDriver, Virtqueue } from "../../src/virtio/mod.ts";
import { ElsewhereRegion } from "../support/elsewhere_region.ts";
import { TableIommu } from "../support/iommu.ts";
import { RecordingBitmap } from "../support/recording_bitmap.ts";
import { count, gpa } from "../support/values.ts";

const LENGTH = 0x8000;

/** A queue in memory whose bitmap runs code at the next mark. */
function queueWithHook(options: { eventIdx?: boolean } = {}) {
  const hook: { next?: (() => void) | undefined } = {};
  const bitmap = new RecordingBitmap(() => {
    const act = hook.next;
    hook.next = undefined;
    act?.();
  });
  const memory = GuestMemoryMmap.fromRanges([[gpa(0), LENGTH]], { bitmap: () => bitmap });
  const driver = new MockDriver(memory, { size: 16, base: gpa(0), length: LENGTH, ...options });
  return { hook, memory, driver, queue: new Virtqueue(memory, driver.state) };
}

Deno.test("Virtqueue.addUsed() gives both chains back if a bitmap's code gives another one back", () => {
  // The first mark is that of the entry, the second that of the index.
  for (const marks of [1, 2]) {
    const { hook, driver, queue } = queueWithHook();
    const heads = [driver.add([count(1)], [4])!, driver.add([count(1)], [4])!];
    const [first, second] = [queue.pop()!, queue.pop()!];
    const other = () => queue.addUsed(second, 0);
    hook.next = marks === 1 ? other : () => hook.next = other;
    queue.addUsed(first, 0);
    const given = [driver.takeUsed()!.head, driver.takeUsed()!.head];
    assertEquals(given.sort(), heads.sort());
    assertEquals([driver.pending, queue.state.nextUsed], [0, 2]);
  }
});

Deno.test("Virtqueue.addUsed() gives a chain back once, and chains keep their own buffers", () => {
  const { hook, driver, queue } = queueWithHook();
  driver.add([count(1)], [4]);
  const chain = queue.pop()!;
  hook.next = () => queue.addUsed(chain, 0);
  assertThrows(() => queue.addUsed(chain, 0), ChainUsed);
  assertEquals(queue.state.nextUsed, 1);
  assertEquals(driver.takeUsed()?.written, count(0));
  driver.add([count(1)]);
  driver.add([count(3)]);
  const chains = [queue.pop()!, queue.pop()!];
  const addresses = chains.map(({ readable }) => readable.ranges()[0]![0]);
  assertEquals(chains.map(({ readable }) => readable.ranges()[0]![1]), [1, 3]);
  assertEquals(addresses[0] === addresses[1], false);
});

Deno.test("Virtqueue.addUsed() names the chain by what was taken, not by its public field", () => {
  const { driver, queue } = queueWithHook();
  const head = driver.add([count(1)], [4])!;
  const chain: DescriptorChain = queue.pop()!;
  Object.defineProperty(chain, "head", { value: 7 });
  queue.addUsed(chain, 0);
  assertEquals(driver.takeUsed()?.head, head);
});

Deno.test("Virtqueue.addUsed() gives nothing back if the index cannot be written", () => {
  // The flags and the index of the used ring are in the first region, its entries in the second.
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 0x1000], [gpa(0x1000), 0x1000]]);
  const [availRing, usedRing] = [gpa(0x100), gpa(0xffc)];
  memory.store(u16, 1, gpa(availRing + 2));
  const queue = new Virtqueue(memory, { size: 8, descTable: gpa(0), availRing, usedRing });
  const chain = queue.pop()!;
  const { mmap } = memory.findRegion(gpa(0))!;
  mmap.protect(Permissions.Read);
  assertThrows(() => queue.addUsed(chain, 0), AccessDenied);
  assertEquals([chain.isUsed, queue.state.nextUsed], [false, 0]);
  mmap.protect(Permissions.ReadWrite);
  queue.addUsed(chain, 0);
  assertEquals([memory.load(u16, gpa(usedRing + 2)), queue.needsNotification()], [1, true]);
});

/** A region that is not host memory, whose code runs something after an access. */
class ActingRegion extends ElsewhereRegion {
  onAccess: (() => void) | undefined;

  override read(buf: Uint8Array, addr: MemoryRegionAddress): number {
    return this.#act(super.read(buf, addr));
  }

  override write(buf: Uint8Array, addr: MemoryRegionAddress): number {
    return this.#act(super.write(buf, addr));
  }

  #act(done: number): number {
    this.onAccess?.();
    return done;
  }
}

const STATE = { size: 4, descTable: gpa(0), availRing: gpa(64), usedRing: gpa(80) } as const;

/** A queue in such a region, with three chains of no bytes. */
function actingQueue() {
  const region = new ActingRegion(0, 0x100);
  const memory = GuestRegionCollection.fromRegions([region]);
  for (const [i, value] of [3, 0, 1, 2].entries()) {
    memory.writeObj(u16, value, gpa(STATE.availRing + 2 + 2 * i));
  }
  return { region, memory, queue: new Virtqueue(memory, STATE) };
}

Deno.test("Virtqueue.addUsed() gives both chains back if a region's code gives another one back", () => {
  for (const at of [1, 2]) {
    const { region, memory, queue } = actingQueue();
    const [first, second, third] = [queue.pop()!, queue.pop()!, queue.pop()!];
    const indexes: number[] = [];
    let accesses = 0;
    region.onAccess = () => {
      indexes.push(region.content[STATE.usedRing + 2]!);
      if (++accesses !== at) return;
      queue.addUsed(second, 0);
      queue.addUsed(third, 0);
    };
    queue.addUsed(first, 0);
    region.onAccess = undefined;
    assertEquals(memory.readObj(u16, gpa(STATE.usedRing + 2)), 3);
    const given = [0, 1, 2].map((i) => memory.readObj(u32, gpa(STATE.usedRing + 4 + 8 * i)));
    assertEquals(given, [1, 2, 0]);
    // The driver never sees the index go back.
    assertEquals(indexes, indexes.toSorted());
  }
});

Deno.test("Virtqueue.pop() takes each chain once if a region's code takes one", () => {
  for (let at = 1;; at++) {
    const { region, queue } = actingQueue();
    const heads: number[] = [];
    let accesses = 0;
    region.onAccess = () => {
      if (++accesses === at) heads.push(queue.pop()!.head);
    };
    for (let chain; (chain = queue.pop()) !== undefined;) heads.push(chain.head);
    region.onAccess = undefined;
    assertEquals([heads.sort(), queue.state.nextAvail], [[0, 1, 2], 3]);
    // The last accesses are those that find the ring empty.
    if (at === 6) break;
  }
});

Deno.test("Virtqueue throws MemoryClosed where a region's code closes it, and stays closed", () => {
  const calls = [
    (queue: Virtqueue) => queue.pop(),
    (queue: Virtqueue) => queue.addUsed(0, 0),
    (queue: Virtqueue) => queue.needsNotification(),
    (queue: Virtqueue) => queue.notifyOnAvail(true),
    (queue: Virtqueue) => queue.notifyOnAvail(false),
  ];
  for (const call of calls) {
    for (let at = 1;; at++) {
      const { region, queue } = actingQueue();
      queue.addUsed(0, 0);
      let accesses = 0;
      region.onAccess = () => {
        if (++accesses === at) queue.close();
      };
      try {
        call(queue);
      } catch (error) {
        if (!(error instanceof MemoryClosed)) throw error;
      }
      if (accesses < at) break;
      for (const next of calls) assertThrows(() => next(queue), MemoryClosed);
    }
  }
});

Deno.test("Virtqueue throws MemoryClosed where a bitmap's code closes the memory or the queue", () => {
  for (const eventIdx of [false, true]) {
    for (const call of ["pop", "notifyOnAvail"] as const) {
      for (const isQueue of [false, true]) {
        const { hook, memory, driver, queue: retaining } = queueWithHook({ eventIdx });
        retaining.close();
        // No address space: the queue does not retain it.
        Object.defineProperty(memory, "memory", { value: undefined });
        using queue = new Virtqueue(memory, driver.state);
        driver.add([count(1)]);
        queue.pop();
        // A flag that the queue has to clear.
        memory.store(u16, 1, driver.state.usedRing);
        hook.next = () => isQueue ? queue.close() : memory.close();
        assertThrows(() => queue[call](true), MemoryClosed);
      }
    }
  }
});

Deno.test("Virtqueue.pop() takes nothing where a region's code protects the descriptors", () => {
  using mapped = GuestMemoryMmap.fromRanges([[gpa(0), 0x1000]]);
  const table = mapped.findRegion(gpa(0))!;
  const avail = new ActingRegion(0x1000, 0x100);
  using memory = new GuestRegionCollection<GuestMemoryRegion>([table, avail]);
  memory.writeObj(u16, 1, gpa(0x1002));
  using queue = new Virtqueue(memory, { ...STATE, availRing: gpa(0x1000) });
  avail.onAccess = () => table.mmap.protect(Permissions.Read);
  assertThrows(() => queue.pop(), MemoryClosed);
  assertEquals([queue.state.nextAvail, queue.pop()?.head], [0, 0]);
});

Deno.test("Virtqueue.pop() finds a used ring again whose protection changed", () => {
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 0x1000], [gpa(0x1000), 0x1000]]);
  const [availRing, usedRing] = [gpa(0x100), gpa(0x1000)];
  const state = { size: 8, descTable: gpa(0), availRing, usedRing, eventIdx: true };
  const queue = new Virtqueue(memory, state);
  const { mmap } = memory.findRegion(usedRing)!;
  mmap.protect(Permissions.Read);
  mmap.protect(Permissions.ReadWrite);
  memory.store(u16, 1, gpa(availRing + 2));
  queue.pop();
  assertEquals(queue.pop(), undefined);
  assertEquals(memory.load(u16, gpa(usedRing + 4 + 8 * 8)), 1);
});

Deno.test("Virtqueue.refresh() leaves a queue closed that code of the memory closes", () => {
  class Asking extends ElsewhereRegion {
    onAsk: (() => void) | undefined;

    override get hostSlice() {
      this.onAsk?.();
      return undefined;
    }
  }
  const map = () => GuestRegionCollection.fromRegions([new Asking(0, 0x100)]);
  const space = new GuestMemoryAtomic(map());
  const queue = new Virtqueue(space, STATE);
  const next = map();
  next.findRegion(gpa(0))!.onAsk = () => queue.close();
  using lock = space.lockSync();
  lock.replace(next);
  assertThrows(() => queue.refresh(), MemoryClosed);
  assertThrows(() => queue.pop(), MemoryClosed);
  assertThrows(() => queue.memory, MemoryClosed);
});

Deno.test("Virtqueue.needsNotification() asks again for chains if the ring could not be read", () => {
  const physical = GuestMemoryHeap.fromRanges([[gpa(0), 0x1000]]);
  const iommu = new TableIommu().map(0, 0, 0x200);
  using queue = new Virtqueue(new IommuMemory(physical, iommu), STATE);
  queue.addUsed(0, 0);
  iommu.tlb.invalidateAll();
  assertThrows(() => queue.needsNotification(), CannotResolve);
  iommu.map(0, 0, 0x200);
  assertEquals([queue.needsNotification(), queue.needsNotification()], [true, false]);
});
