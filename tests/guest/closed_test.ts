import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  AtomicRef,
  Cursor,
  GuestMemory,
  GuestMemoryHeap,
  GuestMemoryRegion,
  GuestRegionCollection,
  GuestRegionHeap,
  HostRegion,
  IoMemory,
  MemoryClosed,
  Permissions,
  u32,
  u8,
  VolatileArrayRef,
  VolatileRef,
  VolatileSlice,
} from "../../mod.ts";
import { gpa, offset } from "../support/values.ts";

type Calls<T> = Record<string, (target: T) => unknown>;

const buf = new Uint8Array(4);
const stream = () => new Cursor(new Uint8Array(4));

const MEMORY_CALLS: Calls<GuestMemoryHeap> = {
  findRegion: (memory) => memory.findRegion(gpa(0)),
  iteration: (memory) => [...memory],
  numRegions: (memory) => memory.numRegions,
  lastAddr: (memory) => memory.lastAddr,
  toRegionAddr: (memory) => memory.toRegionAddr(gpa(0)),
  addressInRange: (memory) => memory.addressInRange(gpa(0)),
  checkAddress: (memory) => memory.checkAddress(gpa(0)),
  checkRange: (memory) => memory.checkRange(gpa(0), 4),
  checkedOffset: (memory) => memory.checkedOffset(gpa(0), 4),
  getHostAddress: (memory) => memory.getHostAddress(gpa(0)),
  getSlice: (memory) => memory.getSlice(gpa(0), 4),
  getSlices: (memory) => memory.getSlices(gpa(0), 4).next(),
  tryAccess: (memory) => memory.tryAccess(4, gpa(0), () => 4),
  read: (memory) => memory.read(buf, gpa(0)),
  write: (memory) => memory.write(buf, gpa(0)),
  readSlice: (memory) => memory.readSlice(buf, gpa(0)),
  writeSlice: (memory) => memory.writeSlice(buf, gpa(0)),
  readObj: (memory) => memory.readObj(u32, gpa(0)),
  writeObj: (memory) => memory.writeObj(u32, 0, gpa(0)),
  load: (memory) => memory.load(u32, gpa(0)),
  store: (memory) => memory.store(u32, 0, gpa(0)),
  "getAtomicRef and an access": (memory) => memory.getAtomicRef(u32, gpa(0)).load(),
  readVolatileFrom: (memory) => memory.readVolatileFrom(gpa(0), stream(), 4),
  readExactVolatileFrom: (memory) => memory.readExactVolatileFrom(gpa(0), stream(), 4),
  writeVolatileTo: (memory) => memory.writeVolatileTo(gpa(0), stream(), 4),
  writeAllVolatileTo: (memory) => memory.writeAllVolatileTo(gpa(0), stream(), 4),
  readVectoredFrom: (memory) => memory.readVectoredFrom([[gpa(0), 4]], stream()),
  readExactVectoredFrom: (memory) => memory.readExactVectoredFrom([[gpa(0), 4]], stream()),
  writeVectoredTo: (memory) => memory.writeVectoredTo([[gpa(0), 4]], stream()),
  writeAllVectoredTo: (memory) => memory.writeAllVectoredTo([[gpa(0), 4]], stream()),
  insertRegion: (memory) => memory.insertRegion(new GuestRegionHeap(gpa(64), 16)),
  removeRegion: (memory) => memory.removeRegion(gpa(0), 16),
  retain: (memory) => memory.retain(),
  memory: (memory) => memory.memory(),
  access: (memory) => memory.access(4, gpa(0), Permissions.Read, (_total, count) => count),
};

const REGION_CALLS: Calls<GuestRegionHeap> = {
  read: (region) => region.read(buf, offset(0)),
  write: (region) => region.write(buf, offset(0)),
  readSlice: (region) => region.readSlice(buf, offset(0)),
  writeSlice: (region) => region.writeSlice(buf, offset(0)),
  readObj: (region) => region.readObj(u32, offset(0)),
  writeObj: (region) => region.writeObj(u32, 0, offset(0)),
  load: (region) => region.load(u32, offset(0)),
  store: (region) => region.store(u32, 0, offset(0)),
  "getAtomicRef and an access": (region) => region.getAtomicRef(u32, offset(0)).load(),
  readVolatileFrom: (region) => region.readVolatileFrom(offset(0), stream(), 4),
  readExactVolatileFrom: (region) => region.readExactVolatileFrom(offset(0), stream(), 4),
  writeVolatileTo: (region) => region.writeVolatileTo(offset(0), stream(), 4),
  writeAllVolatileTo: (region) => region.writeAllVolatileTo(offset(0), stream(), 4),
  "getSlice and an access": (region) => region.getSlice(offset(0), 4).readObj(u8, 0),
  "asVolatileSlice and an access": (region) => region.asVolatileSlice().readObj(u8, 0),
  retain: (region) => region.retain(),
  onRemoved: (region) => region.onRemoved(),
};

const SLICE_CALLS: Calls<VolatileSlice> = {
  rawView: (slice) => slice.rawView(),
  readOnlyView: (slice) => slice.readOnlyView(),
  read: (slice) => slice.read(buf, 0),
  write: (slice) => slice.write(buf, 0),
  readSlice: (slice) => slice.readSlice(buf, 0),
  writeSlice: (slice) => slice.writeSlice(buf, 0),
  readObj: (slice) => slice.readObj(u32, 0),
  writeObj: (slice) => slice.writeObj(u32, 0, 0),
  load: (slice) => slice.load(u32, 0),
  ensureAccessible: (slice) => slice.ensureAccessible("read"),
  store: (slice) => slice.store(u32, 0, 0),
  "getAtomicRef and an access": (slice) => slice.getAtomicRef(u32, 0).load(),
  readVolatileFrom: (slice) => slice.readVolatileFrom(0, stream(), 4),
  readExactVolatileFrom: (slice) => slice.readExactVolatileFrom(0, stream(), 4),
  writeVolatileTo: (slice) => slice.writeVolatileTo(0, stream(), 4),
  writeAllVolatileTo: (slice) => slice.writeAllVolatileTo(0, stream(), 4),
  copyTo: (slice) => slice.copyTo(buf),
  copyFrom: (slice) => slice.copyFrom(buf),
  "copyToVolatileSlice, from it": (slice) => slice.copyToVolatileSlice(VolatileSlice.from(buf)),
  "copyToVolatileSlice, to it": (slice) => VolatileSlice.from(buf).copyToVolatileSlice(slice),
  "subslice and an access": (slice) => slice.subslice(0, 4).readObj(u8, 0),
  "offset and an access": (slice) => slice.offset(4).readObj(u8, 0),
  "splitAt and an access": (slice) => slice.splitAt(4)[1].readObj(u8, 0),
  "getRef and an access": (slice) => slice.getRef(u8, 0).load(),
  "getArrayRef and an access": (slice) => slice.getArrayRef(u8, 0, 1).load(0),
};

const REF_CALLS: Calls<VolatileRef<number>> = {
  load: (ref) => ref.load(),
  store: (ref) => ref.store(1),
  "toSlice and an access": (ref) => ref.toSlice().readObj(u8, 0),
};

const ARRAY_REF_CALLS: Calls<VolatileArrayRef<number>> = {
  load: (ref) => ref.load(0),
  store: (ref) => ref.store(0, 1),
  "refAt and an access": (ref) => ref.refAt(0).load(),
  copyTo: (ref) => ref.copyTo([0]),
  copyFrom: (ref) => ref.copyFrom([1]),
  copyToVolatileSlice: (ref) => ref.copyToVolatileSlice(VolatileSlice.from(buf)),
  "toSlice and an access": (ref) => ref.toSlice().readObj(u8, 0),
};

const ATOMIC_REF_CALLS: Calls<AtomicRef<number>> = {
  load: (ref) => ref.load(),
  store: (ref) => ref.store(1),
  exchange: (ref) => ref.exchange(1),
  compareExchange: (ref) => ref.compareExchange(0, 1),
  fetchAdd: (ref) => ref.fetchAdd(1),
  fetchSub: (ref) => ref.fetchSub(1),
  fetchAnd: (ref) => ref.fetchAnd(1),
  fetchOr: (ref) => ref.fetchOr(1),
  fetchXor: (ref) => ref.fetchXor(1),
};

function assertClosed<T>(target: T, calls: Calls<T>): void {
  for (const [name, call] of Object.entries(calls)) {
    assertThrows(() => call(target), MemoryClosed, "closed", name);
  }
}

Deno.test("everything throws MemoryClosed after the memory was closed", () => {
  const memory = GuestMemoryHeap.fromRanges([[gpa(0), 16]]);
  const region = memory.findRegion(gpa(0))!;
  const slice = memory.getSlice(gpa(0), 16);
  const ref = slice.getRef(u32, 0);
  const arrayRef = slice.getArrayRef(u32, 0, 4);
  const atomicRefs = [memory, region].map((level) => level.getAtomicRef(u32, 0 as never));
  memory.close();
  assert(memory.closed);
  assertClosed(memory, MEMORY_CALLS);
  assertClosed(region, REGION_CALLS);
  assertClosed(slice, SLICE_CALLS);
  assertClosed(ref, REF_CALLS);
  assertClosed(arrayRef, ARRAY_REF_CALLS);
  for (const atomicRef of [...atomicRefs, slice.getAtomicRef(u32, 0)]) {
    assertClosed(atomicRef, ATOMIC_REF_CALLS);
  }
  assertEquals(new Uint8Array(region.buffer), new Uint8Array(16));
});

Deno.test("the tables of calls on closed memory leave no method out", () => {
  const harmless = new Set([
    ...["constructor", "toString", "describe", "close", "release", "onInserted"],
    ...["bitmap", "closed", "hostSlice"],
    ...["len", "isEmpty", "elementSize", "markDirty", "computeEndOffset", "asVolatileSlice"],
    ...["lastAddr", "fileOffset", "isHugetlbfs", "checkAddress", "addressInRange"],
    ...["checkedOffset", "toRegionAddr", "getHostAddress", "getSlice", "physicalMemory"],
    ...["withBitmap", "tracking", "withRegions"],
  ]);
  const classes: [abstract new (...args: never) => unknown, Calls<never>][] = [
    [IoMemory, MEMORY_CALLS],
    [GuestMemory, MEMORY_CALLS],
    [GuestRegionCollection, MEMORY_CALLS],
    [GuestMemoryRegion, REGION_CALLS],
    [HostRegion, REGION_CALLS],
    [GuestRegionHeap, REGION_CALLS],
    [VolatileSlice, SLICE_CALLS],
    [AtomicRef, ATOMIC_REF_CALLS],
    [VolatileRef, REF_CALLS],
    [VolatileArrayRef, ARRAY_REF_CALLS],
  ];
  for (const [{ name, prototype }, calls] of classes) {
    const covered = Object.keys(calls).map((call) => call.match(/^\w+/)![0]);
    const members = Object.getOwnPropertyNames(prototype);
    const missing = members.filter((member) => !harmless.has(member) && !covered.includes(member));
    assertEquals([name, missing], [name, []]);
  }
});
