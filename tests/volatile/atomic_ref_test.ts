import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  type AtomicAccess,
  AtomicRef,
  Backing,
  type Bytes,
  GuestAddress,
  type GuestMemory,
  GuestMemoryHeap,
  GuestMemoryMmap,
  i16,
  i32,
  i64,
  i8,
  InvalidBackendAddress,
  InvalidGuestAddress,
  isize,
  MemoryClosed,
  Misaligned,
  OutOfBounds,
  Overflow,
  u16,
  u32,
  u64,
  u8,
  usize,
  VolatileMemoryError,
  VolatileSlice,
} from "../../mod.ts";

const SIZE = 256;
const START = GuestAddress(0x1000);

const BACKENDS: readonly (readonly [string, () => GuestMemory & Disposable])[] = [
  ["heap", () => GuestMemoryHeap.fromRanges([[START, SIZE]])],
  ["shared heap", () => GuestMemoryHeap.fromRanges([[START, SIZE]], { shared: true })],
  ["mmap", () => GuestMemoryMmap.fromRanges([[START, SIZE]])],
  [
    "shared mmap",
    () =>
      GuestMemoryMmap.fromRanges([[START, SIZE]], { backing: Backing.anonymous({ shared: true }) }),
  ],
];

/** What one level calls the bytes, and the address of the first. */
interface Level {
  readonly name: string;
  readonly bytes: Bytes<number>;
  readonly origin: number;
}

function levelsOf(memory: GuestMemory): Level[] {
  const region = memory.findRegion(START)!;
  const slice = region.asVolatileSlice();
  return [
    { name: "memory", bytes: memory, origin: START },
    { name: "region", bytes: region, origin: 0 },
    { name: "slice", bytes: slice, origin: 0 },
    { name: "slice of a slice", bytes: slice.offset(8).getSlice(8, SIZE - 16), origin: -16 },
  ];
}

/** The integers, with operations on numbers or bigints alike. */
interface Kind {
  readonly name: string;
  readonly bits: number;
  readonly signed: boolean;
  /** The operations on one place of memory, with bigints. */
  at(bytes: Bytes<number>, addr: number): Cell;
  /** The same by an AtomicRef. */
  ref(slice: VolatileSlice, offset: number): Cell;
}

/** The atomic operations on one integer. */
interface Cell {
  load(): bigint;
  store(value: bigint): void;
  exchange(value: bigint): bigint;
  compareExchange(expected: bigint, replacement: bigint): bigint;
  fetchAdd(value: bigint): bigint;
  fetchSub(value: bigint): bigint;
  fetchAnd(value: bigint): bigint;
  fetchOr(value: bigint): bigint;
  fetchXor(value: bigint): bigint;
}

function kind<T extends number | bigint>(
  name: string,
  codec: AtomicAccess<T>,
  from: (value: bigint) => T,
): Kind {
  return {
    name,
    bits: codec.byteLength * 8,
    signed: name.startsWith("i"),
    at: (bytes, addr) => ({
      load: () => BigInt(bytes.load(codec, addr)),
      store: (value) => bytes.store(codec, from(value), addr),
      exchange: (value) => BigInt(bytes.getAtomicRef(codec, addr).exchange(from(value))),
      compareExchange: (expected, replacement) =>
        BigInt(bytes.getAtomicRef(codec, addr).compareExchange(from(expected), from(replacement))),
      fetchAdd: (value) => BigInt(bytes.getAtomicRef(codec, addr).fetchAdd(from(value))),
      fetchSub: (value) => BigInt(bytes.getAtomicRef(codec, addr).fetchSub(from(value))),
      fetchAnd: (value) => BigInt(bytes.getAtomicRef(codec, addr).fetchAnd(from(value))),
      fetchOr: (value) => BigInt(bytes.getAtomicRef(codec, addr).fetchOr(from(value))),
      fetchXor: (value) => BigInt(bytes.getAtomicRef(codec, addr).fetchXor(from(value))),
    }),
    ref(slice, offset) {
      const ref = slice.getAtomicRef(codec, offset);
      return {
        load: () => BigInt(ref.load()),
        store: (value) => ref.store(from(value)),
        exchange: (value) => BigInt(ref.exchange(from(value))),
        compareExchange: (expected, replacement) =>
          BigInt(ref.compareExchange(from(expected), from(replacement))),
        fetchAdd: (value) => BigInt(ref.fetchAdd(from(value))),
        fetchSub: (value) => BigInt(ref.fetchSub(from(value))),
        fetchAnd: (value) => BigInt(ref.fetchAnd(from(value))),
        fetchOr: (value) => BigInt(ref.fetchOr(from(value))),
        fetchXor: (value) => BigInt(ref.fetchXor(from(value))),
      };
    },
  };
}

const small = (value: bigint) => Number(value);
const large = (value: bigint) => value;
const KINDS: readonly Kind[] = [
  kind("u8", u8, small),
  kind("i8", i8, small),
  kind("u16", u16, small),
  kind("i16", i16, small),
  kind("u32", u32, small),
  kind("i32", i32, small),
  kind("u64", u64, large),
  kind("i64", i64, large),
  kind("usize", usize, large),
  kind("isize", isize, large),
];

function checkCell({ name, bits, signed }: Kind, cell: Cell, where: string): void {
  const wrap = (value: bigint) => signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value);
  const max = (1n << BigInt(signed ? bits - 1 : bits)) - 1n;
  const min = signed ? -max - 1n : 0n;
  const pattern = wrap(0x5a5a_5a5a_5a5a_5a5an);
  const mask = wrap(0x0ff0_0ff0_0ff0_0ff0n);
  const message = `${name} in ${where}`;
  const is = (actual: bigint, expected: bigint) => assertEquals(actual, expected, message);

  for (const value of [0n, 1n, max, min, pattern]) {
    cell.store(value);
    is(cell.load(), value);
    is(cell.load(), value);
  }
  // What does not fit wraps.
  cell.store(max + 1n);
  is(cell.load(), min);
  cell.store(-1n);
  is(cell.load(), signed ? -1n : max);

  is(cell.exchange(pattern), wrap(-1n));
  is(cell.exchange(7n), pattern);
  is(cell.load(), 7n);

  is(cell.compareExchange(7n, min), 7n);
  is(cell.load(), min);
  is(cell.compareExchange(7n, 9n), min);
  is(cell.load(), min);
  is(cell.compareExchange(min, max), min);
  is(cell.load(), max);

  is(cell.fetchAdd(1n), max);
  is(cell.load(), min);
  is(cell.fetchSub(1n), min);
  is(cell.load(), max);
  is(cell.fetchAdd(max), max);
  is(cell.load(), wrap(max + max));
  is(cell.fetchSub(wrap(-3n)), wrap(max + max));
  is(cell.load(), wrap(max + max + 3n));

  cell.store(pattern);
  is(cell.fetchAnd(mask), pattern);
  is(cell.load(), pattern & mask);
  cell.store(pattern);
  is(cell.fetchOr(mask), pattern);
  is(cell.load(), wrap(pattern | mask));
  cell.store(pattern);
  is(cell.fetchXor(mask), pattern);
  is(cell.load(), wrap(pattern ^ mask));
  is(cell.fetchXor(wrap(-1n)), wrap(pattern ^ mask));
  is(cell.load(), wrap(~(pattern ^ mask)));
}

for (const [backend, make] of BACKENDS) {
  Deno.test(`atomic accesses wrap around and keep the sign at every level, on ${backend}`, () => {
    using memory = make();
    for (const { name, bytes, origin } of levelsOf(memory)) {
      for (const kind of KINDS) {
        for (const at of [16, 16 + kind.bits / 8, SIZE - 16]) {
          checkCell(kind, kind.at(bytes, origin + at), `a ${name} at ${at}`);
        }
      }
    }
  });

  Deno.test(`AtomicRef wraps around and keeps the sign, on ${backend}`, () => {
    using memory = make();
    const slice = memory.getSlice(START, SIZE).offset(8);
    for (const kind of KINDS) {
      checkCell(kind, kind.ref(slice, 8), "a slice");
      checkCell(kind, kind.ref(slice, SIZE - 16), "a slice, at its end");
    }
  });

  Deno.test(`atomic accesses change their own bytes only, on ${backend}`, () => {
    using memory = make();
    const slice = memory.getSlice(START, SIZE);
    const view = slice.rawView();
    for (const kind of KINDS) {
      for (const change of ["store", "exchange", "fetchXor"] as const) {
        view.fill(0xa5);
        kind.at(slice, 64)[change](0n);
        kind.at(slice, 64).fetchAdd(-1n);
        const size = kind.bits / 8;
        const others = view.filter((_, at) => at < 64 || at >= 64 + size);
        assert(others.every((byte) => byte === 0xa5), `${change} of ${kind.name}`);
      }
    }
  });

  Deno.test(`load() and store() are the host's endianness and readObj()'s, on ${backend}`, () => {
    using memory = make();
    memory.store(u32, 0x0102_0304, START);
    assertEquals(memory.getSlice(START, 4).readOnlyView().slice(), Uint8Array.of(4, 3, 2, 1));
    memory.writeObj(i64, -2n, START);
    assertEquals([memory.load(i64, START), memory.load(u64, START)], [-2n, 2n ** 64n - 2n]);
    memory.store(i16, -2, START);
    assertEquals([memory.readObj(i16, START), memory.readObj(u16, START)], [-2, 0xfffe]);
  });
}

const OPERATIONS: readonly (readonly [string, (cell: Cell) => unknown])[] = [
  ["load", (cell) => cell.load()],
  ["store", (cell) => cell.store(1n)],
  ["exchange", (cell) => cell.exchange(1n)],
  ["compareExchange", (cell) => cell.compareExchange(0n, 1n)],
  ["fetchAdd", (cell) => cell.fetchAdd(1n)],
  ["fetchSub", (cell) => cell.fetchSub(1n)],
  ["fetchAnd", (cell) => cell.fetchAnd(1n)],
  ["fetchOr", (cell) => cell.fetchOr(1n)],
  ["fetchXor", (cell) => cell.fetchXor(1n)],
];

const assertZero = (bytes: Uint8Array) => assert(bytes.every((byte) => byte === 0));

for (const [operation, run] of OPERATIONS) {
  Deno.test(`${operation} that is not aligned is Misaligned at every level`, () => {
    for (const [, make] of BACKENDS) {
      using memory = make();
      const region = memory.findRegion(START)!;
      const slice = region.asVolatileSlice();
      for (const kind of KINDS) {
        const size = kind.bits / 8;
        for (let off = 1; off < size; off++) {
          const errors = [
            assertThrows(() => run(kind.at(slice, 32 + off)), Misaligned),
            assertThrows(() => run(kind.at(region, 32 + off)), Misaligned),
            assertThrows(() => run(kind.at(memory, START + 32 + off)), Misaligned),
          ];
          for (const error of errors) {
            assert(error instanceof InvalidBackendAddress);
            assertEquals([error.address, error.alignment], [32 + off, size]);
          }
        }
      }
      assertZero(slice.readOnlyView());
    }
  });

  Deno.test(`${operation} is aligned where its host address is, not its offset in a slice`, () => {
    using memory = GuestMemoryMmap.fromRanges([[START, SIZE]]);
    const slice = memory.getSlice(START, SIZE).offset(3);
    run(KINDS[4]!.at(slice, 1));
    assertThrows(() => run(KINDS[4]!.at(slice, 0)), Misaligned);
    assertThrows(() => run(KINDS[4]!.at(slice, 4)), Misaligned);
  });

  Deno.test(`${operation} outside is OutOfBounds in a slice and a region, InvalidGuestAddress in memory`, () => {
    for (const [, make] of BACKENDS) {
      using memory = make();
      const region = memory.findRegion(START)!;
      const slice = region.asVolatileSlice();
      for (const kind of KINDS) {
        for (const at of [SIZE, SIZE + 8, 2 ** 32, 2 ** 40]) {
          const inSlice = assertThrows(() => run(kind.at(slice, at)), OutOfBounds);
          const inRegion = assertThrows(() => run(kind.at(region, at)), OutOfBounds);
          assertEquals([inSlice.address, inRegion.address], Array(2).fill(at + kind.bits / 8));
          const error = assertThrows(() => run(kind.at(memory, START + at)), InvalidGuestAddress);
          assertEquals<number>(error.address, START + at);
        }
        assertThrows(() => run(kind.at(memory, START - 8)), InvalidGuestAddress);
        for (const at of [-8, -1, 0.5, NaN, Infinity, 2 ** 53]) {
          assertThrows(() => run(kind.at(slice, at)), VolatileMemoryError, undefined, `${at}`);
        }
        assertThrows(() => run(kind.at(slice, 2 ** 53)), Overflow);
      }
      assertZero(slice.readOnlyView());
    }
  });

  Deno.test(`${operation} that leaves the slice, or the region, is out of bounds before it is misaligned`, () => {
    using memory = GuestMemoryHeap.fromRanges([[START, 14]]);
    const region = memory.findRegion(START)!;
    const slice = region.asVolatileSlice();
    for (const kind of KINDS.filter(({ bits }) => bits > 16)) {
      const last = 14 - kind.bits / 8;
      const end = Math.floor(last / (kind.bits / 8) + 1) * kind.bits / 8;
      for (const at of [end, last + 1]) {
        assertThrows(() => run(kind.at(slice, at)), OutOfBounds);
        assertThrows(() => run(kind.at(region, at)), InvalidBackendAddress);
        assertThrows(() => run(kind.at(memory, START + at)), InvalidBackendAddress);
      }
    }
  });

  Deno.test(`${operation} over two regions is InvalidBackendAddress and changes neither`, () => {
    const ranges = [[START, 100], [GuestAddress(START + 100), 100]] as const;
    for (const memory of [GuestMemoryHeap.fromRanges(ranges), GuestMemoryMmap.fromRanges(ranges)]) {
      using _ = memory;
      for (const kind of KINDS.filter(({ bits }) => bits === 64)) {
        // 96 is a multiple of 8, and 8 bytes from there are in both regions.
        assertThrows(() => run(kind.at(memory, START + 96)), InvalidBackendAddress);
      }
      for (const region of memory) assertZero(region.asVolatileSlice().readOnlyView());
    }
  });

  Deno.test(`${operation} after close() throws MemoryClosed`, () => {
    for (const [, make] of BACKENDS) {
      const memory = make();
      const region = memory.findRegion(START)!;
      const slice = region.asVolatileSlice();
      const ref = KINDS[4]!.ref(slice, 8);
      memory[Symbol.dispose]();
      const cells = [
        ref,
        KINDS[4]!.at(memory, START),
        KINDS[4]!.at(region, 0),
        KINDS[7]!.at(slice, 8),
      ];
      for (const cell of cells) assertThrows(() => run(cell), MemoryClosed);
    }
  });
}

Deno.test("getAtomicRef() checks bounds and alignment when it is made", () => {
  for (const [, make] of BACKENDS) {
    using memory = make();
    const slice = memory.getSlice(START, SIZE);
    assertThrows(() => slice.getAtomicRef(u32, SIZE - 2), OutOfBounds);
    assertThrows(() => slice.getAtomicRef(u32, SIZE), OutOfBounds);
    assertThrows(() => slice.getAtomicRef(u8, -1), Overflow);
    assertThrows(() => slice.getAtomicRef(u8, 0.5), Overflow);
    const error = assertThrows(() => slice.offset(3).getAtomicRef(u16, 4), Misaligned);
    assertEquals([error.address, error.alignment], [7, 2]);
    assertStrictEquals(slice.offset(3).getAtomicRef(u16, 5).load(), 0);
  }
});

Deno.test("AtomicRef that was used before close() throws MemoryClosed after it", () => {
  for (const [backend, make] of BACKENDS) {
    const memory = make();
    const ref = memory.getAtomicRef(u32, START);
    assertEquals([ref.fetchAdd(3), ref.load()], [0, 3]);
    memory[Symbol.dispose]();
    assertThrows(() => ref.load(), MemoryClosed, undefined, backend);
    assertThrows(() => ref.store(1), MemoryClosed, undefined, backend);
    assertThrows(() => ref.fetchAdd(1), MemoryClosed, undefined, backend);
  }
});

Deno.test("getAtomicRef() refers to the memory itself", () => {
  for (const [, make] of BACKENDS) {
    using memory = make();
    const slice = memory.getSlice(START, SIZE);
    const ref = slice.getAtomicRef(u16, 6);
    const again = slice.offset(2).getAtomicRef(i16, 4);
    ref.store(0xffff);
    assertEquals([again.load(), memory.load(u16, GuestAddress(START + 6))], [-1, 0xffff]);
    memory.writeObj(u16, 7, GuestAddress(START + 6));
    assertEquals([ref.fetchAdd(1), again.fetchAdd(1), ref.load()], [7, 8, 9]);
  }
});

Deno.test("atomic accesses of a slice over the caller's bytes follow where the bytes begin", () => {
  const buffer = new ArrayBuffer(32);
  const slice = VolatileSlice.from(new Uint8Array(buffer, 6, 20));
  slice.store(u64, 7n, 2);
  assertEquals(new BigUint64Array(buffer)[1], 7n);
  assertThrows(() => slice.store(u64, 7n, 0), Misaligned);
});

Deno.test("new AtomicRef() refuses a slice that is one byte short, and takes one that is not", () => {
  for (const codec of [u16, u32]) {
    const { byteLength } = codec;
    const sliceOf = (length: number) => VolatileSlice.from(new Uint8Array(length));
    const error = assertThrows(() => new AtomicRef(codec, sliceOf(byteLength - 1)), OutOfBounds);
    assertEquals(error.address, byteLength);
    const ref = new AtomicRef(codec, sliceOf(byteLength));
    assertEquals([ref.exchange(7), ref.load()], [0, 7]);
  }
});
