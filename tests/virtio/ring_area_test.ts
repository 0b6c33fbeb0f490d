import { assertEquals, assertThrows } from "@std/assert";
import {
  AccessDenied,
  type AtomicAccess,
  AtomicBitmap,
  GuestMemoryHeap,
  GuestMemoryMmap,
  GuestRegionCollection,
  GuestRegionHeap,
  HostMemory,
  HostRegion,
  type IoMemory,
  IommuMemory,
  MemoryClosed,
  type MemoryRegionAddress,
  Permissions,
  VolatileSlice,
} from "../../mod.ts";
import { InvalidQueue, MockDriver, Virtqueue } from "../../src/virtio/mod.ts";
import { ElsewhereRegion } from "../support/elsewhere_region.ts";
import { TableIommu } from "../support/iommu.ts";
import { count, gpa } from "../support/values.ts";

const LENGTH = 0x8000;
const QUEUE = { size: 16, base: gpa(0x1000), length: LENGTH - 0x1000, indirect: true };

/** Answers each request with its bytes, one more each. */
function serve(queue: Virtqueue): void {
  for (let chain; (chain = queue.pop()) !== undefined;) {
    const bytes = new Uint8Array(chain.readable.remaining);
    chain.readable.readSlice(bytes);
    chain.writable.writeSlice(bytes.map((byte) => byte + 1));
    queue.addUsed(chain, bytes.length);
  }
}

/** A driver that sees all memory, and a device that sees it as it is given. */
function checkRequests(driver: MockDriver, device: IoMemory): void {
  using queue = new Virtqueue(device, driver.state);
  for (let round = 0; round < 100; round++) {
    const heads = [4, 60, 1].map((length) =>
      driver.add([count(length, round)], [length], { indirect: round % 2 === 1 })
    );
    assertEquals(driver.needsNotification(), true);
    serve(queue);
    assertEquals(queue.needsNotification(), true);
    for (const [i, length] of [4, 60, 1].entries()) {
      assertEquals(driver.takeUsed(), { head: heads[i]!, written: count(length, round + 1) });
    }
  }
}

// At each of these the boundary of two regions is in another area.
const BOUNDARIES = [0x1000, 0x1008, 0x1010, 0x1100, 0x1102, 0x1106, 0x1110, 0x1128, 0x112c, 0x1140];

Deno.test("Virtqueue works where its areas cross regions of host memory", () => {
  for (const boundary of BOUNDARIES) {
    const memory = GuestMemoryHeap.fromRanges([
      [gpa(0), boundary],
      [gpa(boundary), LENGTH - boundary],
    ]);
    checkRequests(new MockDriver(memory, QUEUE), memory);
  }
});

/** The bytes of another memory, through `read` and `write` alone. */
class ForwardingRegion extends ElsewhereRegion {
  constructor(startAddr: number, len: number, readonly target: IoMemory) {
    super(startAddr, len);
  }

  override read(buf: Uint8Array, addr: MemoryRegionAddress): number {
    return this.target.read(buf.subarray(0, this.len - addr), gpa(this.startAddr + addr));
  }

  override write(buf: Uint8Array, addr: MemoryRegionAddress): number {
    return this.target.write(buf.subarray(0, this.len - addr), gpa(this.startAddr + addr));
  }
}

Deno.test("Virtqueue works where its areas are not in host memory", () => {
  for (const boundary of BOUNDARIES) {
    const guest = GuestMemoryHeap.fromRanges([[gpa(0), LENGTH]]);
    const device = GuestRegionCollection.fromRegions([
      new ForwardingRegion(0, boundary, guest),
      new ForwardingRegion(boundary, LENGTH - boundary, guest),
    ]);
    checkRequests(new MockDriver(guest, QUEUE), device);
  }
});

Deno.test("Virtqueue works behind an IOMMU, with the permissions that each area needs", () => {
  const physical = GuestMemoryHeap.fromRanges([[gpa(0), 0x4800], [gpa(0x4800), 0x3800]]);
  const driver = new MockDriver(physical, { ...QUEUE, size: 256, length: LENGTH - 0x1000 });
  const { descTable, availRing, usedRing } = driver.state;
  assertEquals([descTable, availRing, usedRing], [gpa(0x1000), gpa(0x2000), gpa(0x2208)]);
  for (const isTracked of [false, true]) {
    const iommu = new TableIommu();
    const bitmap = new AtomicBitmap(2 * LENGTH, 0x1000);
    iommu.map(0x9000, 0x1000, 0x1000, Permissions.Read);
    iommu.map(0xa000, 0x2000, 0x1000, Permissions.ReadWrite);
    for (let page = 0x2000; page < LENGTH; page += 0x1000) {
      iommu.map(page, page, 0x1000, Permissions.ReadWrite);
    }
    const device = new IommuMemory(physical, iommu, isTracked ? { bitmap } : {});
    const queue = new Virtqueue(device, {
      ...driver.state,
      descTable: gpa(0x9000),
      availRing: gpa(0xa000),
      usedRing: gpa(0xa208),
      nextAvail: isTracked ? 20 : 0,
      nextUsed: isTracked ? 20 : 0,
    });
    for (let i = 0; i < 20; i++) {
      const head = driver.add([count(4)], [4])!;
      serve(queue);
      assertEquals(driver.takeUsed(), { head, written: count(4, 2) });
    }
    if (isTracked) assertEquals(bitmap.isAddrSet(0xa000), true);
    assertEquals(bitmap.isAddrSet(0x9000), false);
    const state = { ...driver.state, descTable: gpa(0x9000), availRing: gpa(0xa000) };
    assertThrows(
      () => new Virtqueue(device, { ...state, usedRing: gpa(0x9000) }),
      InvalidQueue,
      "its usedRing",
    );
  }
});

Deno.test("Virtqueue continues when the protection of its memory changes, and throws when closed", () => {
  const options = { bitmap: (length: number) => new AtomicBitmap(length, 0x1000) };
  using memory = GuestMemoryMmap.fromRanges([[gpa(0x1000), LENGTH]], options);
  const region = memory.findRegion(gpa(0x1000))!;
  const driver = new MockDriver(memory, QUEUE);
  // Without an address space, so that the queue does not keep the memory open.
  const iommu = new TableIommu();
  for (let page = 0x1000; page < LENGTH; page += 0x1000) {
    iommu.map(page, page, 0x1000, Permissions.ReadWrite);
  }
  const queue = new Virtqueue(new IommuMemory(memory, iommu), driver.state);
  const request = () => {
    const head = driver.add([count(4)], [4])!;
    serve(queue);
    assertEquals(driver.takeUsed(), { head, written: count(4, 2) });
  };
  request();
  driver.add([count(4)], [4]);
  region.mmap.protect(Permissions.Read);
  const chain = queue.pop()!;
  assertThrows(() => chain.writable.writeSlice(count(1)), AccessDenied);
  assertThrows(() => queue.addUsed(chain, 0), AccessDenied);
  region.mmap.protect(Permissions.ReadWrite);
  // Nothing was given back.
  chain.writable.writeSlice(count(4, 7));
  queue.addUsed(chain, 4);
  assertEquals(driver.takeUsed(), { head: chain.head, written: count(4, 7) });
  request();
  queue.refresh();
  request();
  region.bitmap.reset();
  request();
  assertEquals(region.bitmap.isAddrSet(0), true);
  memory.close();
  assertThrows(() => queue.pop(), MemoryClosed);
  assertThrows(() => queue.addUsed(0, 0), MemoryClosed);
});

Deno.test("Virtqueue works in a region whose address is odd", () => {
  // Aligned in the guest, and not in the host.
  const memory = GuestRegionCollection.fromRegions([new GuestRegionHeap(gpa(0xff2), LENGTH)]);
  const state = new MockDriver(memory, QUEUE).state;
  checkRequests(new MockDriver(memory, QUEUE), memory);
  assertEquals(state.size, 16);
});

/** Host memory whose slice answers for its parts itself. */
class AnsweringSlice extends VolatileSlice {
  stored = 0;

  constructor(readonly part: (offset: number, count: number) => VolatileSlice) {
    super(new HostMemory(new ArrayBuffer(0x200)), 0, 0x200);
  }

  override getSlice(offset: number, count: number): VolatileSlice {
    return this.part(offset, count);
  }

  override store<T extends number | bigint>(codec: AtomicAccess<T>, value: T, addr: number): void {
    this.stored++;
    super.store(codec, value, addr);
  }
}

Deno.test("Virtqueue asks slices of a derived class, and writes to no other bytes than the ring's", () => {
  const state = { size: 4, descTable: gpa(0), availRing: gpa(64), usedRing: gpa(80) };
  // The whole slice, which is none of VolatileSlice itself, and a part that is too short.
  for (const isWhole of [true, false]) {
    const slice: AnsweringSlice = new AnsweringSlice((offset, count) => {
      if (isWhole) return Object.create(slice, { start: { value: offset }, len: { value: count } });
      return new VolatileSlice(slice.memory, 0x100, 4);
    });
    const memory = GuestRegionCollection.fromRegions([new HostRegion(gpa(0), slice)]);
    using queue = new Virtqueue(memory, state);
    queue.addUsed(1, 2);
    const expected = new Uint8Array(0x200);
    expected.set([1, 0, 1, 0, 0, 0, 2], state.usedRing + 2);
    assertEquals(slice.memory.u8, expected);
    assertEquals(slice.stored, 1);
  }
});
