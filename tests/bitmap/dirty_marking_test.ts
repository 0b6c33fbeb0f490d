import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  type Bitmap,
  BitmapGroup,
  type Bytes,
  bytes,
  Cursor,
  f64,
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
  PartialBuffer,
  struct,
  u16,
  u16be,
  u32,
  u64,
  u8,
  VolatileSlice,
} from "../../mod.ts";
import { broken, inPieces, Padded, sevens } from "../support/writes.ts";

const SIZE = 512;
const START = 0x3000;
// The content of memory before an access, and what none of them writes.
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

const BrokenStruct = struct({ first: u64, second: broken, third: u64 });

const failing = {
  readSync: () => {
    throw new Error("gone");
  },
};

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
    [
      `exchange ${name}`,
      codec.byteLength,
      (bytes, at) => bytes.getAtomicRef(codec, at).exchange(7),
    ],
    [
      `fetchAdd ${name}`,
      codec.byteLength,
      (bytes, at) => bytes.getAtomicRef(codec, at).fetchAdd(1),
    ],
    [
      `fetchSub ${name}`,
      codec.byteLength,
      (bytes, at) => bytes.getAtomicRef(codec, at).fetchSub(1),
    ],
    [
      `fetchAnd ${name}`,
      codec.byteLength,
      (bytes, at) => bytes.getAtomicRef(codec, at).fetchAnd(1),
    ],
    [`fetchOr ${name}`, codec.byteLength, (bytes, at) => bytes.getAtomicRef(codec, at).fetchOr(2)],
    [
      `fetchXor ${name}`,
      codec.byteLength,
      (bytes, at) => bytes.getAtomicRef(codec, at).fetchXor(3),
    ],
    [
      `compareExchange ${name}`,
      codec.byteLength,
      (bytes, at) => bytes.getAtomicRef(codec, at).compareExchange(bytes.load(codec, at), 7),
    ],
  ]),
  ...Object.entries({ u64, i64 }).flatMap(([name, codec]): Access[] => [
    [`store ${name}`, 8, (bytes, at) => bytes.store(codec, 7n, at)],
    [`exchange ${name}`, 8, (bytes, at) => bytes.getAtomicRef(codec, at).exchange(7n)],
    [`fetchAdd ${name}`, 8, (bytes, at) => bytes.getAtomicRef(codec, at).fetchAdd(1n)],
    [`fetchSub ${name}`, 8, (bytes, at) => bytes.getAtomicRef(codec, at).fetchSub(1n)],
    [`fetchAnd ${name}`, 8, (bytes, at) => bytes.getAtomicRef(codec, at).fetchAnd(1n)],
    [`fetchOr ${name}`, 8, (bytes, at) => bytes.getAtomicRef(codec, at).fetchOr(2n)],
    [`fetchXor ${name}`, 8, (bytes, at) => bytes.getAtomicRef(codec, at).fetchXor(3n)],
    [
      `compareExchange ${name}`,
      8,
      (bytes, at) => bytes.getAtomicRef(codec, at).compareExchange(bytes.load(codec, at), 7n),
    ],
  ]),
  [
    "compareExchange that does not exchange",
    4,
    (bytes, at) => bytes.getAtomicRef(u32, at).compareExchange(1, 7),
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
  ["writeObj of a byte string", 13, (memory, at) => memory.writeObj(bytes(13), sevens(13), at)],
  ["writeObj of nothing", 0, (memory, at) => memory.writeObj(bytes(0), sevens(0), at)],
  [
    "writeObj of a structure, with its padding",
    12,
    (bytes, at) => bytes.writeObj(Padded, { kind: 7, value: 7, flags: 7 }, at),
  ],
  ["writeObj whose codec throws midway", 24, (bytes, at) => {
    const value = { first: 7n, second: 7, third: 7n };
    assertThrows(() => bytes.writeObj(BrokenStruct, value, at), TypeError, "second half");
  }],
  ["write", 13, (bytes, at) => bytes.write(sevens(13), at)],
  ["write of nothing", 0, (bytes, at) => bytes.write(sevens(0), at)],
  ["writeSlice", 100, (bytes, at) => bytes.writeSlice(sevens(100), at)],
  [
    "readVolatileFrom a cursor",
    13,
    (bytes, at) => bytes.readVolatileFrom(at, new Cursor(sevens(20)), 13),
  ],
  [
    "readVolatileFrom that the source cuts short",
    5,
    (bytes, at) => bytes.readVolatileFrom(at, new Cursor(sevens(5)), 13),
  ],
  [
    "readVolatileFrom a reader that reads less",
    3,
    (bytes, at) => bytes.readVolatileFrom(at, inPieces(3), 13),
  ],
  [
    "readVolatileFrom an empty source",
    0,
    (bytes, at) => bytes.readVolatileFrom(at, new Cursor(sevens(0)), 13),
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
    const source = new Cursor(sevens(5));
    assertThrows(() => bytes.readExactVolatileFrom(at, source, 13));
  }],
];

const TAIL_WRITES: readonly Access[] = [
  ["write that the memory cuts short", TAIL, (bytes, at) => bytes.write(sevens(13), at)],
  ["writeSlice that the memory cuts short", TAIL, (bytes, at) => {
    const { completed } = assertThrows(() => bytes.writeSlice(sevens(13), at), PartialBuffer);
    assertEquals(completed, TAIL);
  }],
  ["writeObj that the memory cuts short", TAIL, (bytes, at) => {
    const { completed } = assertThrows(() => bytes.writeObj(u64, 2n ** 63n, at), PartialBuffer);
    assertEquals(completed, TAIL);
  }],
  [
    "readVolatileFrom that the memory cuts short",
    TAIL,
    (bytes, at) => bytes.readVolatileFrom(at, new Cursor(sevens(13)), 13),
  ],
  [
    "readVolatileFrom a reader that the memory cuts short",
    TAIL,
    (bytes, at) => bytes.readVolatileFrom(at, inPieces(100), 13),
  ],
];

// What ends at another place, or is refused: an error or not, it marks nothing.
const MARK_NOTHING: readonly Access[] = [
  ["read", 0, (bytes, at) => bytes.read(sevens(13), at)],
  ["readSlice", 0, (bytes, at) => bytes.readSlice(sevens(13), at)],
  ["readObj", 0, (bytes, at) => bytes.readObj(u64, at)],
  ["readObj of a structure", 0, (bytes, at) => bytes.readObj(Padded, at)],
  ["load", 0, (bytes, at) => bytes.load(u32, at)],
  ["load of 64 bits", 0, (bytes, at) => bytes.load(i64, at)],
  ["writeVolatileTo", 0, (bytes, at) => bytes.writeVolatileTo(at, new Cursor(sevens(13)), 13)],
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
    (bytes, at) => assertThrows(() => bytes.getAtomicRef(u64, at + 4).fetchAdd(7n)),
  ],
  [
    "write beyond the end",
    0,
    (bytes, at) => assertThrows(() => bytes.write(sevens(1), at + SIZE)),
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
