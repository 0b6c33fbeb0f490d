import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  Cursor,
  Fd,
  GuestAddress,
  GuestMemoryMmap,
  GuestRegionMmap,
  MemoryClosed,
  MemoryRegionAddress,
  MmapRegion,
  Permissions,
  u16be,
  u32,
  u64,
  u8,
  VolatileSlice,
} from "../../../mod.ts";

const PAGE = 4096;
const at = 8;
const four = () => new Uint8Array(4);
const pageAt = (n: number) => GuestAddress(n * PAGE);
const first = MemoryRegionAddress(0);

// What VolatileSlice, GuestRegionMmap and GuestMemory have in common, with a number as address.
const BYTES: readonly (readonly [string, (bytes: VolatileSlice) => unknown])[] = [
  ["read", (bytes) => bytes.read(four(), at)],
  ["write", (bytes) => bytes.write(four(), at)],
  ["readSlice", (bytes) => bytes.readSlice(four(), at)],
  ["writeSlice", (bytes) => bytes.writeSlice(four(), at)],
  ["readObj", (bytes) => bytes.readObj(u64, at)],
  ["readObj, unaligned", (bytes) => bytes.readObj(u16be, at + 1)],
  ["writeObj", (bytes) => bytes.writeObj(u64, 7n, at)],
  ["writeObj, unaligned", (bytes) => bytes.writeObj(u16be, 7, at + 1)],
  ["load", (bytes) => bytes.load(u32, at)],
  ["store", (bytes) => bytes.store(u32, 7, at)],
  ["exchange", (bytes) => bytes.getAtomicRef(u64, at).exchange(7n)],
  ["compareExchange", (bytes) => bytes.getAtomicRef(u32, at).compareExchange(0, 7)],
  ["fetchAdd", (bytes) => bytes.getAtomicRef(u32, at).fetchAdd(7)],
  ["fetchSub", (bytes) => bytes.getAtomicRef(u32, at).fetchSub(7)],
  ["fetchAnd", (bytes) => bytes.getAtomicRef(u32, at).fetchAnd(7)],
  ["fetchOr", (bytes) => bytes.getAtomicRef(u32, at).fetchOr(7)],
  ["fetchXor", (bytes) => bytes.getAtomicRef(u32, at).fetchXor(7)],
  ["readVolatileFrom", (bytes) => bytes.readVolatileFrom(at, new Cursor(four()), 4)],
  ["readExactVolatileFrom", (bytes) => bytes.readExactVolatileFrom(at, new Cursor(four()), 4)],
  ["writeVolatileTo", (bytes) => bytes.writeVolatileTo(at, new Cursor(four()), 4)],
  ["writeAllVolatileTo", (bytes) => bytes.writeAllVolatileTo(at, new Cursor(four()), 4)],
  ["reading a stream of Deno", (bytes) => bytes.readVolatileFrom(at, { readSync: () => 4 }, 4)],
  ["writing a stream of Deno", (bytes) => bytes.writeVolatileTo(at, { writeSync: () => 4 }, 4)],
  ["reading a descriptor", (bytes) => bytes.readVolatileFrom(at, new Fd(0), 4)],
  ["writing a descriptor", (bytes) => bytes.writeVolatileTo(at, new Fd(1), 4)],
  ["getSlice and readObj", (bytes) => bytes.getSlice(at, 8).readObj(u64, 0)],
];

const SLICE: readonly (readonly [string, (slice: VolatileSlice) => unknown])[] = [
  ["rawView", (slice) => slice.rawView()],
  ["readOnlyView", (slice) => slice.readOnlyView()],
  ["copyTo", (slice) => slice.copyTo(four())],
  ["copyFrom", (slice) => slice.copyFrom(four())],
  ["copyToVolatileSlice", (slice) => slice.copyToVolatileSlice(VolatileSlice.from(four()))],
  ["copyToVolatileSlice to it", (slice) => VolatileSlice.from(four()).copyToVolatileSlice(slice)],
  ["offset", (slice) => slice.offset(8).readObj(u8, 0)],
  ["splitAt", (slice) => slice.splitAt(8)[1].readObj(u8, 0)],
  ["getRef", (slice) => slice.getRef(u32, at).load()],
  ["getArrayRef", (slice) => slice.getArrayRef(u32, at, 2).load(1)],
];

for (const [name, access] of BYTES) {
  Deno.test(`${name} after close() throws MemoryClosed at every level`, () => {
    const memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), PAGE]]);
    const region = memory.findRegion(GuestAddress(0))!;
    const slice = region.asVolatileSlice();
    const part = slice.getSlice(16, 256);
    const bytes = [memory, region, slice, part] as unknown as VolatileSlice[];
    memory.close();
    for (const level of bytes) assertThrows(() => access(level), MemoryClosed, "closed");
  });
}

for (const [name, access] of SLICE) {
  Deno.test(`VolatileSlice: ${name} after close() throws MemoryClosed`, () => {
    const region = new MmapRegion(PAGE);
    const slices = [region.asVolatileSlice(), region.getSlice(16, 256)];
    region.close();
    for (const slice of slices) assertThrows(() => access(slice), MemoryClosed);
  });
}

Deno.test("References taken before close() throw MemoryClosed", () => {
  const region = new MmapRegion(PAGE);
  const ref = region.getRef(u32, at);
  const array = region.getArrayRef(u32, at, 4);
  const atomic = region.getAtomicRef(u32, at);
  const element = array.refAt(2);
  region.close();
  assertThrows(() => ref.load(), MemoryClosed);
  assertThrows(() => ref.store(1), MemoryClosed);
  assertThrows(() => array.load(0), MemoryClosed);
  assertThrows(() => array.store(0, 1), MemoryClosed);
  assertThrows(() => array.copyTo([0]), MemoryClosed);
  assertThrows(() => array.copyFrom([0]), MemoryClosed);
  assertThrows(() => array.copyToVolatileSlice(VolatileSlice.from(four())), MemoryClosed);
  assertThrows(() => element.load(), MemoryClosed);
  assertThrows(() => atomic.load(), MemoryClosed);
  assertThrows(() => atomic.store(1), MemoryClosed);
  assertThrows(() => atomic.fetchAdd(1), MemoryClosed);
});

Deno.test("MmapRegion after close() throws MemoryClosed and still says what it was", () => {
  const region = new MmapRegion(PAGE);
  region.close();
  assertThrows(() => region.hostAddress(), MemoryClosed);
  assertThrows(() => region.protect(Permissions.Read), MemoryClosed);
  assertThrows(() => region.advise("dontneed"), MemoryClosed);
  assertThrows(() => region.flush(), MemoryClosed);
  assertThrows(() => region.residentBytes(), MemoryClosed);
  assertThrows(() => region.retain(), MemoryClosed);
  assertThrows(() => new GuestRegionMmap(region, GuestAddress(0)), MemoryClosed);
  assertThrows(() => region.asVolatileSlice().readObj(u8, 0), MemoryClosed);
  assertThrows(() => region.getSlice(0, 8).readObj(u8, 0), MemoryClosed);
  assertThrows(() => region.getRef(u8, 0).load(), MemoryClosed);
  assertEquals([region.closed, region.len, `${region}`], [true, PAGE, "MmapRegion 4 KiB (closed)"]);
});

Deno.test("MmapRegion whose buffer was transferred throws MemoryClosed", async () => {
  const region = new MmapRegion(PAGE);
  const kept = (region.asVolatileSlice().rawView().buffer as ArrayBuffer).transfer();
  const uses: (() => unknown)[] = [
    () => region.advise("normal"),
    () => region.discard(),
    () => region.fill(0, 1, 1),
    () => region.isZero(),
    () => region.flush(),
    () => region.residentBytes(),
    () => region.share(),
    () => region.protect(Permissions.Read),
    () => region.fdsOverlap(region),
  ];
  for (const use of uses) assertThrows(use, MemoryClosed);
  await assertRejects(() => region.prefault(), MemoryClosed);
  assertEquals(kept.byteLength, PAGE);
});

Deno.test("GuestRegionMmap after close() throws MemoryClosed and still says what it was", () => {
  const region = GuestRegionMmap.fromRange(pageAt(1), PAGE);
  region.close();
  assertThrows(() => region.getHostAddress(first), MemoryClosed);
  assertThrows(() => region.retain(), MemoryClosed);
  assertThrows(() => region.onRemoved(), MemoryClosed);
  assertThrows(() => region.getSlice(first, 8).readObj(u8, 0), MemoryClosed);
  assertEquals([region.len, region.startAddr, region.mmap.closed], [PAGE, pageAt(1), true]);
  assertEquals(`${region}`, "GuestRegionMmap 0x1000-0x1fff 4 KiB (closed)");
});

Deno.test("GuestMemoryMmap after close() throws MemoryClosed", () => {
  const memory = GuestMemoryMmap.fromRanges([[pageAt(0), PAGE]]);
  const slices = memory.getSlices(pageAt(0), PAGE);
  memory.close();
  using region = GuestRegionMmap.fromRange(pageAt(1), PAGE);
  const uses: (() => unknown)[] = [
    () => memory.numRegions,
    () => memory.lastAddr,
    () => [...memory],
    () => memory.findRegion(pageAt(0)),
    () => memory.toRegionAddr(pageAt(0)),
    () => memory.addressInRange(pageAt(0)),
    () => memory.checkAddress(pageAt(0)),
    () => memory.checkRange(pageAt(0), 1),
    () => memory.checkedOffset(pageAt(0), 1),
    () => memory.getHostAddress(pageAt(0)),
    () => memory.getSlice(pageAt(0), 1),
    () => [...memory.getSlices(pageAt(0), 1)],
    () => slices.next(),
    () => memory.tryAccess(1, pageAt(0), () => 1),
    () => memory.insertRegion(region),
    () => memory.removeRegion(pageAt(0), PAGE),
    () => memory.retain(),
  ];
  for (const use of uses) assertThrows(use, MemoryClosed);
  assertEquals([memory.closed, `${memory}`], [true, "GuestMemoryMmap (closed)"]);
  region.writeObj(u8, 7, first);
});

Deno.test("close() empties every raw view, part and DataView of it", () => {
  const region = new MmapRegion(2 * PAGE);
  const view = region.asVolatileSlice().rawView();
  const part = region.getSlice(PAGE, 16).rawView();
  const words = new Uint32Array(view.buffer, 16, 4);
  const data = new DataView(view.buffer, 8, 8);
  view.fill(7);
  region.close();
  assertEquals([view.length, part.length, words.length, view.buffer.byteLength], [0, 0, 0, 0]);
  assertEquals([view[0], part[0], words[0]], [undefined, undefined, undefined]);
  view[0] = 1;
  assertThrows(() => data.getUint8(0), TypeError);
  assertThrows(() => data.setUint8(0, 1), TypeError);
  assertThrows(() => part.fill(1), TypeError);
  assertThrows(() => Atomics.load(words, 0), TypeError);
});
