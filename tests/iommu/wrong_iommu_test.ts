import { Permissions } from "../../mod.ts";
import {
  assert,
  assertEquals,
  assertFalse,
  assertInstanceOf,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  AtomicBitmap,
  CannotResolve,
  Cursor,
  dirtyRuns,
  type GuestAddress,
  GuestMemoryError,
  GuestMemoryHeap,
  InvalidGuestAddress,
  type Iommu,
  IommuError,
  IommuMemory,
  IommuMisconfigured,
  MemoryClosed,
  PartialBuffer,
  type ReadVolatile,
  u64,
  type VolatileSlice,
} from "../../mod.ts";
import { OPERATIONS, physicalMemory, scattered, snapshot } from "../support/iommu.ts";
import { content, count, gpa } from "../support/values.ts";

const { Read } = Permissions;

type Translate = (iova: number, length: number) => unknown;

/** Physical memory with a pattern, behind an IOMMU that answers so, of any type. */
function misbehaving(translate: Translate) {
  const physical = physicalMemory();
  for (const region of physical) region.asVolatileSlice().rawView().fill(0xaa);
  const bitmap = new AtomicBitmap(0x2000, 1);
  const iommu = { translate } as unknown as Iommu;
  const memory = new IommuMemory(physical, iommu, { bitmap });
  return { physical, memory, bitmap };
}

// An endless list that a test does not wait for.
function* endless(range: unknown): Generator<unknown, void, void> {
  for (let i = 0; i < 1_000_000; i++) yield range;
  throw new Error("Asked for more than a million ranges");
}

const WRONG: Readonly<Record<string, Translate>> = {
  "no range": () => [],
  "too few bytes": (_, length) => [{ base: 32, length: length - 1 }],
  "too many bytes": (_, length) => [{ base: 32, length: length + 1 }],
  "too many bytes in two ranges": (_, length) => [{ base: 32, length: 1 }, { base: 0, length }],
  "a range of zero bytes only": () => [{ base: 32, length: 0 }],
  "a range of zero bytes before the right one": (_, length) => [
    { base: 32, length: 0 },
    { base: 32, length },
  ],
  "a range of zero bytes between two": (_, length) => [
    { base: 32, length: 1 },
    { base: 0, length: 0 },
    { base: 33, length: length - 1 },
  ],
  "zero bytes without end": () => endless({ base: 32, length: 0 }),
  "tiny fractions without end": () => endless({ base: 32, length: 1e-300 }),
  "fractions that add up": (
    _,
    length,
  ) => [{ base: 32, length: 0.5 }, { base: 0, length: length - 0.5 }],
  "fractions after a whole byte": (_, length) => [
    { base: 32, length: 1 },
    { base: 8, length: 0.5 },
    { base: 16, length: length - 1.5 },
  ],
  "NaN bytes": () => [{ base: 32, length: NaN }],
  "NaN bytes without end": () => endless({ base: 32, length: NaN }),
  "-1 bytes": () => [{ base: 32, length: -1 }],
  "-1 bytes, then more": (_, length) => [
    { base: 32, length: -1 },
    { base: 32, length: length + 1 },
  ],
  "more, then -1 bytes": (_, length) => [
    { base: 32, length: length - 1 },
    { base: 32, length: -1 },
    { base: 32, length: 2 },
  ],
  "Infinity bytes": () => [{ base: 32, length: Infinity }],
  "address -1": (_, length) => [{ base: -1, length }],
  "address 0.5": (_, length) => [{ base: 0.5, length }],
  "address NaN": (_, length) => [{ base: NaN, length }],
  "address Infinity": (_, length) => [{ base: Infinity, length }],
  "address 2^53": (_, length) => [{ base: 2 ** 53, length }],
  "an address in text": (_, length) => [{ base: "32", length }],
  "a length in text": (_, length) => [{ base: 32, length: `${length}` }],
  "a bigint address": (_, length) => [{ base: 32n, length }],
  "a bigint length": (_, length) => [{ base: 32, length: BigInt(length) }],
  "an empty object": () => [{}],
  "undefined for a range": () => [undefined],
  "null for a range": () => [null],
  "a number for a range": () => [8],
  "text for ranges": () => "32 bytes",
  "undefined": () => undefined,
  "null": () => null,
  "a number": () => 16,
  "a range that is not in a list": (_, length) => ({ base: 32, length }),
  "a promise": (_, length) => Promise.resolve([{ base: 32, length }]),
};

// What of it cannot be iterated over, or has something that has no properties.
const NO_RANGES: readonly string[] = [
  ...["undefined for a range", "null for a range", "undefined", "null", "a number"],
  ...["a range that is not in a list", "a promise"],
];

for (const [what, translate] of Object.entries(WRONG)) {
  Deno.test(`an IOMMU that answers ${what} is refused, and nothing is accessed`, () => {
    const { physical, memory, bitmap } = misbehaving(translate);
    const before = snapshot(physical);
    for (const [name, , run] of OPERATIONS) {
      // Not every answer that is no list is worth a separate check.
      const kind = NO_RANGES.includes(what) ? TypeError : IommuMisconfigured;
      assertThrows(() => run(memory, gpa(0x1000)), kind, undefined, name);
    }
    let checked: boolean | undefined;
    try {
      checked = memory.checkRange(gpa(0x1000), 8, Read);
    } catch (error) {
      assertInstanceOf(error, TypeError);
      checked = false;
    }
    assertFalse(checked);
    assertEquals([snapshot(physical), bitmap.dirtyPages], [before, 0]);
    assertEquals([...dirtyRuns(physical)], []);
  });
}

Deno.test("an IOMMU may translate to 65,536 ranges and to none more, but to pages of a long range", () => {
  const pages = 2 ** 16;
  const physical = GuestMemoryHeap.fromRanges([[gpa(0), 2 ** 26]]);
  let size = 1;
  const memory = new IommuMemory(physical, {
    *translate(_iova, length) {
      for (let done = 0; done < length; done += size) yield { base: gpa(0), length: size };
    },
  });
  const buffer = new Uint8Array(pages + 1);
  assertEquals(memory.read(buffer.subarray(1), gpa(0)), pages);
  assertThrows(() => memory.read(buffer, gpa(0)), IommuMisconfigured, "over 65536 ranges");
  assertFalse(memory.checkRange(gpa(0), pages + 1, Read));
  size = 512;
  assert(memory.checkRange(gpa(0), (pages + 10) * 512, Read));
});

Deno.test("IommuMemory refuses what is no I/O virtual address", () => {
  const { memory, iommu, bitmap } = scattered();
  for (const [name, , run] of OPERATIONS) {
    for (const at of [-1, -8, 0.5, NaN, Infinity, -Infinity, 2 ** 53]) {
      assertThrows(() => run(memory, at as GuestAddress), IommuMisconfigured, `${at}`, name);
    }
    for (const at of ["8", 8n, undefined, null, {}, Symbol("at")]) {
      assertThrows(() => run(memory, at as unknown as GuestAddress), TypeError, "addr", name);
    }
  }
  assertEquals([iommu.asked, bitmap.dirtyPages], [[], 0]);
});

Deno.test("ranges of an IOMMU are not asked for beyond the end of the access", () => {
  let yielded = 0;
  let closed = 0;
  const { physical, memory } = misbehaving(function* () {
    try {
      while (yielded < 1000) yield { base: 32 + yielded++, length: 1 };
    } finally {
      closed++;
    }
  });
  memory.writeSlice(count(8), gpa(0x1000));
  assertEquals(content(physical, 31, 10), Uint8Array.of(0xaa, ...count(8), 0xaa));
  assertEquals([yielded, closed], [8, 1]);
});

Deno.test("what an IOMMU throws passes unchanged, and nothing is accessed", () => {
  const own = new Error("the IOMMU is on fire");
  const cannot = new CannotResolve({ base: 1, length: 2 }, "because");
  for (const thrown of [own, cannot]) {
    const translates: Translate[] = [
      () => {
        throw thrown;
      },
      function* (_iova, length) {
        yield { base: 32, length: length - 1 };
        throw thrown;
      },
    ];
    for (const translate of translates) {
      const { physical, memory, bitmap } = misbehaving(translate);
      const before = snapshot(physical);
      for (const [, , run] of OPERATIONS) {
        assertStrictEquals(assertThrows(() => run(memory, gpa(0x1000))), thrown);
      }
      assertEquals([snapshot(physical), bitmap.dirtyPages], [before, 0]);
    }
  }
});

Deno.test("checkRange() is false where an IOMMU throws its error, and throws any other", () => {
  const { memory } = misbehaving(() => {
    throw new IommuError("no");
  });
  assertFalse(memory.checkRange(gpa(0), 1, Read));
  const own = new Error("the IOMMU is on fire");
  const broken = misbehaving(() => {
    throw own;
  });
  assertStrictEquals(assertThrows(() => broken.memory.checkRange(gpa(0), 1, Read)), own);
});

Deno.test("an IOMMU that hands out one range object again and again is understood", () => {
  const range = { base: 0, length: 0 };
  const { physical, memory } = misbehaving(function* (_iova, length) {
    yield Object.assign(range, { base: 32, length: 3 });
    yield Object.assign(range, { base: 64, length: length - 3 });
  });
  memory.writeSlice(count(8), gpa(0x1000));
  assertEquals(content(physical, 31, 5), Uint8Array.of(0xaa, 1, 2, 3, 0xaa));
  assertEquals(content(physical, 63, 7), Uint8Array.of(0xaa, 4, 5, 6, 7, 8, 0xaa));
  assertEquals(content(memory, 0x1000, 8), count(8));
});

Deno.test("a range that changes when it is looked at again reaches nothing else", () => {
  for (
    const later of [{ base: 0, length: 8 }, { base: 32, length: 64 }, { base: 32, length: NaN }]
  ) {
    const { physical, memory, bitmap } = misbehaving((_iova, length) => {
      const looks = { base: 0, length: 0 };
      // The first looks are what counts, however many checks there are.
      const seen = { base: 32, length };
      const look = (name: "base" | "length") => looks[name]++ < 1 ? seen[name] : later[name];
      return [{
        get base() {
          return look("base");
        },
        get length() {
          return look("length");
        },
      }];
    });
    for (const [name, , run] of OPERATIONS) {
      try {
        run(memory, gpa(0x1000));
      } catch (error) {
        assertInstanceOf(error, IommuMisconfigured, `${name}: ${error}`);
      }
    }
    const [first, ...others] = snapshot(physical);
    first!.fill(0xaa, 32, 40);
    for (const bytes of [first!, ...others]) {
      assertEquals(bytes, new Uint8Array(64).fill(0xaa), `${later.base} ${later.length}`);
    }
    for (const [start, length] of bitmap.dirtyRuns()) assertEquals([start, length], [0x1000, 8]);
  }
});

const OUTSIDE: readonly (readonly [base: number, accessible: number])[] = [
  [124, 4],
  [128, 0],
  [188, 0],
  [252, 4],
  [256, 0],
  [2 ** 31, 0],
  [2 ** 32 + 32, 0],
  [2 ** 53 - 8, 0],
  [2 ** 53 - 1, 0],
];

for (const [base, accessible] of OUTSIDE) {
  Deno.test(`a translation to physical address ${base} reaches ${accessible} of 8 bytes`, () => {
    const { physical, memory } = misbehaving((_iova, length) => [{ base, length }]);
    const write = () => memory.write(count(8), gpa(0x1000));
    if (accessible > 0) assertEquals(write(), accessible);
    else assertEquals<number>(assertThrows(write, InvalidGuestAddress).address, base);
    assertThrows(() => memory.writeSlice(count(8), gpa(0x1000)), GuestMemoryError);
    assertThrows(() => memory.store(u64, 1n, gpa(0x1000)), GuestMemoryError);
    assertFalse(memory.checkRange(gpa(0x1000), 8, Read));
    const written = snapshot(physical).flatMap((bytes) => [...bytes]).filter((byte) =>
      byte !== 0xaa
    );
    assertEquals(written, [...count(accessible)]);
  });
}

Deno.test("a translation beyond the last physical address ends there", () => {
  const physical = GuestMemoryHeap.fromRanges([[gpa(2 ** 53 - 16), 16]]);
  for (const base of [2 ** 53 - 4, 2 ** 53 - 3]) {
    const memory = new IommuMemory(physical, {
      translate: (_iova, length) => [{ base: gpa(base), length }],
    });
    assertEquals(memory.write(count(8), gpa(0)), 2 ** 53 - base);
    assertFalse(memory.checkRange(gpa(0), 8));
  }
});

Deno.test("an IOMMU that changes its mind between two operations of a stream ends the transfer", () => {
  // As long as the first bytes of the transfer are asked for, all is well.
  const answers: Record<string, Translate> = {
    "throws": () => {
      throw new CannotResolve({ base: 0, length: 0 }, "it is gone");
    },
    "too few bytes": () => [],
    "a hole": (_iova, length) => [{ base: 128, length }],
    "NaN": () => [{ base: NaN, length: NaN }],
  };
  for (const [what, later] of Object.entries(answers)) {
    for (const transfer of ["readExactVolatileFrom", "writeAllVolatileTo"] as const) {
      const { physical, memory } = misbehaving((iova, length) =>
        iova === 0x1000 ? [{ base: 32, length }] : later(iova, length)
      );
      const stream = {
        readVolatile: (slice: VolatileSlice) => slice.write(count(3), 0),
        writeVolatile: () => 3,
      };
      const error = assertThrows(
        () => memory[transfer](gpa(0x1000), stream, 8),
        GuestMemoryError,
        undefined,
        what,
      );
      assert(
        error instanceof PartialBuffer || error instanceof IommuError ||
          error instanceof InvalidGuestAddress,
        `${what}: ${error}`,
      );
      const expected = new Uint8Array(64).fill(0xaa);
      if (transfer === "readExactVolatileFrom") expected.set(count(3), 32);
      assertEquals(snapshot(physical)[0], expected);
    }
  }
});

Deno.test("an IOMMU that moves a page between two operations of a stream moves the rest", () => {
  const { physical, memory } = misbehaving((iova, length) => [
    { base: (iova < 0x1003 ? 32 : 64) + iova - 0x1000, length },
  ]);
  const source = new Cursor(count(8));
  const pieces: ReadVolatile = {
    readVolatile: (slice) => source.readVolatile(slice.getSlice(0, Math.min(3, slice.len))),
  };
  memory.readExactVolatileFrom(gpa(0x1000), pieces, 8);
  assertEquals(content(physical, 32, 4), Uint8Array.of(1, 2, 3, 0xaa));
  assertEquals(content(physical, 66, 7), Uint8Array.of(0xaa, 4, 5, 6, 7, 8, 0xaa));
});

Deno.test("an IOMMU that closes the memory is MemoryClosed", () => {
  for (const [name, , run] of OPERATIONS) {
    const { physical, memory } = misbehaving((_iova, length) => {
      physical.close();
      return [{ base: 32, length }];
    });
    assertThrows(() => run(memory, gpa(0x1000)), MemoryClosed, undefined, name);
  }
});
