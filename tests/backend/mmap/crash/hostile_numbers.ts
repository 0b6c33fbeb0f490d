/** Gives every entry point every number, and reports what was thrown and what was overwritten. */
import { openSync } from "node:fs";
import {
  array,
  Backing,
  bytes,
  type ByteSink,
  type ByteSource,
  Cursor,
  Fd,
  FileOffset,
  GuestAddress,
  GuestMemoryMmap,
  GuestRegionMmap,
  MemoryRegionAddress,
  MmapRegion,
  struct,
  u16,
  u16be,
  u32,
  u64,
  u64be,
  u8,
  VolatileArrayRef,
  VolatileSlice,
} from "../../../../mod.ts";
import { attempt, Endless } from "./attempt.ts";

const SIZE = 0x4000;
const END = 2 ** 53;
const GUARD = 0xa5;

const NUMBERS = [
  ...[0, -0, 1, 2, 3, 7, 8, 0.5, 1.5, NaN, Infinity, Number.MIN_VALUE, Number.MAX_VALUE],
  ...[SIZE - 8, SIZE - 1, SIZE, SIZE + 1, SIZE / 2 - 1, SIZE / 2, SIZE / 2 + 0.5],
  ...[31, 32, 40, 52, 53, 64].flatMap((n) => [2 ** n - 1, 2 ** n, 2 ** n + 1]),
  ...[END - SIZE, END - SIZE - 1, END - 8, END - 4, END + 2],
].flatMap((n) => [n, -n]);

// Guarded memory before and behind what is accessed.
using guarded = new MmapRegion(3 * SIZE);
const guard = guarded.asVolatileSlice().rawView().fill(GUARD);
const mmap = new MmapRegion(SIZE, {
  backing: Backing.foreign(guarded.hostAddress() + BigInt(SIZE)),
});
using memory = GuestMemoryMmap.fromRegions(
  [0, SIZE, 2 ** 32, END - SIZE].map((start) => new GuestRegionMmap(mmap, GuestAddress(start))),
);
const region = memory.findRegion(GuestAddress(2 ** 32))!;
const slice = region.asVolatileSlice();
const Pair = struct({ a: u16be, b: u64 });

const zero = openSync("/dev/zero", "r+");
// A descriptor that is never open.
const nobody = 2 ** 31 - 1;

// How often each outcome was met, and for each entry point the first that is not as promised.
const outcomes: Record<string, number> = {};
const broken: Record<string, string> = {};
let calls = 0;

function every(name: string, use: (a: number, b: number) => unknown): void {
  for (const [i, a] of NUMBERS.entries()) {
    for (const [j, b] of use.length < 2 ? [[0, 0]] as const : NUMBERS.entries()) {
      // Of the pairs, every other one: that is enough, and takes half of the time.
      if (use.length > 1 && (i + j) % 2 === 1) continue;
      calls++;
      const outcome = attempt(() => use(a, b));
      if (outcome.startsWith("untyped")) broken[name] ??= `(${a}, ${b}) ${outcome}`;
      else outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    }
  }
}

// What is read and written at a time is small: the numbers are the test.
const buffer = new Uint8Array(64);
const source = (): ByteSource => new Cursor(new Uint8Array(64).fill(1));
const sink = (): ByteSink => new Cursor(new Uint8Array(64));
// Streams that say they transferred `count` bytes. One that is asked on and on would never end.
function liar(count: number, vectored: boolean): ByteSource & ByteSink {
  let asked = 0;
  const lie = () => {
    if (++asked > 100) throw new Endless();
    return count;
  };
  const simple = { readVolatile: lie, writeVolatile: lie };
  return vectored ? { ...simple, readVectoredVolatile: lie, writeVectoredVolatile: lie } : simple;
}

for (
  const [level, target] of Object.entries({
    memory: memory as unknown as VolatileSlice,
    region: region as unknown as VolatileSlice,
    slice,
    part: slice.getSlice(100, 1000),
    empty: slice.getSlice(SIZE, 0),
  })
) {
  const all = (name: string, use: (a: number, b: number) => unknown) =>
    every(`${level}.${name}`, use);
  all("read", (at) => target.read(buffer, at));
  all("write", (at) => target.write(buffer, at));
  all("readSlice", (at) => target.readSlice(buffer, at));
  all("writeSlice", (at) => target.writeSlice(buffer, at));
  all("read of nothing", (at) => target.read(new Uint8Array(0), at));
  for (const codec of [u8, u16, u32]) {
    all("readObj", (at) => target.readObj(codec, at));
    all("writeObj", (at, value) => target.writeObj(codec, value, at));
    all("load", (at) => target.load(codec, at));
    all("store", (at, value) => target.store(codec, value, at));
  }
  for (const codec of [u64, u64be]) {
    all("readObj", (at) => target.readObj(codec, at));
    all("writeObj", (at) => target.writeObj(codec, 2n ** 70n - 1n, at));
  }
  all("load", (at) => target.load(u64, at));
  all("store", (at) => target.store(u64, -1n, at));
  all("readObj", (at) => target.readObj(Pair, at));
  all("writeObj", (at, a) => target.writeObj(Pair, { a, b: 1n }, at));
  all("readObj of bytes", (at) => target.readObj(bytes(0), at));
  all("readObj of an array", (at) => target.readObj(array(u32, 100), at));
  all("readVolatileFrom", (at, count) => target.readVolatileFrom(at, source(), count));
  all("readExactVolatileFrom", (at, count) => target.readExactVolatileFrom(at, source(), count));
  all("writeVolatileTo", (at, count) => target.writeVolatileTo(at, sink(), count));
  all("writeAllVolatileTo", (at, count) => target.writeAllVolatileTo(at, sink(), count));
  for (const vectored of [false, true]) {
    const streams: Record<string, (at: number, stream: ByteSource & ByteSink) => number | void> = {
      readVolatileFrom: (at, stream) => target.readVolatileFrom(at, stream, 64),
      writeVolatileTo: (at, stream) => target.writeVolatileTo(at, stream, 64),
      readExactVolatileFrom: (at, stream) => target.readExactVolatileFrom(at, stream, 64),
      writeAllVolatileTo: (at, stream) => target.writeAllVolatileTo(at, stream, 64),
    };
    for (const [name, transfer] of Object.entries(streams)) {
      all(`${name} a ${vectored ? "vectored " : ""}liar`, (at, count) => {
        const reported = transfer(at, liar(count, vectored)) ?? 0;
        if (!(reported >= 0 && reported <= 64)) throw new Error(`It reports ${reported} of 64`);
      });
    }
  }
  all("exchange", (at, value) => target.getAtomicRef(u32, at).exchange(value));
  all("compareExchange", (at, value) => target.getAtomicRef(u16, at).compareExchange(value, 1));
  all("fetchAdd", (at, value) => target.getAtomicRef(u8, at).fetchAdd(value));
  all("fetchXor", (at) => target.getAtomicRef(u64, at).fetchXor(1n));
  all("getSlice", (at, count) => target.getSlice(at, count).write(buffer, 0));
}

const gpa = (n: number) => n as GuestAddress;
const offset = (n: number) => n as MemoryRegionAddress;

every("memory.getSlices", (at, count) => {
  for (const part of memory.getSlices(gpa(at), count)) part.write(buffer, 0);
});
every("memory.checkRange", (at, count) => memory.checkRange(gpa(at), count));
every("memory.checkedOffset", (at, count) => memory.checkedOffset(gpa(at), count));
every("memory.tryAccess", (at, count) => memory.tryAccess(count, gpa(at), (_, part) => part));
every("memory.tryAccess lying", (at, count) => {
  let asked = 0;
  return memory.tryAccess(8, gpa(at), () => {
    if (++asked > 100) throw new Endless();
    return count;
  });
});
every("memory.addressInRange", (at) => memory.addressInRange(gpa(at)));
every("memory.toRegionAddr", (at) => memory.toRegionAddr(gpa(at)));
every("memory.getHostAddress", (at) => memory.getHostAddress(gpa(at)));
every("memory.removeRegion", (at, size) => {
  for (const part of memory.removeRegion(gpa(at), size)) part.close();
});
every("region.getHostAddress", (at) => region.getHostAddress(offset(at)));
every("region.checkedOffset", (at, count) => region.checkedOffset(offset(at), count));
every("region.toRegionAddr", (at) => region.toRegionAddr(gpa(at)));
every("region.readSlice", (at) => region.readSlice(buffer, offset(at)));

every("slice.subslice", (at, count) => slice.subslice(at, count).rawView().fill(1));
every("slice.offset", (count) => slice.offset(count).write(buffer, 0));
every("slice.splitAt", (mid) => slice.splitAt(mid)[1].write(buffer, 0));
every("slice.getRef", (at, value) => slice.getRef(u32, at).store(value));
every("slice.getAtomicRef", (at, value) => slice.getAtomicRef(u32, at).fetchSub(value));
every("slice.getArrayRef", (at, count) => slice.getArrayRef(u32, at, count).copyFrom([1, 2]));
every("slice.getArrayRef of Pair", (at, count) => slice.getArrayRef(Pair, at, count).copyTo([]));
every("arrayRef.store", (i, value) => slice.getArrayRef(u16, 3, 100).store(i, value));
every("arrayRef.refAt", (i, value) => slice.getArrayRef(u16, 3, 100).refAt(i).store(value));
every("new VolatileArrayRef", (i, n) => new VolatileArrayRef(u64, slice, n).store(i, 1n));
every("slice.markDirty", (at, count) => slice.markDirty(at, count));
every("new VolatileSlice", (start, len) => {
  const made = new VolatileSlice(slice.memory, start, len);
  made.write(buffer, 0);
  made.writeObj(u32, 1, 0);
});

every("mmap.getSlice", (at, count) => mmap.getSlice(at, count).rawView());
every("mmap.getArrayRef", (at, count) => mmap.getArrayRef(u64, at, count).copyTo([0n]));
every("mmap.advise", (at, count) => mmap.advise("dontneed", at, count));
every("mmap.advise to the end", (at) => mmap.advise("willneed", at));
// Bits of mmap's flags and protection are not tried: they mean what the kernel says.
every(
  "new MmapRegion",
  (size) => new MmapRegion(size, { backing: Backing.anonymous({ shared: true }) }).close(),
);
every("new MmapRegion of a pointer", (size, pointer) => {
  new MmapRegion(size, {
    backing: Backing.foreign(Number.isInteger(pointer) ? BigInt(pointer) : 4096n),
  }).close();
});
every("new MmapRegion of a device", (size, start) => {
  new MmapRegion(size, { backing: Backing.file(new FileOffset(zero, start), { private: true }) })
    .close();
});
every("new Fd", (fd, position) => {
  const stream = new Fd(Number.isInteger(fd) ? nobody : fd).at(position);
  slice.readVolatileFrom(0, stream, 8);
});
every("PositionedFd of a device", (position, count) => {
  memory.readVolatileFrom(gpa(0), new Fd(zero).at(position), count);
});
every("Fd.readVolatile", (at, count) => memory.readVolatileFrom(gpa(at), new Fd(zero), count));
every("Fd.writeVolatile", (at, count) => memory.writeAllVolatileTo(gpa(at), new Fd(zero), count));
every("new FileOffset", (fd, start) => new FileOffset(fd, start));
every("GuestRegionMmap.fromRange", (start, size) => {
  GuestRegionMmap.fromRange(gpa(start), size, { backing: Backing.anonymous({ shared: true }) })
    .close();
});
every("GuestMemoryMmap.fromRanges", (start, size) => {
  GuestMemoryMmap.fromRanges([[gpa(start), size]], { backing: Backing.anonymous({ shared: true }) })
    .close();
});
every("GuestAddress", (at) => GuestAddress(at));
for (const n of [-1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 64n, -(2n ** 64n), 2n ** 1100n]) {
  every(`GuestAddress(${n.toString(16)})`, () => memory.readObj(u8, GuestAddress(n)));
  every(`MemoryRegionAddress(${n.toString(16)})`, () => region.readObj(u8, MemoryRegionAddress(n)));
}

const overwritten = guard.subarray(0, SIZE).some((byte) => byte !== GUARD) ||
  guard.subarray(2 * SIZE).some((byte) => byte !== GUARD);
console.log(JSON.stringify({ calls, overwritten, outcomes, broken }));
