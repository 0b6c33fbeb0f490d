import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  GuestAddress,
  GuestMemoryHeap,
  MemoryClosed,
  Permissions,
  takeDirty,
} from "../../../mod.ts";
import { hasMembarrier } from "../../../ffi/barrier.ts";
import { mapMemory } from "../../../ffi/memory.ts";
import { libc } from "../../../ffi/libc.ts";
import { setTakeBarrier } from "../../../src/guest/dirty_set.ts";
import { MappedMemory } from "../../../src/backend/mmap/mapped_memory.ts";
import { unreference } from "../../../src/backend/mmap/mapping.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { mappingAt } from "../../support/proc_maps.ts";
import { count } from "../../support/values.ts";

const LENGTH = 0x2000;

const isMapped = (address: number) => mappingAt(BigInt(address)) !== undefined;

function map(length = LENGTH): number {
  const { platform: { map } } = libc();
  const flags = map.private | map.anonymous;
  return mapMemory({ hint: 0, length, prot: 3, flags, fd: -1, offset: 0 });
}

function mapped(permissions: Permissions = Permissions.ReadWrite): MappedMemory {
  return new MappedMemory({ address: map(), length: LENGTH, owned: true }, permissions);
}

linuxTest("MappedMemory unmaps what it owns when it is closed, once", () => {
  const memory = mapped();
  const { address, u8 } = memory;
  u8[0] = 7;
  assertEquals([isMapped(address), memory.closed, u8.length], [true, false, LENGTH]);
  memory.close();
  assertEquals([isMapped(address), memory.closed, u8.length], [false, true, 0]);
  memory.close();
});

linuxTest("MappedMemory unmaps nothing that others own", () => {
  const address = map();
  const mapping = { address, length: LENGTH, owned: false };
  new MappedMemory(mapping, Permissions.ReadWrite).close();
  assertEquals(isMapped(address), true);
  unreference({ ...mapping, owned: true });
  assertEquals(isMapped(address), false);
});

linuxTest("MappedMemory.share() adds a holder, and the last one unmaps", () => {
  const memory = mapped();
  const { address } = memory;
  const mapping = memory.share();
  assertEquals([mapping.address, mapping.holders?.[0]], [address, 2]);
  assertStrictEquals(memory.share(), mapping);
  assertEquals(mapping.holders?.[0], 3);
  memory.close();
  assertEquals([isMapped(address), mapping.holders?.[0]], [true, 2]);
  unreference(mapping);
  const other = new MappedMemory(mapping, Permissions.ReadWrite);
  other.close();
  assertEquals(isMapped(address), false);
  assertThrows(() => memory.share(), MemoryClosed);
});

Deno.test("MappedMemory copies all of a buffer, or nothing", () => {
  const memory = mapped();
  memory.u8.set(count(200));
  const buf = new Uint8Array(3);
  assertEquals([memory.copyOut(5, buf, 3), [...buf]], [true, [6, 7, 8]]);
  assertEquals([memory.copyIn(LENGTH - 3, buf, 3), memory.u8[LENGTH - 1]], [true, 8]);
  for (
    const [offset, length] of [
      ...[[LENGTH - 2, 3], [-1, 3], [0, 2], [0, 4], [0.5, 3], [NaN, 3], [0, 2 ** 31]] as const,
    ]
  ) {
    assertEquals([memory.copyOut(offset, buf, length), memory.copyIn(offset, buf, length)], [
      ...[false, false],
    ]);
  }
  assertEquals([[...buf], memory.u8[0]], [[6, 7, 8], 1]);
  memory.close();
  assertEquals([memory.copyOut(0, buf, 3), memory.copyIn(0, buf, 3)], [false, false]);
});

Deno.test("MappedMemory may be accessed as its permissions say, until it is closed", () => {
  const lengths: Record<string, [number, number]> = {};
  const memory = mapped(Permissions.Read);
  const now = (name: string) => lengths[name] = [memory.readableLength, memory.writableLength];
  now("read");
  memory.setPermissions(Permissions.Write);
  now("write");
  memory.setPermissions(Permissions.No);
  now("no");
  memory.setPermissions(Permissions.ReadWrite);
  now("both");
  memory.close();
  memory.setPermissions(Permissions.ReadWrite);
  now("closed");
  assertEquals(lengths, {
    read: [LENGTH, 0],
    write: [0, LENGTH],
    no: [0, 0],
    both: [LENGTH, LENGTH],
    closed: [0, 0],
  });
});

Deno.test("MappedMemory.hostAddress() is where it is, until it is closed", () => {
  const memory = mapped();
  assertEquals(memory.hostAddress(), BigInt(memory.address));
  memory.close();
  assertThrows(() => memory.hostAddress(), MemoryClosed);
});

linuxTest("MappedMemory whose buffer was transferred is closed, and stays mapped", () => {
  const memory = mapped();
  const { address } = memory;
  const elsewhere = (memory.buffer as ArrayBuffer).transfer();
  assertThrows(() => memory.close(), TypeError, "its buffer was transferred");
  assertEquals([memory.closed, isMapped(address), elsewhere.byteLength], [true, true, LENGTH]);
  assertEquals(memory.copyOut(0, new Uint8Array(1), 1), false);
});

linuxTest("new MappedMemory() has takeDirty() order the writes of other threads", () => {
  if (!hasMembarrier()) return;
  let asked = 0;
  setTakeBarrier(() => asked++);
  const bitmap = (length: number) => new AtomicBitmap(length);
  using guest = GuestMemoryHeap.fromRanges([[GuestAddress(0), LENGTH]], { bitmap });
  takeDirty(guest);
  const memory = mapped();
  takeDirty(guest);
  memory.close();
  assertEquals(asked, 1);
});
