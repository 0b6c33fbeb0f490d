import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  type Bitmap,
  BitmapGroup,
  type Bytes,
  bytes,
  type ByteValued,
  Cursor,
  f64,
  Fd,
  GuestAddress,
  type GuestMemory,
  GuestMemoryHeap,
  GuestMemoryMmap,
  GuestRegionHeap,
  GuestRegionMmap,
  i16,
  i32,
  i64,
  i8,
  IOError,
  MemoryRegionAddress,
  MmapRegion,
  OutOfBounds,
  PartialBuffer,
  struct,
  SystemError,
  type TypedArray,
  u16,
  u16be,
  u32,
  u64,
  u8,
  VolatileSlice,
} from "../../mod.ts";
import { closeSync, fstatSync, openSync } from "node:fs";

const SIZE = 512;
const START = 0x3000;
// What memory holds before an access, and what none of them writes.
const BEFORE = 0xa5;
const PAGE_SIZES = [1, 16, 24, 100];

/** Remembers which bytes were marked, and what they were at that moment. */
class Witness implements Bitmap {
  memory: Uint8Array = new Uint8Array(0);
  readonly seen: Map<number, number> = new Map();

  markDirty(offset: number, length: number): void {
    for (let at = offset; at < offset + length; at++) this.seen.set(at, this.memory[at]!);
  }

  dirtyAt(offset: number): boolean {
    return this.seen.has(offset);
  }

  sliceAt(offset: number): Bitmap {
    return new BitmapGroup([this]).sliceAt(offset);
  }
}

/** Memory of one level: `SIZE` bytes from an address on. */
interface Level extends Disposable {
  readonly bytes: Bytes<number>;
  readonly origin: number;
  readonly view: Uint8Array;
}

const keep = { [Symbol.dispose]: () => {} };

function sliceLevel(bitmap: Bitmap): Level {
  const view = new Uint8Array(SIZE);
  return { bytes: VolatileSlice.from(view, bitmap), origin: 0, view, ...keep };
}

function nestedLevel(bitmap: Bitmap): Level {
  const view = new Uint8Array(SIZE);
  const nested = VolatileSlice.from(view, bitmap).getSlice(16, SIZE - 16).offset(8).splitAt(8)[1];
  // Address 32 of the memory is address 0 of the slice.
  return { bytes: nested, origin: -32, view, ...keep };
}

function regionLevel(region: GuestRegionHeap | GuestRegionMmap): Level {
  const view = region.asVolatileSlice().rawView();
  return { bytes: region, origin: 0, view, [Symbol.dispose]: () => region.close() };
}

function memoryLevel(memory: GuestMemory & Disposable): Level {
  const view = memory.getSlice(GuestAddress(START), SIZE).rawView();
  return { bytes: memory, origin: START, view, [Symbol.dispose]: () => memory[Symbol.dispose]() };
}

const start = GuestAddress(START);
const LEVELS: readonly (readonly [string, (bitmap: Bitmap) => Level])[] = [
  ["VolatileSlice", sliceLevel],
  ["VolatileSlice in a slice in a slice", nestedLevel],
  [
    "GuestRegionHeap",
    (bitmap) => regionLevel(new GuestRegionHeap(start, SIZE, { bitmap: () => bitmap })),
  ],
  [
    "GuestRegionMmap",
    (bitmap) => regionLevel(GuestRegionMmap.fromRange(start, SIZE, { bitmap: () => bitmap })),
  ],
  [
    "GuestMemoryHeap",
    (bitmap) => memoryLevel(GuestMemoryHeap.fromRanges([[start, SIZE]], { bitmap: () => bitmap })),
  ],
  ["GuestMemoryHeap, shared", (bitmap) =>
    memoryLevel(
      GuestMemoryHeap.fromRanges([[start, SIZE]], { bitmap: () => bitmap, shared: true }),
    )],
  [
    "GuestMemoryMmap",
    (bitmap) => memoryLevel(GuestMemoryMmap.fromRanges([[start, SIZE]], { bitmap: () => bitmap })),
  ],
];

const Padded = struct({ kind: u8, value: u32, flags: u16 });

/** Writes its first half and throws. */
const broken: ByteValued<number> = {
  byteLength: 8,
  alignment: 4,
  read: () => 0,
  write(memory, offset, value) {
    u32.write(memory, offset, value);
    throw new TypeError("Cannot write the second half");
  },
};
const BrokenStruct = struct({ first: u64, second: broken, third: u64 });

const content = (length: number) => new Uint8Array(length).fill(7);
const failing = {
  readSync: () => {
    throw new Error("gone");
  },
};
const inPieces = (piece: number) => ({
  readSync: (buf: Uint8Array) => buf.subarray(0, piece).fill(7).length,
});

/** An access, and the bytes that it marks: from `AT` on, or up to the end. */
type Access = readonly [
  name: string,
  marked: number,
  run: (bytes: Bytes<number>, at: number) => unknown,
];

// A multiple of 8 in the memory, and the last bytes of it.
const AT = 64;
const TAIL = 5;

const SCALARS = { u8, i8, u16, i16, u32, i32 };
const ATOMICS: readonly Access[] = [
  ...Object.entries(SCALARS).flatMap(([name, codec]): Access[] => [
    [`store ${name}`, codec.byteLength, (bytes, at) => bytes.store(codec, 7, at)],
    [`exchange ${name}`, codec.byteLength, (bytes, at) => bytes.exchange(codec, 7, at)],
    [`fetchAdd ${name}`, codec.byteLength, (bytes, at) => bytes.fetchAdd(codec, 1, at)],
    [`fetchSub ${name}`, codec.byteLength, (bytes, at) => bytes.fetchSub(codec, 1, at)],
    [`fetchAnd ${name}`, codec.byteLength, (bytes, at) => bytes.fetchAnd(codec, 1, at)],
    [`fetchOr ${name}`, codec.byteLength, (bytes, at) => bytes.fetchOr(codec, 2, at)],
    [`fetchXor ${name}`, codec.byteLength, (bytes, at) => bytes.fetchXor(codec, 3, at)],
    [
      `compareExchange ${name}`,
      codec.byteLength,
      (bytes, at) => bytes.compareExchange(codec, bytes.load(codec, at), 7, at),
    ],
  ]),
  ...Object.entries({ u64, i64 }).flatMap(([name, codec]): Access[] => [
    [`store ${name}`, 8, (bytes, at) => bytes.store(codec, 7n, at)],
    [`exchange ${name}`, 8, (bytes, at) => bytes.exchange(codec, 7n, at)],
    [`fetchAdd ${name}`, 8, (bytes, at) => bytes.fetchAdd(codec, 1n, at)],
    [`fetchSub ${name}`, 8, (bytes, at) => bytes.fetchSub(codec, 1n, at)],
    [`fetchAnd ${name}`, 8, (bytes, at) => bytes.fetchAnd(codec, 1n, at)],
    [`fetchOr ${name}`, 8, (bytes, at) => bytes.fetchOr(codec, 2n, at)],
    [`fetchXor ${name}`, 8, (bytes, at) => bytes.fetchXor(codec, 3n, at)],
    [
      `compareExchange ${name}`,
      8,
      (bytes, at) => bytes.compareExchange(codec, bytes.load(codec, at), 7n, at),
    ],
  ]),
  [
    "compareExchange that does not exchange",
    4,
    (bytes, at) => bytes.compareExchange(u32, 1, 7, at),
  ],
];

const WRITES: readonly Access[] = [
  ...Object.entries(SCALARS).map(([name, codec]): Access => [
    `writeObj ${name}`,
    codec.byteLength,
    (bytes, at) => bytes.writeObj(codec, 7, at),
  ]),
  ["writeObj u64", 8, (bytes, at) => bytes.writeObj(u64, 7n, at)],
  ["writeObj f64", 8, (bytes, at) => bytes.writeObj(f64, 7, at)],
  ["writeObj u16be", 2, (bytes, at) => bytes.writeObj(u16be, 7, at)],
  ["writeObj of a byte string", 13, (memory, at) => memory.writeObj(bytes(13), content(13), at)],
  ["writeObj of nothing", 0, (memory, at) => memory.writeObj(bytes(0), content(0), at)],
  [
    "writeObj of a structure, with its padding",
    12,
    (bytes, at) => bytes.writeObj(Padded, { kind: 7, value: 7, flags: 7 }, at),
  ],
  ["writeObj whose codec throws midway", 24, (bytes, at) => {
    const value = { first: 7n, second: 7, third: 7n };
    assertThrows(() => bytes.writeObj(BrokenStruct, value, at), TypeError, "second half");
  }],
  ["write", 13, (bytes, at) => bytes.write(content(13), at)],
  ["write of nothing", 0, (bytes, at) => bytes.write(content(0), at)],
  ["writeSlice", 100, (bytes, at) => bytes.writeSlice(content(100), at)],
  [
    "readVolatileFrom a cursor",
    13,
    (bytes, at) => bytes.readVolatileFrom(at, new Cursor(content(20)), 13),
  ],
  [
    "readVolatileFrom that the source cuts short",
    5,
    (bytes, at) => bytes.readVolatileFrom(at, new Cursor(content(5)), 13),
  ],
  [
    "readVolatileFrom a reader that reads less",
    3,
    (bytes, at) => bytes.readVolatileFrom(at, inPieces(3), 13),
  ],
  [
    "readVolatileFrom an empty source",
    0,
    (bytes, at) => bytes.readVolatileFrom(at, new Cursor(content(0)), 13),
  ],
  ["readVolatileFrom a reader that fails, all of the range", 13, (bytes, at) => {
    assertThrows(() => bytes.readVolatileFrom(at, failing, 13), IOError);
  }],
  [
    "readExactVolatileFrom in several reads",
    13,
    (bytes, at) => bytes.readExactVolatileFrom(at, inPieces(5), 13),
  ],
  ["readExactVolatileFrom that ends early", 5, (bytes, at) => {
    const source = new Cursor(content(5));
    assertThrows(() => bytes.readExactVolatileFrom(at, source, 13));
  }],
];

const TAIL_WRITES: readonly Access[] = [
  ["write that the memory cuts short", TAIL, (bytes, at) => bytes.write(content(13), at)],
  ["writeSlice that the memory cuts short", TAIL, (bytes, at) => {
    const { completed } = assertThrows(() => bytes.writeSlice(content(13), at), PartialBuffer);
    assertEquals(completed, TAIL);
  }],
  ["writeObj that the memory cuts short", TAIL, (bytes, at) => {
    const { completed } = assertThrows(() => bytes.writeObj(u64, 2n ** 63n, at), PartialBuffer);
    assertEquals(completed, TAIL);
  }],
  [
    "readVolatileFrom that the memory cuts short",
    TAIL,
    (bytes, at) => bytes.readVolatileFrom(at, new Cursor(content(13)), 13),
  ],
  [
    "readVolatileFrom a reader that the memory cuts short",
    TAIL,
    (bytes, at) => bytes.readVolatileFrom(at, inPieces(100), 13),
  ],
];

// What ends at another place, or is refused: an error or not, it marks nothing.
const MARK_NOTHING: readonly Access[] = [
  ["read", 0, (bytes, at) => bytes.read(content(13), at)],
  ["readSlice", 0, (bytes, at) => bytes.readSlice(content(13), at)],
  ["readObj", 0, (bytes, at) => bytes.readObj(u64, at)],
  ["readObj of a structure", 0, (bytes, at) => bytes.readObj(Padded, at)],
  ["load", 0, (bytes, at) => bytes.load(u32, at)],
  ["load of 64 bits", 0, (bytes, at) => bytes.load(i64, at)],
  ["writeVolatileTo", 0, (bytes, at) => bytes.writeVolatileTo(at, new Cursor(content(13)), 13)],
  [
    "writeAllVolatileTo a writer",
    0,
    (bytes, at) =>
      bytes.writeAllVolatileTo(at, { writeSync: (buf) => Math.min(buf.length, 3) }, 13),
  ],
  ["store that is not aligned", 0, (bytes, at) => assertThrows(() => bytes.store(u32, 7, at + 2))],
  [
    "fetchAdd that is not aligned",
    0,
    (bytes, at) => assertThrows(() => bytes.fetchAdd(u64, 7n, at + 4)),
  ],
  [
    "write beyond the end",
    0,
    (bytes, at) => assertThrows(() => bytes.write(content(1), at + SIZE)),
  ],
  [
    "writeObj beyond the end",
    0,
    (bytes, at) => assertThrows(() => bytes.writeObj(u32, 7, at + SIZE)),
  ],
  ["store beyond the end", 0, (bytes, at) => assertThrows(() => bytes.store(u32, 7, at + SIZE))],
];

/** Runs an access and compares what was marked, and when, with what was to be. */
function check(open: (bitmap: Bitmap) => Level, at: number, [name, marked, run]: Access): void {
  const witness = new Witness();
  const bitmaps = PAGE_SIZES.map((pageSize) => new AtomicBitmap(SIZE, pageSize));
  using level = open(new BitmapGroup([witness, ...bitmaps]));
  witness.memory = level.view.fill(BEFORE);
  run(level.bytes, level.origin + at);
  const expected = Array.from({ length: marked }, (_, i) => at + i);
  const seen = [...witness.seen].sort(([a], [b]) => a - b);
  // Once the bytes are marked, they are what they are in the end.
  assertEquals(seen, expected.map((byte) => [byte, level.view[byte]!]), name);
  const changed = [...level.view.keys()].filter((byte) => level.view[byte] !== BEFORE);
  assert(changed.every((byte) => witness.seen.has(byte)), `${name} changes more than it marks`);
  for (const bitmap of bitmaps) {
    const pages = new Set(expected.map((byte) => Math.floor(byte / bitmap.pageSize)));
    const dirty = Array.from({ length: bitmap.len }, (_, i) => i).filter((i) => bitmap.isBitSet(i));
    assertEquals(dirty, [...pages], `${name}, pages of ${bitmap.pageSize}`);
  }
}

for (const [level, open] of LEVELS) {
  Deno.test(`${level} marks exactly what it writes, after the write`, () => {
    for (const access of WRITES) {
      for (const at of [AT, AT + 1, AT + 39]) check(open, at, access);
    }
  });

  Deno.test(`${level} marks exactly what it writes atomically, after the write`, () => {
    for (const access of ATOMICS) {
      for (const at of [AT, AT + 40]) check(open, at, access);
    }
  });

  Deno.test(`${level} marks the part that is written where the memory ends`, () => {
    for (const access of TAIL_WRITES) check(open, SIZE - TAIL, access);
  });

  Deno.test(`${level} marks nothing at reads and at what it refuses`, () => {
    for (const access of MARK_NOTHING) check(open, AT, access);
  });
}

/** A slice, and which bytes of it were marked since the last question. */
function markedSlice(): { slice: VolatileSlice; marked: () => unknown } {
  const bitmap = new AtomicBitmap(SIZE, 1);
  const slice = VolatileSlice.from(new Uint8Array(SIZE), bitmap);
  return {
    slice,
    marked() {
      const runs = [...bitmap.dirtyRuns()];
      bitmap.reset();
      return runs;
    },
  };
}

Deno.test("VolatileSlice.copyFrom() marks the whole elements it wrote", () => {
  const arrays: TypedArray[] = [
    new Uint8Array(5),
    new Int8Array(5),
    new Uint16Array(5),
    new Int16Array(5),
    new Uint32Array(5),
    new Int32Array(5),
    new BigUint64Array(5),
    new BigInt64Array(5),
    new Float32Array(5),
    new Float64Array(5),
  ];
  for (const array of arrays) {
    const { slice, marked } = markedSlice();
    slice.copyFrom(array);
    assertEquals(marked(), [[0, array.byteLength]]);
    slice.getSlice(3, array.BYTES_PER_ELEMENT * 3 - 1 || 2).copyFrom(array);
    assertEquals(marked(), [[3, array.BYTES_PER_ELEMENT * 2]]);
  }
  const { slice, marked } = markedSlice();
  slice.copyFrom(new Uint8Array(0));
  slice.getSlice(0, 7).copyFrom(new Float64Array(1));
  slice.copyTo(new Uint8Array(100));
  assertEquals(marked(), []);
});

Deno.test("VolatileSlice.copyToVolatileSlice() marks the target, not the source", () => {
  const source = markedSlice();
  const target = markedSlice();
  source.slice.getSlice(10, 20).copyToVolatileSlice(target.slice.getSlice(100, 50));
  assertEquals([source.marked(), target.marked()], [[], [[100, 20]]]);
  source.slice.copyToVolatileSlice(target.slice.getSlice(100, 50));
  assertEquals([source.marked(), target.marked()], [[], [[100, 50]]]);
  source.slice.getSlice(10, 20).copyToVolatileSlice(source.slice.getSlice(15, 20));
  assertEquals(source.marked(), [[15, 20]]);
  source.slice.copyToVolatileSlice(target.slice.getSlice(0, 0));
  assertEquals(target.marked(), []);
});

Deno.test("VolatileRef, VolatileArrayRef and AtomicRef mark exactly what they write", () => {
  const { slice, marked } = markedSlice();
  const part = slice.getSlice(16, 256).offset(16);
  const writes: [length: number, write: () => unknown][] = [
    [4, () => part.getRef(u32, 8).store(7)],
    [12, () => part.getRef(Padded, 8).store({ kind: 1, value: 2, flags: 3 })],
    [2, () => part.getArrayRef(u16, 4, 8).store(2, 7)],
    [2, () => part.getArrayRef(u16, 4, 8).refAt(2).store(7)],
    [6, () => part.getArrayRef(u16, 8, 8).copyFrom([1, 2, 3])],
    [16, () => part.getArrayRef(u16, 8, 8).copyFrom(new Uint16Array(100))],
    [4, () => slice.getArrayRef(u16, 0, 2).copyToVolatileSlice(part.getSlice(8, 100))],
    [4, () => part.getAtomicRef(u32, 8).store(7)],
    [4, () => part.getAtomicRef(u32, 8).exchange(7)],
    [4, () => part.getAtomicRef(u32, 8).compareExchange(7, 8)],
    [4, () => part.getAtomicRef(u32, 8).compareExchange(9, 7)],
    [1, () => part.getAtomicRef(u8, 8).fetchAdd(1)],
    [2, () => part.getAtomicRef(i16, 8).fetchSub(1)],
    [8, () => part.getAtomicRef(u64, 8).fetchAnd(1n)],
    [8, () => part.getAtomicRef(i64, 8).fetchOr(1n)],
    [4, () => part.getAtomicRef(i32, 8).fetchXor(1)],
  ];
  for (const [length, write] of writes) {
    write();
    assertEquals(marked(), [[40, length]], `${write}`);
  }
});

Deno.test("VolatileRef, VolatileArrayRef and AtomicRef mark nothing when they read", () => {
  const { slice, marked } = markedSlice();
  slice.getRef(u32, 8).load();
  const array = slice.getArrayRef(u16, 4, 8);
  array.load(2);
  array.refAt(2).load();
  array.copyTo(new Uint16Array(8));
  array.copyToVolatileSlice(VolatileSlice.from(new Uint8Array(16)));
  slice.getAtomicRef(u64, 8).load();
  assertThrows(() => array.store(8, 1), RangeError);
  assertEquals(marked(), []);
});

Deno.test("VolatileSlice.rawView() marks nothing, markDirty() what it is told", () => {
  const { slice, marked } = markedSlice();
  const part = slice.getSlice(16, 64).offset(8);
  part.rawView().fill(7);
  part.readOnlyView();
  assertEquals(marked(), []);
  part.markDirty(3, 5);
  assertEquals(marked(), [[27, 5]]);
  part.bitmap.markDirty(3, 5);
  assertEquals(marked(), [[27, 5]]);
  assertThrows(() => slice.getSlice(0, SIZE + 1), OutOfBounds);
});

Deno.test("VolatileSlice.withBitmap() marks in that bitmap, and not in its own", () => {
  const { slice, marked } = markedSlice();
  const other = new AtomicBitmap(SIZE, 1);
  slice.getSlice(16, 64).withBitmap(other, 100).getSlice(4, 8).writeObj(u16, 7, 2);
  assertEquals([marked(), [...other.dirtyRuns()]], [[], [[106, 2]]]);
});

/** Memory of two adjacent regions, a hole and another region, and the runs that were marked. */
function threeRegions() {
  const bitmaps: AtomicBitmap[] = [];
  const memory = GuestMemoryMmap.fromRanges(
    [[GuestAddress(0), 64], [GuestAddress(64), 64], [GuestAddress(256), 64]],
    {
      bitmap(length) {
        bitmaps.push(new AtomicBitmap(length, 1));
        return bitmaps.at(-1)!;
      },
    },
  );
  return {
    memory,
    marked() {
      const runs = bitmaps.map((bitmap) => [...bitmap.dirtyRuns()]);
      for (const bitmap of bitmaps) bitmap.reset();
      return runs;
    },
    [Symbol.dispose]: () => memory.close(),
  };
}

Deno.test("GuestMemory marks in each region the part that it wrote there", () => {
  using three = threeRegions();
  const { memory, marked } = three;
  const at = GuestAddress(60);
  const writes: (() => unknown)[] = [
    () => memory.write(content(8), at),
    () => memory.writeSlice(content(8), at),
    () => memory.writeObj(u64, 7n, at),
    () => memory.readVolatileFrom(at, new Cursor(content(8)), 8),
    () => memory.readExactVolatileFrom(at, inPieces(3), 8),
  ];
  for (const write of writes) {
    write();
    assertEquals(marked(), [[[60, 4]], [[0, 4]], []], `${write}`);
  }
});

Deno.test("GuestMemory marks up to a hole, and nothing beyond it", () => {
  using three = threeRegions();
  const { memory, marked } = three;
  const at = GuestAddress(120);
  const writes: (() => unknown)[] = [
    () => memory.write(content(200), at),
    () => assertThrows(() => memory.writeSlice(content(200), at), PartialBuffer),
    () => memory.readVolatileFrom(at, new Cursor(content(200)), 200),
    () => assertThrows(() => memory.readExactVolatileFrom(at, inPieces(3), 200), PartialBuffer),
  ];
  for (const write of writes) {
    write();
    assertEquals(marked(), [[], [[56, 8]], []], `${write}`);
  }
});

Deno.test("GuestMemory marks a prefix where the source is short in one region", () => {
  using three = threeRegions();
  const { memory, marked } = three;
  memory.readVolatileFrom(GuestAddress(50), new Cursor(content(6)), 40);
  assertEquals(marked(), [[[50, 6]], [], []]);
  memory.readVolatileFrom(GuestAddress(50), new Cursor(content(20)), 40);
  assertEquals(marked(), [[[50, 14]], [[0, 6]], []]);
});

Deno.test("GuestMemory.writeObj() over two regions with a codec that throws marks nothing", () => {
  using three = threeRegions();
  const { memory, marked } = three;
  assertThrows(() => memory.writeObj(broken, 7, GuestAddress(60)), TypeError);
  assertEquals(marked(), [[], [], []]);
  assertEquals(memory.readObj(u64, GuestAddress(60)), 0n);
});

Deno.test("GuestMemory marks nothing for an atomic access over two regions", () => {
  using three = threeRegions();
  const { memory, marked } = three;
  assertThrows(() => memory.store(u64, 7n, GuestAddress(60)));
  assertThrows(() => memory.fetchAdd(u64, 7n, GuestAddress(60)));
  assertEquals(marked(), [[], [], []]);
});

Deno.test("GuestMemory.getSlices() gives slices that mark where they lie", () => {
  using three = threeRegions();
  const { memory, marked } = three;
  for (const slice of memory.getSlices(GuestAddress(60), 8)) slice.write(content(2), 1);
  assertEquals(marked(), [[[61, 2]], [[1, 2]], []]);
});

Deno.test("Fd marks what one read brought into several regions, and all where it fails", () => {
  using three = threeRegions();
  const { memory, marked } = three;
  const opened = openSync(new URL(import.meta.url), "r");
  using stack = new DisposableStack();
  stack.defer(() => closeSync(opened));
  const fd = new Fd(opened, fstatSync(opened).size - 10);
  assertEquals(memory.readVolatileFrom(GuestAddress(60), fd, 40), 10);
  assertEquals(marked(), [[[60, 4]], [[0, 6]], []]);
  assertEquals(memory.readVolatileFrom(GuestAddress(60), fd, 40), 0);
  assertEquals(marked(), [[], [], []]);
  const closed = new Fd(2 ** 31 - 1);
  assertThrows(() => memory.readVolatileFrom(GuestAddress(60), closed, 40), IOError);
  assertEquals(marked(), [[[60, 4]], [[0, 36]], []]);
  assertThrows(() => memory.readVolatileFrom(GuestAddress(256), closed, 40), IOError);
  assertEquals(marked(), [[], [], [[0, 40]]]);
});

const HOST_PAGE = 4096;

Deno.test("MmapRegion.advise() marks the pages that it discards, and no others", () => {
  const bitmap = new AtomicBitmap(4 * HOST_PAGE, HOST_PAGE);
  using region = new MmapRegion(4 * HOST_PAGE, { bitmap: () => bitmap });
  region.advise("dontneed", HOST_PAGE, 2 * HOST_PAGE);
  assertEquals([...bitmap.getAndReset()], [0b110, 0]);
  region.advise("dontneed");
  assertEquals([...bitmap.getAndReset()], [0b1111, 0]);
  region.advise("dontneed", 3 * HOST_PAGE);
  assertEquals([...bitmap.getAndReset()], [0b1000, 0]);
  region.advise("sequential");
  region.advise("willneed");
  region.advise("normal");
  assertThrows(() => region.advise("dontneed", 1, HOST_PAGE), SystemError);
  assertThrows(() => region.advise("dontneed", 0, 5 * HOST_PAGE), OutOfBounds);
  assertEquals(bitmap.dirtyPages, 0);
});

Deno.test("MmapRegion.advise() marks all bytes that a discard of less than a page zeroes", () => {
  const bitmap = new AtomicBitmap(2 * HOST_PAGE, 1);
  using region = new MmapRegion(2 * HOST_PAGE, { bitmap: () => bitmap });
  const view = region.asVolatileSlice().rawView().fill(7);
  region.advise("dontneed", 0, 100);
  assertEquals([view.indexOf(7), ...bitmap.dirtyRuns()], [HOST_PAGE, [0, HOST_PAGE]]);
});

Deno.test("GuestRegionMmap slices that were taken before mark what they write after", () => {
  const bitmap = new AtomicBitmap(SIZE, 1);
  using region = GuestRegionMmap.fromRange(start, SIZE, { bitmap: () => bitmap });
  const slice = region.getSlice(MemoryRegionAddress(64), 16);
  const index = slice.getAtomicRef(u16, 4);
  region.mmap.advise("normal");
  index.fetchAdd(1);
  assertEquals([...bitmap.dirtyRuns()], [[68, 2]]);
  assertEquals([region.bitmap.dirtyAt(68), slice.bitmap.dirtyAt(4)], [true, true]);
});
