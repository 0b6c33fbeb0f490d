import { assertEquals, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  CannotResolve,
  GuestMemoryHeap,
  GuestRegionCollection,
  GuestRegionHeap,
  type IoMemory,
  IommuMemory,
  u16,
  u32,
  u64,
} from "../../mod.ts";
import { Virtqueue, type VirtqueueState } from "../../src/virtio/mod.ts";
import { ElsewhereRegion } from "../support/elsewhere_region.ts";
import { TableIommu } from "../support/iommu.ts";
import { content, gpa } from "../support/values.ts";

const STATE = { size: 4, descTable: gpa(0), availRing: gpa(64), usedRing: gpa(80) } as const;

/** Makes a chain of four writable bytes available as the next one. */
function addChain(memory: IoMemory, { descTable, availRing, size }: VirtqueueState): void {
  memory.writeObj(u64, 0x100n, descTable);
  memory.writeObj(u32, 4, gpa(descTable + 8));
  memory.writeObj(u32, 2, gpa(descTable + 12));
  const index = memory.readObj(u16, gpa(availRing + 2));
  memory.writeObj(u16, 0, gpa(availRing + 4 + 2 * (index % size)));
  memory.writeObj(u16, index + 1 & 0xffff, gpa(availRing + 2));
}

/** Takes the chain, and gives it back with four bytes. */
function serve(queue: Virtqueue): void {
  const chain = queue.pop()!;
  chain.writable.writeSlice(Uint8Array.of(1, 2, 3, 4));
  queue.addUsed(chain, 4);
}

Deno.test("Virtqueue has its available ring at any multiple of 2", () => {
  for (const availRing of [gpa(64), gpa(66)]) {
    const memory = GuestMemoryHeap.fromRanges([[gpa(0), 0x200]]);
    const state = { ...STATE, availRing };
    addChain(memory, state);
    using queue = new Virtqueue(memory, state);
    serve(queue);
    assertEquals(queue.pop(), undefined);
    assertEquals(memory.readObj(u64, gpa(STATE.usedRing + 4)), 4n * 2n ** 32n);
  }
});

Deno.test("Virtqueue asks for notifications where a queue before it did not, over a boundary", () => {
  for (const eventIdx of [false, true]) {
    const memory = GuestMemoryHeap.fromRanges([[gpa(0), 90], [gpa(90), 0x200]]);
    const avail = gpa(STATE.usedRing + 4 + 8 * STATE.size);
    memory.store(u16, 1, STATE.usedRing);
    memory.store(u16, 7, avail);
    using queue = new Virtqueue(memory, { ...STATE, eventIdx });
    assertEquals(queue.pop(), undefined);
    assertEquals(memory.load(u16, STATE.usedRing), eventIdx ? 1 : 0);
    assertEquals(memory.load(u16, avail), eventIdx ? 0 : 7);
  }
});

Deno.test("Virtqueue has its rings in a region elsewhere, and marks what it writes there", () => {
  const bitmap = new AtomicBitmap(0x80, 1);
  const memory = GuestRegionCollection.fromRegions([
    new ElsewhereRegion(0, 0x80, bitmap),
    new GuestRegionHeap(gpa(0x80), 0x180),
  ]);
  addChain(memory, STATE);
  using queue = new Virtqueue(memory, STATE);
  bitmap.reset();
  serve(queue);
  assertEquals(queue.needsNotification(), true);
  assertEquals([...bitmap.dirtyRuns()], [[STATE.usedRing + 2, 10]]);
  assertEquals(
    content(memory, STATE.usedRing, 12),
    Uint8Array.of(0, 0, 1, 0, 0, 0, 0, 0, 4, 0, 0, 0),
  );
  assertEquals(content(memory, 0x100, 4), Uint8Array.of(1, 2, 3, 4));
});

Deno.test("Virtqueue accesses its rings where the IOMMU translates them to at that moment", () => {
  const physical = GuestMemoryHeap.fromRanges([[gpa(0), 0x1000]]);
  const iommu = new TableIommu().map(0, 0x400, 0x200);
  const memory = new IommuMemory(physical, iommu);
  using queue = new Virtqueue(memory, STATE);
  assertEquals(queue.pop(), undefined);
  const before = content(physical, 0x400, 0x200);
  iommu.map(0, 0x800, 0x200);
  addChain(memory, STATE);
  serve(queue);
  assertEquals(queue.needsNotification(), true);
  assertEquals(physical.readObj(u16, gpa(0x800 + STATE.usedRing + 2)), 1);
  assertEquals(content(physical, 0x900, 4), Uint8Array.of(1, 2, 3, 4));
  assertEquals(content(physical, 0x400, 0x200), before);
});

Deno.test("Virtqueue.addUsed() gives nothing back where the IOMMU refuses it, and can be repeated", () => {
  const physical = GuestMemoryHeap.fromRanges([[gpa(0), 0x1000]]);
  const iommu = new TableIommu().map(0, 0, 0x200);
  const memory = new IommuMemory(physical, iommu);
  using queue = new Virtqueue(memory, STATE);
  addChain(memory, STATE);
  const chain = queue.pop()!;
  iommu.tlb.invalidateAll();
  assertThrows(() => queue.pop(), CannotResolve);
  assertThrows(() => queue.addUsed(chain, 4), CannotResolve);
  assertEquals([queue.state.nextUsed, queue.needsNotification()], [0, false]);
  iommu.map(0, 0, 0x200);
  queue.addUsed(chain.head, 4);
  assertEquals(queue.state.nextUsed, 1);
  assertEquals(memory.readObj(u16, gpa(STATE.usedRing + 2)), 1);
  assertEquals(memory.readObj(u64, gpa(STATE.usedRing + 4)), 4n * 2n ** 32n);
});

Deno.test("Virtqueue.pop() takes nothing where the IOMMU refuses the descriptor table", () => {
  const physical = GuestMemoryHeap.fromRanges([[gpa(0), 0x1000]]);
  const iommu = new TableIommu().map(0, 0, 0x200);
  const memory = new IommuMemory(physical, iommu);
  using queue = new Virtqueue(memory, STATE);
  addChain(memory, STATE);
  iommu.tlb.invalidateMapping(STATE.descTable, 64);
  for (let i = 0; i < 2 * STATE.size; i++) {
    assertThrows(() => queue.pop(), CannotResolve);
    assertEquals(queue.state.nextAvail, 0);
  }
  iommu.map(0, 0, 0x200);
  assertEquals(queue.pop()?.head, 0);
  assertEquals(queue.state.nextAvail, 1);
});
