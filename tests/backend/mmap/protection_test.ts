import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import {
  AccessDenied,
  array,
  Backing,
  bytes,
  Cursor,
  Fd,
  FileOffset,
  GuestAddress,
  GuestMemoryMmap,
  GuestRegionMmap,
  type HostMemory,
  type MmapOptions,
  MmapRegion,
  Permissions,
  type ReaderSync,
  struct,
  SystemError,
  u16be,
  u32,
  u64,
  u8,
  VolatileSlice,
  type WriterSync,
} from "../../../mod.ts";
import { pageCalls } from "../../../ffi/libc.ts";
import { mappingAt } from "../../support/proc_maps.ts";
import { RecordingBitmap } from "../../support/recording_bitmap.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { temporaryFile } from "../../support/temporary_file.ts";

const PAGE = 4096;
const { No, Read, ReadWrite, Write } = Permissions;

// One signature for memory, regions and slices: an address is a number to them all.
type AnyBytes = VolatileSlice;

/** The same bytes as a memory, a region and a slice. */
function levels(options: MmapOptions) {
  const memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), PAGE]], options);
  const region = memory.findRegion(GuestAddress(0))!;
  const { mmap } = region;
  return {
    memory,
    mmap,
    slice: region.asVolatileSlice(),
    all: [memory, region, mmap.asVolatileSlice()] as unknown as readonly AnyBytes[],
    [Symbol.dispose]: () => memory.close(),
  };
}

const at = 8;
const eight = () => new Uint8Array(8).fill(7);
const Pair = struct({ a: u16be, b: u64 });

// What reads before it writes is refused as a read where neither is allowed.
const readsFirst = (name: string) =>
  ["exchange", "compareExchange", "fetch", "rawView"].some((part) => name.includes(part));

const WRITES: readonly (readonly [string, (to: AnyBytes) => unknown])[] = [
  ["write", (to) => to.write(eight(), at)],
  ["writeSlice", (to) => to.writeSlice(eight(), at)],
  ["writeObj of a scalar", (to) => to.writeObj(u64, 7n, at)],
  ["writeObj of an unaligned scalar", (to) => to.writeObj(u32, 7, at + 1)],
  ["writeObj of a structure", (to) => to.writeObj(Pair, { a: 7, b: 7n }, at)],
  ["writeObj of an array", (to) => to.writeObj(array(u8, 2), [7, 7], at)],
  ["writeObj of bytes", (to) => to.writeObj(bytes(8), eight(), at)],
  ["store of 8 bits", (to) => to.store(u8, 7, at)],
  ["store of 64 bits", (to) => to.store(u64, 7n, at)],
  ["exchange", (to) => to.getAtomicRef(u32, at).exchange(7)],
  ["compareExchange", (to) => to.getAtomicRef(u64, at).compareExchange(0n, 7n)],
  ["compareExchange that does not replace", (to) => to.getAtomicRef(u32, at).compareExchange(9, 7)],
  ["fetchAdd", (to) => to.getAtomicRef(u32, at).fetchAdd(7)],
  ["fetchSub", (to) => to.getAtomicRef(u32, at).fetchSub(7)],
  ["fetchAnd", (to) => to.getAtomicRef(u32, at).fetchAnd(7)],
  ["fetchOr", (to) => to.getAtomicRef(u32, at).fetchOr(7)],
  ["fetchXor", (to) => to.getAtomicRef(u64, at).fetchXor(7n)],
  ["getSlice and write", (to) => to.getSlice(at, 8).write(eight(), 0)],
];

const READS: readonly (readonly [string, (from: AnyBytes) => unknown])[] = [
  ["read", (from) => from.read(eight(), at)],
  ["readSlice", (from) => from.readSlice(eight(), at)],
  ["readObj of a scalar", (from) => from.readObj(u64, at)],
  ["readObj of an unaligned scalar", (from) => from.readObj(u32, at + 1)],
  ["readObj of a structure", (from) => from.readObj(Pair, at)],
  ["readObj of bytes", (from) => from.readObj(bytes(8), at)],
  ["load of 8 bits", (from) => from.load(u8, at)],
  ["load of 64 bits", (from) => from.load(u64, at)],
  ["getSlice and read", (from) => from.getSlice(at, 8).read(eight(), 0)],
];

const SLICE_WRITES: readonly (readonly [string, (to: VolatileSlice) => unknown])[] = [
  ["copyFrom of bytes", (to) => to.copyFrom(eight())],
  ["copyFrom of words", (to) => to.copyFrom(Uint32Array.of(7))],
  ["copyToVolatileSlice to it", (to) => VolatileSlice.from(eight()).copyToVolatileSlice(to)],
  ["getRef().store", (to) => to.getRef(u32, at).store(7)],
  ["getArrayRef().store", (to) => to.getArrayRef(u32, at, 2).store(1, 7)],
  ["getArrayRef().refAt().store", (to) => to.getArrayRef(u32, at, 2).refAt(0).store(7)],
  ["getArrayRef().copyFrom", (to) => to.getArrayRef(u32, at, 2).copyFrom([7, 7])],
  ["getAtomicRef().store", (to) => to.getAtomicRef(u32, at).store(7)],
  ["getAtomicRef().fetchAdd", (to) => to.getAtomicRef(u32, at).fetchAdd(7)],
  ["rawView", (to) => to.rawView()],
  ["subslice().rawView", (to) => to.subslice(at, 8).rawView()],
  ["offset().write", (to) => to.offset(at).write(eight(), 0)],
  ["splitAt()[1].write", (to) => to.splitAt(at)[1].write(eight(), 0)],
];

const SLICE_READS: readonly (readonly [string, (from: VolatileSlice) => unknown])[] = [
  ["copyTo of bytes", (from) => from.copyTo(eight())],
  ["copyTo of words", (from) => from.copyTo(new Uint32Array(2))],
  ["copyToVolatileSlice", (from) => from.copyToVolatileSlice(VolatileSlice.from(eight()))],
  ["getRef().load", (from) => from.getRef(u32, at).load()],
  ["getArrayRef().load", (from) => from.getArrayRef(u32, at, 2).load(1)],
  ["getArrayRef().refAt().load", (from) => from.getArrayRef(u32, at, 2).refAt(0).load()],
  ["getArrayRef().copyTo", (from) => from.getArrayRef(u32, at, 2).copyTo([0, 0])],
  ["getAtomicRef().load", (from) => from.getAtomicRef(u32, at).load()],
  ["readOnlyView", (from) => from.readOnlyView()],
];

function assertDenied(access: "read" | "write", use: () => unknown): void {
  assertEquals(assertThrows(use, AccessDenied).access, access);
}

for (const protection of [Read, No] as const) {
  const kind = protection === Read ? "read-only" : "inaccessible";
  for (const [name, write] of WRITES) {
    Deno.test(`${name} to ${kind} memory is refused at every level and marks nothing`, () => {
      const recorder = new RecordingBitmap();
      using to = levels({ protection, bitmap: () => recorder });
      const access = protection === No && readsFirst(name) ? "read" : "write";
      for (const level of to.all) assertDenied(access, () => write(level));
      assertEquals(recorder.take(), []);
      if (protection === Read) assert(to.slice.readOnlyView().every((byte) => byte === 0));
    });
  }
  for (const [name, write] of SLICE_WRITES) {
    Deno.test(`${name} to ${kind} memory is refused and marks nothing`, () => {
      const recorder = new RecordingBitmap();
      using to = levels({ protection, bitmap: () => recorder });
      assertDenied(protection === No && readsFirst(name) ? "read" : "write", () => write(to.slice));
      assertEquals(recorder.take(), []);
      if (protection === Read) assert(to.slice.readOnlyView().every((byte) => byte === 0));
    });
  }
}

for (const [name, read] of [...READS, ...SLICE_READS]) {
  Deno.test(`${name} from inaccessible memory is refused, from read-only memory is not`, () => {
    using none = levels({ protection: No });
    using readable = levels({ protection: Read });
    assertDenied("read", () => read(none.slice));
    read(readable.slice);
  });
}

for (const [name, read] of READS) {
  Deno.test(`${name} from inaccessible memory is refused at every level`, () => {
    using from = levels({ protection: No });
    for (const level of from.all) assertDenied("read", () => read(level));
  });
}

Deno.test("readVolatileFrom to read-only memory is refused before the stream is read", () => {
  using to = levels({ protection: Read });
  let calls = 0;
  const deno: ReaderSync = {
    readSync: (buffer) => {
      calls++;
      return buffer.fill(7).length;
    },
  };
  for (const level of to.all) {
    const cursor = new Cursor(eight());
    assertDenied("write", () => level.readVolatileFrom(at, cursor, 8));
    assertDenied("write", () => level.readExactVolatileFrom(at, cursor, 8));
    assertDenied("write", () => level.readVolatileFrom(at, deno, 8));
    assertDenied("write", () => level.readExactVolatileFrom(at, deno, 8));
    assertEquals([cursor.position, calls], [0, 0]);
  }
});

Deno.test("writeVolatileTo from inaccessible memory is refused before the stream is written", () => {
  using from = levels({ protection: No });
  let calls = 0;
  const deno: WriterSync = { writeSync: (buffer) => (calls++, buffer.length) };
  for (const level of from.all) {
    const cursor = new Cursor(eight());
    assertDenied("read", () => level.writeVolatileTo(at, cursor, 8));
    assertDenied("read", () => level.writeAllVolatileTo(at, cursor, 8));
    assertDenied("read", () => level.writeVolatileTo(at, deno, 8));
    assertDenied("read", () => level.writeAllVolatileTo(at, deno, 8));
    assertEquals([cursor.position, calls], [0, 0]);
    assertEquals(cursor.bytes, eight());
  }
});

Deno.test("writeVolatileTo from read-only memory works, to a file too", () => {
  using file = temporaryFile(new Uint8Array(PAGE).fill(7));
  using source = Deno.openSync(file.path);
  using sink = temporaryFile(0);
  using opened = Deno.openSync(sink.path, { read: true, write: true });
  using region = MmapRegion.fromFile(new FileOffset(source), PAGE, { protection: Read });
  region.asVolatileSlice().writeAllVolatileTo(0, opened, PAGE);
  assertEquals(Deno.readFileSync(sink.path), new Uint8Array(PAGE).fill(7));
});

Deno.test("a descriptor is not read into read-only memory, nor written from inaccessible memory", () => {
  using file = temporaryFile(16);
  using opened = Deno.openSync(file.path, { read: true, write: true });
  const fd = new Fd(new FileOffset(opened).fd);
  using readable = levels({ protection: Read });
  for (const level of readable.all) {
    assertDenied("write", () => level.readVolatileFrom(at, fd, 8));
    assertDenied("write", () => level.readExactVolatileFrom(at, fd, 8));
    assertDenied("write", () => fd.readVolatile(level.getSlice(at, 8)));
  }
  using none = levels({ protection: No });
  for (const level of none.all) {
    assertDenied("read", () => level.writeVolatileTo(at, fd, 8));
    assertDenied("read", () => level.writeAllVolatileTo(at, fd, 8));
    assertDenied("read", () => fd.writeVectoredVolatile([level.getSlice(at, 8)]));
  }
  assertEquals(opened.seekSync(0, Deno.SeekMode.Current), 0);
  readable.slice.writeAllVolatileTo(at, fd, 8);
  assertEquals(opened.seekSync(0, Deno.SeekMode.Current), 8);
});

Deno.test("read-modify-write of write-only memory is refused as it would read", () => {
  using memory = levels({ protection: Write });
  for (const level of memory.all) {
    assertThrows(() => level.getAtomicRef(u32, at).fetchAdd(1), AccessDenied);
    assertThrows(() => level.getAtomicRef(u32, at).exchange(1), AccessDenied);
    assertThrows(() => level.getAtomicRef(u32, at).compareExchange(0, 1), AccessDenied);
  }
});

Deno.test("accesses of zero bytes succeed in memory of every protection, at any offset", () => {
  for (const protection of [No, Read, Write, ReadWrite] as const) {
    using memory = levels({ protection });
    const empty = new Uint8Array(0);
    for (const level of memory.all) {
      for (const offset of [0, 8, PAGE, PAGE + 1]) {
        assertEquals(level.read(empty, offset), 0);
        assertEquals(level.write(empty, offset), 0);
        level.readSlice(empty, offset);
        level.writeSlice(empty, offset);
        assertEquals(level.readVolatileFrom(offset, new Cursor(eight()), 0), 0);
        assertEquals(level.writeVolatileTo(offset, new Cursor(eight()), 0), 0);
      }
    }
  }
});

Deno.test("values of zero bytes are read and written in memory of every protection", () => {
  for (const protection of [ReadWrite, Read, No] as const) {
    using memory = levels({ protection });
    for (const level of memory.all) {
      for (const offset of [0, 8, PAGE, PAGE + 1]) {
        assertEquals(level.readObj(bytes(0), offset), new Uint8Array(0));
        level.writeObj(bytes(0), new Uint8Array(0), offset);
      }
    }
  }
});

Deno.test("write-only memory is written and not read", () => {
  using memory = levels({ protection: Write });
  assertEquals(memory.slice.write(eight(), 0), 8);
  assertDenied("read", () => memory.slice.readObj(u8, 0));
  assertDenied("read", () => memory.slice.readOnlyView());
  memory.mmap.protect(ReadWrite);
  assertEquals(memory.slice.readObj(u8, 7), 7);
});

Deno.test("a write that crosses into read-only memory is refused there, what came before is done", () => {
  const recorder = new RecordingBitmap();
  using memory = GuestMemoryMmap.fromRegions([
    GuestRegionMmap.fromRange(GuestAddress(0), PAGE, { bitmap: () => recorder }),
    GuestRegionMmap.fromRange(GuestAddress(PAGE), PAGE, { protection: Read }),
  ]);
  assertDenied("write", () => memory.write(eight(), GuestAddress(PAGE - 4)));
  assertDenied("write", () => memory.writeObj(u64, 7n, GuestAddress(PAGE - 4)));
  assertEquals(recorder.take(), [[PAGE - 4, 4], [PAGE - 4, 4]]);
  assertEquals(memory.readObj(u64, GuestAddress(PAGE - 4)), 7n);
  assertEquals(memory.readObj(u32, GuestAddress(PAGE)), 0);
});

linuxTest("MmapRegion.protect() changes the kernel's mind and that of slices taken before", () => {
  using region = new MmapRegion(PAGE);
  const slice = region.getSlice(0, 16);
  const shown = () => mappingAt(region.hostAddress())?.permissions;
  slice.writeObj(u8, 1, 0);
  region.protect(Read);
  assertEquals([shown(), region.protection], ["r--p", Read]);
  assertDenied("write", () => slice.writeObj(u8, 2, 0));
  assertEquals(slice.readObj(u8, 0), 1);
  region.protect(No);
  assertEquals([shown(), region.protection], ["---p", No]);
  assertDenied("read", () => slice.readObj(u8, 0));
  assertDenied("write", () => slice.writeObj(u8, 2, 0));
  region.protect(ReadWrite);
  assertEquals([shown(), region.protection], ["rw-p", ReadWrite]);
  slice.writeObj(u8, 3, 0);
  assertEquals(slice.readObj(u8, 0), 3);
});

Deno.test("MmapRegion.protect() is shown by toString()", () => {
  using region = new MmapRegion(PAGE);
  const shown = ([No, Read, Write, ReadWrite] as const).map((protection) => {
    region.protect(protection);
    return `${region}`;
  });
  assertEquals(shown, [
    "MmapRegion 4 KiB anonymous private no access",
    "MmapRegion 4 KiB anonymous private read-only",
    "MmapRegion 4 KiB anonymous private write-only",
    "MmapRegion 4 KiB anonymous private read-write",
  ]);
});

linuxTest("MmapRegion.protect() that the kernel refuses changes nothing", () => {
  using file = temporaryFile(new Uint8Array(PAGE).fill(7));
  using opened = Deno.openSync(file.path, { read: true });
  using region = MmapRegion.fromFile(new FileOffset(opened), PAGE, { protection: Read });
  const slice = region.asVolatileSlice();
  for (const wanted of [ReadWrite, Write] as const) {
    const error = assertThrows(() => region.protect(wanted), SystemError);
    assertEquals([error.call, error.code, error.errno], ["mprotect", "EACCES", 13]);
    assertEquals([region.protection, slice.readObj(u8, 0)], [Read, 7]);
    assertDenied("write", () => slice.writeObj(u8, 1, 0));
    assertEquals(mappingAt(region.hostAddress())?.permissions, "r--s");
  }
});

Deno.test("MmapRegion of a file open to read only is refused shared, and works private", () => {
  using file = temporaryFile(new Uint8Array(PAGE).fill(7));
  using opened = Deno.openSync(file.path, { read: true });
  const offset = new FileOffset(opened);
  const error = assertThrows(() => MmapRegion.fromFile(offset, PAGE), SystemError);
  assertEquals([error.call, error.code], ["mmap", "EACCES"]);
  using region = new MmapRegion(PAGE, { backing: Backing.file(offset, { private: true }) });
  region.asVolatileSlice().writeObj(u8, 1, 0);
  assertEquals(region.asVolatileSlice().readObj(u8, 0), 1);
  assertEquals(Deno.readFileSync(file.path)[0], 7);
});

Deno.test("rawView() is refused from the moment protect() took the right to write", () => {
  using region = new MmapRegion(PAGE);
  assertEquals(region.asVolatileSlice().rawView().length, PAGE);
  region.protect(Read);
  assertDenied("write", () => region.asVolatileSlice().rawView());
  assertEquals(region.asVolatileSlice().readOnlyView().length, PAGE);
  assertFalse(Permissions.hasWrite(region.protection));
});

linuxTest("MmapRegion.protect() lets nothing be accessed while the kernel changes it", () => {
  using mmap = new MmapRegion(PAGE, { protection: Permissions.Read });
  const { memory } = mmap.asVolatileSlice();
  const state = () => [memory.openLength, ...may(memory)];
  const calls = pageCalls() as { mprotect: (...args: never[]) => number };
  const { mprotect } = calls;
  const seen: unknown[][] = [];
  calls.mprotect = (...args) => {
    seen.push(state());
    return mprotect(...args);
  };
  try {
    mmap.protect(Permissions.ReadWrite);
    seen.push(state());
    mmap.protect(Permissions.Write);
    seen.push(state());
  } finally {
    calls.mprotect = mprotect;
  }
  assertEquals(seen, [
    [0, false, false],
    [PAGE, true, true],
    [0, false, false],
    [0, false, true],
  ]);
});

function may(memory: HostMemory): boolean[] {
  return (["read", "write"] as const).map((access) => memory.permits(access, 0, PAGE));
}

Deno.test("MmapRegion.protect() empties every raw view, whatever it changes to", () => {
  for (const from of [ReadWrite] as const) {
    for (const to of [Read, Write, No] as const) {
      using region = new MmapRegion(PAGE, { protection: from });
      const slice = region.asVolatileSlice();
      const view = slice.rawView();
      const words = new Uint32Array(view.buffer, 8, 2);
      const data = new DataView(view.buffer);
      view[0] = 7;
      const arrays = { ...slice.memory };
      region.protect(to);
      assertEquals([view.length, words.length, view.buffer.byteLength], [0, 0, 0]);
      assertThrows(() => data.getUint8(0), TypeError);
      assert(slice.memory.u8 !== arrays.u8);
      assertEquals([slice.memory.u8.length, slice.memory.length], [0, PAGE]);
      region.protect(ReadWrite);
      // A view that was emptied stays so. New ones show what was there.
      assertEquals([view.length, slice.rawView()[0]], [0, 7]);
    }
  }
});

Deno.test("MmapRegion.protect() to what it is changes nothing, and keeps views", () => {
  using region = new MmapRegion(PAGE);
  const view = region.asVolatileSlice().rawView();
  region.protect(ReadWrite);
  assertEquals(view.length, PAGE);
});

Deno.test("rawView() needs the permission to read and to write", () => {
  using region = new MmapRegion(PAGE);
  const slice = region.asVolatileSlice();
  const refused = ([Read, Write, No] as const).map((protection) => {
    region.protect(protection);
    return assertThrows(() => slice.rawView(), AccessDenied).access;
  });
  assertEquals(refused, ["write", "read", "read"]);
});

Deno.test("readOnlyView() of read-only memory is a copy, which does not reach the memory", () => {
  using region = new MmapRegion(PAGE);
  const slice = region.asVolatileSlice();
  slice.writeObj(u8, 7, 0);
  const live = slice.readOnlyView();
  slice.writeObj(u8, 8, 0);
  assertEquals(live[0], 8);
  region.protect(Read);
  const copy = slice.readOnlyView();
  assertEquals([live.length, copy.length, copy[0]], [0, PAGE, 8]);
  copy.fill(1);
  assertEquals([slice.readObj(u8, 0), slice.readOnlyView()[0]], [8, 8]);
});

Deno.test("values and copies reach memory that has no arrays, as its protection allows", () => {
  const recorder = new RecordingBitmap();
  using memory = levels({ bitmap: () => recorder });
  memory.slice.write(Uint8Array.from({ length: 64 }, (_, i) => i), 0);
  memory.mmap.protect(Read);
  for (const level of memory.all) {
    // Of every size, at every alignment.
    for (let start = 0; start < 9; start++) {
      const buf = new Uint8Array(13);
      assertEquals([level.read(buf, start), buf[0], buf[12]], [13, start, start + 12]);
      assertEquals(level.readObj(u8, start), start);
      const expected = new DataView(Uint8Array.from({ length: 8 }, (_, i) => start + i).buffer);
      assertEquals(level.readObj(u32, start), expected.getUint32(0, true));
      assertEquals(level.readObj(u64, start), expected.getBigUint64(0, true));
    }
    assertEquals(level.load(u32, 4), 0x0706_0504);
  }
  recorder.take();
  memory.mmap.protect(Write);
  for (const [i, level] of memory.all.entries()) {
    level.write(eight(), 128 * i);
    level.writeObj(u64, 0x0102_0304_0506_0708n, 128 * i + 16);
    level.writeObj(u32, 0x0a0b_0c0d, 128 * i + 33);
    level.store(u32, 9, 128 * i + 40);
  }
  assertEquals(
    recorder.take(),
    [0, 128, 256].flatMap((start) => [
      [start, 8],
      [start + 16, 8],
      [start + 33, 4],
      [start + 40, 4],
    ]),
  );
  memory.mmap.protect(ReadWrite);
  for (const [i] of memory.all.entries()) {
    assertEquals(memory.slice.readObj(u64, 128 * i), 0x0707_0707_0707_0707n);
    assertEquals(memory.slice.readObj(u64, 128 * i + 16), 0x0102_0304_0506_0708n);
    assertEquals(memory.slice.readObj(u32, 128 * i + 33), 0x0a0b_0c0d);
    assertEquals(memory.slice.load(u32, 128 * i + 40), 9);
  }
});
