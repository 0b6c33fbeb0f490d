import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import {
  Cursor,
  Fd,
  FileOffset,
  GuestAddress,
  GuestMemoryMmap,
  GuestRegionMmap,
  MemoryClosed,
  MemoryRegionAddress,
  MemoryRegionOverlap,
  MmapRegion,
  Permissions,
  u16be,
  u32,
  u64,
  u8,
  VolatileSlice,
} from "../../mod.ts";
import { linuxTest, type Mapping, mappingAt, mappingsOf, temporaryFile } from "../proc_maps.ts";

const PAGE = 4096;
const at = 8;
const four = () => new Uint8Array(4);

/** Regions of one file of their own, so that the kernel can be asked which are mapped. */
function fileBacked() {
  const file = temporaryFile(16 * PAGE);
  const opened = Deno.openSync(file.path, { read: true, write: true });
  const page = (n: number) => new FileOffset(opened, n * PAGE);
  return {
    mmap: (n = 0) => new MmapRegion(PAGE, { file: page(n) }),
    /** The region of page n of the guest. */
    region: (n: number) =>
      GuestRegionMmap.fromRange(GuestAddress(n * PAGE), PAGE, { file: page(n) }),
    /** Which pages of the file are mapped. */
    mapped: () => mappingsOf(file.path).flatMap(pagesOf).sort((a, b) => a - b),
    [Symbol.dispose]() {
      opened.close();
      file[Symbol.dispose]();
    },
  };
}

// Mappings of pages in a row share a line where they happen to lie in a row.
function pagesOf({ start, end, offset }: Mapping): number[] {
  return Array.from({ length: (end - start) / PAGE }, (_, i) => offset / PAGE + i);
}

const gpa = (n: number) => GuestAddress(n * PAGE);
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
  ["exchange", (bytes) => bytes.exchange(u64, 7n, at)],
  ["compareExchange", (bytes) => bytes.compareExchange(u32, 0, 7, at)],
  ["fetchAdd", (bytes) => bytes.fetchAdd(u32, 7, at)],
  ["fetchSub", (bytes) => bytes.fetchSub(u32, 7, at)],
  ["fetchAnd", (bytes) => bytes.fetchAnd(u32, 7, at)],
  ["fetchOr", (bytes) => bytes.fetchOr(u32, 7, at)],
  ["fetchXor", (bytes) => bytes.fetchXor(u32, 7, at)],
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
  assertThrows(() => region.sync(), MemoryClosed);
  assertThrows(() => region.residentBytes(), MemoryClosed);
  assertThrows(() => region.retain(), MemoryClosed);
  assertThrows(() => new GuestRegionMmap(region, GuestAddress(0)), MemoryClosed);
  assertThrows(() => region.asVolatileSlice().readObj(u8, 0), MemoryClosed);
  assertThrows(() => region.getSlice(0, 8).readObj(u8, 0), MemoryClosed);
  assertThrows(() => region.getRef(u8, 0).load(), MemoryClosed);
  assertEquals([region.closed, region.len, `${region}`], [true, PAGE, "MmapRegion 4 KiB (closed)"]);
});

Deno.test("GuestRegionMmap after close() throws MemoryClosed and still says what it was", () => {
  const region = GuestRegionMmap.fromRange(gpa(1), PAGE);
  region.close();
  assertThrows(() => region.getHostAddress(first), MemoryClosed);
  assertThrows(() => region.retain(), MemoryClosed);
  assertThrows(() => region.handBack(), MemoryClosed);
  assertThrows(() => region.getSlice(first, 8).readObj(u8, 0), MemoryClosed);
  assertEquals([region.len, region.startAddr, region.mmap.closed], [PAGE, gpa(1), true]);
  assertEquals(`${region}`, "GuestRegionMmap 0x1000-0x1fff 4 KiB (closed)");
});

Deno.test("GuestMemoryMmap after close() throws MemoryClosed", () => {
  const memory = GuestMemoryMmap.fromRanges([[gpa(0), PAGE]]);
  const slices = memory.getSlices(gpa(0), PAGE);
  memory.close();
  using region = GuestRegionMmap.fromRange(gpa(1), PAGE);
  const uses: (() => unknown)[] = [
    () => memory.numRegions,
    () => memory.lastAddr,
    () => [...memory],
    () => memory.findRegion(gpa(0)),
    () => memory.toRegionAddr(gpa(0)),
    () => memory.addressInRange(gpa(0)),
    () => memory.checkAddress(gpa(0)),
    () => memory.checkRange(gpa(0), 1),
    () => memory.checkedOffset(gpa(0), 1),
    () => memory.getHostAddress(gpa(0)),
    () => memory.getSlice(gpa(0), 1),
    () => [...memory.getSlices(gpa(0), 1)],
    () => slices.next(),
    () => memory.tryAccess(1, gpa(0), () => 1),
    () => memory.insertRegion(region),
    () => memory.removeRegion(gpa(0), PAGE),
    () => memory.retain(),
  ];
  for (const use of uses) assertThrows(use, MemoryClosed);
  assertEquals([memory.closed, `${memory}`], [true, "GuestRegionCollection (closed)"]);
  region.writeObj(u8, 7, first);
});

linuxTest("using unmaps at the end of the block, and close() before it does no harm", () => {
  using file = fileBacked();
  {
    using mmap = file.mmap(0);
    using region = file.region(1);
    using memory = GuestMemoryMmap.fromRegions([file.region(2)]);
    assertEquals(file.mapped(), [0, 1, 2]);
    mmap.close();
    region.close();
    memory.close();
    assertEquals(file.mapped(), []);
  }
  {
    using _mmap = file.mmap(0);
    using _region = file.region(1);
    using _memory = GuestMemoryMmap.fromRegions([file.region(2)]);
  }
  assertEquals(file.mapped(), []);
});

linuxTest("close() again does not unmap what has been mapped there since", () => {
  using file = fileBacked();
  const old = file.mmap(0);
  const address = old.hostAddress();
  old.close();
  // The kernel mostly gives the same place again; the test is right in any case.
  using stack = new DisposableStack();
  for (let n = 1; n < 8; n++) stack.use(file.mmap(n));
  const before = mappingAt(address);
  old.close();
  old[Symbol.dispose]();
  assertEquals(mappingAt(address), before);
  assertEquals(file.mapped(), [1, 2, 3, 4, 5, 6, 7]);
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

linuxTest("MmapRegion.close() unmaps with the last region that lies in it", () => {
  using file = fileBacked();
  const mmap = file.mmap();
  const low = new GuestRegionMmap(mmap, gpa(0));
  const high = new GuestRegionMmap(mmap, gpa(8));
  mmap.close();
  assertFalse(mmap.closed);
  low.writeObj(u8, 7, first);
  low.close();
  assertEquals(file.mapped(), [0]);
  assertEquals(high.readObj(u8, first), 7);
  high.close();
  assertEquals([mmap.closed, file.mapped()], [true, []]);
});

linuxTest("MmapRegion.retain() keeps the mapping until release()", () => {
  using file = fileBacked();
  const mmap = file.mmap();
  mmap.retain();
  mmap.close();
  assertEquals(mmap.asVolatileSlice().readObj(u8, 0), 0);
  mmap.release();
  assertEquals(file.mapped(), []);
  mmap.release();
  mmap.close();
});

linuxTest("GuestRegionMmap.close() unmaps with the last memory that holds it", () => {
  using file = fileBacked();
  const region = file.region(3);
  const one = GuestMemoryMmap.fromRegions([region]);
  const two = GuestMemoryMmap.fromRegions([region]);
  region.close();
  one.writeObj(u8, 7, gpa(3));
  one.close();
  assertThrows(() => one.readObj(u8, gpa(3)), MemoryClosed);
  assertEquals(two.readObj(u8, gpa(3)), 7);
  assertEquals(file.mapped(), [3]);
  two.close();
  assertEquals(file.mapped(), []);
});

linuxTest("insertRegion() shares the regions: the last memory to close unmaps each", () => {
  using file = fileBacked();
  const small = GuestMemoryMmap.fromRegions([file.region(0), file.region(2)]);
  const large = small.insertRegion(file.region(1));
  assertEquals([small.numRegions, large.numRegions], [2, 3]);
  small.close();
  assertEquals(file.mapped(), [0, 1, 2]);
  large.writeObj(u8, 7, gpa(0));
  assertEquals(large.readObj(u8, gpa(0)), 7);
  large.close();
  assertEquals(file.mapped(), []);
});

linuxTest(
  "insertRegion() that is refused changes nothing, and the region stays the caller's",
  () => {
    using file = fileBacked();
    using memory = GuestMemoryMmap.fromRegions([file.region(0)]);
    const again = file.region(0);
    assertThrows(() => memory.insertRegion(again), MemoryRegionOverlap);
    assertEquals(file.mapped(), [0, 0]);
    again.close();
    assertEquals(file.mapped(), [0]);
    const closed = file.region(1);
    closed.close();
    assertThrows(() => memory.insertRegion(closed), MemoryClosed);
    assertEquals(memory.readObj(u8, gpa(0)), 0);
    memory.close();
    assertEquals(file.mapped(), []);
  },
);

linuxTest("removeRegion() keeps the region mapped for the old memory and for the caller", () => {
  using file = fileBacked();
  const old = GuestMemoryMmap.fromRegions([file.region(0), file.region(1)]);
  const [rest, removed] = old.removeRegion(gpa(1), PAGE);
  assertEquals([rest.numRegions, rest.findRegion(gpa(1))], [1, undefined]);
  old.writeObj(u8, 7, gpa(1));
  old.close();
  assertEquals(file.mapped(), [0, 1]);
  assertEquals(removed.readObj(u8, first), 7);
  removed.close();
  assertEquals(file.mapped(), [0]);
  rest.close();
  assertEquals(file.mapped(), []);
});

linuxTest("removeRegion() in whatever order the three are closed unmaps at the last", () => {
  for (const order of ["old rest removed", "removed rest old", "rest removed old"]) {
    using file = fileBacked();
    const old = GuestMemoryMmap.fromRegions([file.region(0), file.region(1)]);
    const [rest, removed] = old.removeRegion(gpa(1), PAGE);
    const all: Record<string, Disposable> = { old, rest, removed };
    const [a, b, c] = order.split(" ").map((name) => all[name]!);
    a![Symbol.dispose]();
    assertEquals(file.mapped(), [0, 1], order);
    b![Symbol.dispose]();
    assert(file.mapped().length > 0, order);
    c![Symbol.dispose]();
    assertEquals(file.mapped(), [], order);
  }
});

linuxTest(
  "removeRegion() of the last region leaves an empty memory, and the region moves on",
  () => {
    using file = fileBacked();
    const old = GuestMemoryMmap.fromRegions([file.region(0)]);
    const [empty, region] = old.removeRegion(gpa(0), PAGE);
    old.close();
    assertEquals([empty.numRegions, empty.lastAddr], [0, 0]);
    const next = empty.insertRegion(region);
    region.close();
    assertEquals(next.readObj(u8, gpa(0)), 0);
    next.close();
    assertEquals(file.mapped(), []);
    empty.close();
  },
);

linuxTest("GuestMemoryMmap.retain() keeps a memory until release()", () => {
  using file = fileBacked();
  const memory = GuestMemoryMmap.fromRegions([file.region(0)]);
  memory.retain();
  memory.close();
  assertEquals([memory.closed, memory.readObj(u8, gpa(0))], [false, 0]);
  memory.release();
  assertEquals([memory.closed, file.mapped()], [true, []]);
});

linuxTest("fromRegions() with a closed region is refused and takes hold of none", () => {
  using file = fileBacked();
  const good = file.region(0);
  const closed = file.region(1);
  closed.close();
  assertThrows(() => GuestMemoryMmap.fromRegions([good, closed]), MemoryClosed);
  assertEquals(good.readObj(u8, first), 0);
  good.close();
  assertEquals(file.mapped(), []);
});

linuxTest("fromRegions() that is refused leaves a region to the memory that holds it", () => {
  using file = fileBacked();
  const good = file.region(0);
  const holder = GuestMemoryMmap.fromRegions([good]);
  const closed = file.region(1);
  closed.close();
  assertThrows(() => GuestMemoryMmap.fromRegions([good, closed]), MemoryClosed);
  holder.close();
  assertEquals(file.mapped(), []);
});

linuxTest("a guard of memory() keeps the memory mapped until it is closed", () => {
  using file = fileBacked();
  const memory = GuestMemoryMmap.fromRegions([file.region(0)]);
  const guard = memory.memory();
  const clone = guard.clone();
  memory.close();
  guard.close();
  guard.close();
  assertEquals([file.mapped(), clone.memory.readObj(u8, gpa(0))], [[0], 0]);
  clone.close();
  assertEquals(file.mapped(), []);
  assertThrows(() => memory.memory(), MemoryClosed);
});

linuxTest("close() of a memory closes the other regions when one cannot be", () => {
  using file = fileBacked();
  const memory = GuestMemoryMmap.fromRegions([file.region(0), file.region(1)]);
  const { buffer } = memory.getSlice(gpa(0), 1).rawView();
  // Whoever transfers a root buffer away keeps that mapping alive: the close has to say so.
  structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
  assertThrows(() => memory.close(), TypeError, "transferred");
  assertEquals(file.mapped(), [0]);
});

linuxTest("mapping and closing 2,000 times leaves nothing mapped", () => {
  using file = fileBacked();
  for (let i = 0; i < 2000; i++) {
    using region = file.region(i % 16);
    region.writeObj(u32, i, first);
  }
  assertEquals(file.mapped(), []);
});
