import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  type Bytes,
  bytes,
  Cursor,
  dirtyRuns,
  Fd,
  GuestAddress,
  type GuestMemory,
  GuestMemoryError,
  GuestMemoryHeap,
  GuestMemoryMmap,
  GuestRegionCollection,
  type Iommu,
  IommuMemory,
  IommuMisconfigured,
  Iotlb,
  type MappedRange,
  Permissions,
  takeDirty,
  u16,
  u32,
  u64,
  u8,
} from "../../mod.ts";
import { ElsewhereRegion } from "../support/elsewhere_region.ts";
import { linuxTest } from "../support/linux_test.ts";
import { openFile } from "../support/posix.ts";

const A = GuestAddress;
const SIZE = 0x100;
const IOVA = 0x7000;

const exactly = { bitmap: (length: number) => new AtomicBitmap(length, 1) };
const RANGES = [[A(0), SIZE], [A(SIZE), SIZE]] as const;

// IOVA to 0x80, which ends 8 bytes before the second region; then to 0x180.
function iommuOf(): Iommu {
  const tlb = new Iotlb();
  tlb.setMapping(A(IOVA), A(SIZE - 0x20), 0x30, Permissions.ReadWrite);
  tlb.setMapping(A(IOVA + 0x30), A(0x180), 0x20, Permissions.ReadWrite);
  return { translate: (iova, length, permissions) => tlb.lookup(iova, length, permissions) };
}

function physicalOf(iova: number): number {
  return iova < 0x30 ? SIZE - 0x20 + iova : 0x180 + iova - 0x30;
}

const BACKENDS: Record<string, () => GuestMemory & Disposable> = {
  "heap regions": () => GuestMemoryHeap.fromRanges(RANGES, exactly),
  "mapped regions": () => GuestMemoryMmap.fromRanges(RANGES, exactly),
  "regions elsewhere": () =>
    GuestRegionCollection.fromRegions(
      RANGES.map(([at, len]) => new ElsewhereRegion(at, len, new AtomicBitmap(len, 1))),
    ),
};

function dirtyBytes(runs: Iterable<readonly [number, number]>): number[] {
  return [...runs].flatMap(([at, length]) => Array.from({ length }, (_, i) => at + i));
}

// Accesses that write, and how many bytes.
const WRITES: Record<string, [number, (memory: Bytes<number>, at: number) => unknown]> = {
  write: [12, (memory, at) => memory.write(new Uint8Array(12), at)],
  writeSlice: [12, (memory, at) => memory.writeSlice(new Uint8Array(12), at)],
  "writeObj of a scalar": [4, (memory, at) => memory.writeObj(u32, 1, at)],
  "writeObj of bytes": [40, (memory, at) => memory.writeObj(bytes(40), new Uint8Array(40), at)],
  readVolatileFrom: [9, (memory, at) => {
    memory.readVolatileFrom(at, new Cursor(new Uint8Array(9)), 9);
  }],
  readExactVolatileFrom: [20, (memory, at) => {
    memory.readExactVolatileFrom(at, { readSync: (buffer) => Math.min(buffer.length, 3) }, 20);
  }],
};
const ATOMIC_WRITES: typeof WRITES = {
  store: [4, (memory, at) => memory.store(u32, 1, at)],
  "AtomicRef.store": [2, (memory, at) => memory.getAtomicRef(u16, at).store(1)],
  "AtomicRef.fetchAdd": [8, (memory, at) => memory.getAtomicRef(u64, at).fetchAdd(1n)],
};
// In one region, over the boundary, over the fragments, and in the second fragment.
const PLACES = [0, 0x1a, 0x2e, 0x30];

for (const [backing, make] of Object.entries(BACKENDS)) {
  const elsewhere = backing === "regions elsewhere";
  for (const [name, [size, write]] of Object.entries({ ...WRITES, ...ATOMIC_WRITES })) {
    if (elsewhere && name in ATOMIC_WRITES) continue;
    Deno.test(`${name} behind an IOMMU marks by both kinds of address: ${backing}`, () => {
      for (const place of PLACES) {
        if (name in ATOMIC_WRITES && place % 8 !== 0 || place + size > 0x50) continue;
        using physical = make();
        const bitmap = new AtomicBitmap(0x8000, 1);
        const memory = new IommuMemory(physical, iommuOf(), { bitmap });
        write(memory as Bytes<number>, IOVA + place);
        const iovas = Array.from({ length: size }, (_, i) => place + i);
        const expected = iovas.map(physicalOf).sort((a, b) => a - b);
        assertEquals(dirtyBytes(dirtyRuns(physical)), expected, `physical, from ${place}`);
        const marked = dirtyBytes(bitmap.dirtyRuns()).map((iova) => iova - IOVA);
        assertEquals(marked, iovas, `I/O, from ${place}`);
      }
    });

    Deno.test(`${name} behind an IOMMU without a bitmap marks physical memory: ${backing}`, () => {
      using physical = make();
      const memory = new IommuMemory(physical, iommuOf());
      write(memory as Bytes<number>, IOVA);
      assertEquals(dirtyBytes(dirtyRuns(physical)).length, size);
      memory.enabled = false;
      physical.write(new Uint8Array(1), A(0));
      if (name.startsWith("AtomicRef")) return;
      write(memory as Bytes<number>, 0x40);
      assertEquals(dirtyBytes(dirtyRuns(physical)).includes(0x40), true);
    });
  }

  Deno.test(`reads behind an IOMMU mark nothing: ${backing}`, () => {
    using physical = make();
    const bitmap = new AtomicBitmap(0x8000, 1);
    const memory = new IommuMemory(physical, iommuOf(), { bitmap });
    memory.read(new Uint8Array(0x50), A(IOVA));
    memory.readObj(u32, A(IOVA + 0x2e));
    memory.writeAllVolatileTo(A(IOVA), new Cursor(new Uint8Array(0x50)), 0x50);
    if (!elsewhere) memory.load(u32, A(IOVA));
    assertEquals(dirtyBytes(dirtyRuns(physical)), []);
    assertEquals(bitmap.dirtyPages, 0);
  });
}

linuxTest("a descriptor's bytes behind an IOMMU are marked by both kinds of address", () => {
  for (const make of Object.values(BACKENDS)) {
    using physical = make();
    using file = openFile(new Uint8Array(0x100));
    const bitmap = new AtomicBitmap(0x8000, 1);
    const memory = new IommuMemory(physical, iommuOf(), { bitmap });
    memory.readExactVolatileFrom(A(IOVA), new Fd(file.fd), 0x50);
    assertEquals(dirtyBytes(dirtyRuns(physical)).length, 0x50);
    assertEquals([...bitmap.dirtyRuns()], [[IOVA, 0x50]]);
  }
});

Deno.test("what a device writes behind an IOMMU is taken with the rest of the guest", () => {
  using physical = GuestMemoryHeap.fromRanges(RANGES, exactly);
  const memory = new IommuMemory(physical, iommuOf(), { bitmap: new AtomicBitmap(0x8000, 1) });
  memory.writeObj(u8, 1, A(IOVA));
  using dirty = takeDirty(physical);
  assertEquals([...dirty], [[A(SIZE - 0x20), 1]]);
});

class FailingBitmap extends AtomicBitmap {
  override markDirty(): void {
    throw new Error("no marks");
  }
}

Deno.test("an I/O bitmap that fails costs physical memory no mark, nor the other way round", () => {
  for (const failing of ["I/O", "physical"]) {
    const good = { bitmap: (length: number) => new AtomicBitmap(length, 1) };
    const bad = { bitmap: (length: number) => new FailingBitmap(length, 1) };
    using physical = GuestMemoryHeap.fromRanges(RANGES, failing === "physical" ? bad : good);
    const bitmap = (failing === "I/O" ? bad : good).bitmap(0x8000);
    const memory = new IommuMemory(physical, iommuOf(), { bitmap });
    assertThrows(() => memory.writeObj(u32, 1, A(IOVA)), Error, "no marks");
    const marked = failing === "I/O" ? [...dirtyRuns(physical)] : [...bitmap.dirtyRuns()];
    assertEquals(marked.map(([, length]) => length), [4]);
  }
});

const BAD_NUMBERS = [1e-13, -1, NaN, 2 ** 53, Infinity, -0.5];
const BAD_KINDS = ["1000", 1000n, undefined, null, Symbol("s"), {}];

for (const bad of [...BAD_NUMBERS, ...BAD_KINDS] as number[]) {
  const kind = typeof bad === "number" ? GuestMemoryError : TypeError;

  Deno.test(`Iotlb refuses ${String(bad)} as address and as length`, () => {
    const tlb = new Iotlb();
    tlb.setMapping(A(0), A(0), 0x1000, Permissions.ReadWrite);
    const address = bad as GuestAddress;
    const calls = [
      () => tlb.setMapping(address, A(0), 1, Permissions.Read),
      () => tlb.setMapping(A(0), address, 1, Permissions.Read),
      () => tlb.setMapping(A(0), A(0x5000), bad, Permissions.Read),
      () => tlb.invalidateMapping(address, 1),
      () => tlb.invalidateMapping(A(1), bad),
      () => tlb.lookup(address, 1, Permissions.Read),
      () => tlb.lookup(A(1), bad, Permissions.Read),
    ];
    for (const call of calls) assertThrows(call, kind);
    const found = tlb.lookup(A(0), 0x1000, Permissions.ReadWrite);
    assertEquals(found, [{ base: A(0), length: 0x1000 }]);
  });

  Deno.test(`IommuMemory refuses ${String(bad)} as address, and asks nothing`, () => {
    let asked = 0;
    using physical = GuestMemoryHeap.fromRanges(RANGES);
    const memory = new IommuMemory(physical, {
      translate: (base, length) => {
        asked++;
        return [{ base, length }];
      },
    }) as Bytes<number>;
    const cursor = new Cursor(new Uint8Array(8));
    const calls = [
      () => memory.read(new Uint8Array(4), bad),
      () => memory.write(new Uint8Array(4), bad),
      () => memory.readObj(u32, bad),
      () => memory.writeObj(u32, 1, bad),
      () => memory.load(u32, bad),
      () => memory.store(u32, 1, bad),
      () => memory.getAtomicRef(u32, bad),
      () => memory.readVolatileFrom(bad, cursor, 4),
      () => memory.writeVolatileTo(bad, cursor, 4),
    ];
    for (const call of calls) {
      const { message } = assertThrows(call, kind);
      if (kind === TypeError) assertStringIncludes(message, "addr");
    }
    assertEquals([asked, cursor.position], [0, 0]);
  });
}

const END = 2 ** 53;
const range = (base: number, length: number): MappedRange => ({ base: A(base), length });
const many = (count: number, length: number) =>
  Array.from({ length: count }, () => range(0, length));
const WRONG: Record<string, [number, unknown]> = {
  "nothing": [8, []],
  "an empty range": [8, [range(0, 0), range(0, 8)]],
  "empty ranges for ever": [8, {
    *[Symbol.iterator]() {
      for (;;) yield range(0, 0);
    },
  }],
  "a byte too few": [8, [range(0, 7)]],
  "a byte too many": [8, [range(0, 9)]],
  "a byte too many in two": [8, [range(0, 4), range(8, 5)]],
  "a negative length": [8, [range(0, 9), range(0, -1)]],
  "a part of a byte": [8, [range(0, 7.5), range(0, 0.5)]],
  "a string": [8, [{ base: "0", length: 8 }]],
  "a length as a string": [8, [{ base: 0, length: "8" }]],
  "a base that is none": [8, [{ base: 0.5, length: 8 }]],
  "a base beyond 2^53": [8, [{ base: END, length: 8 }]],
  "ranges of bytes, over 65,536 of them": [65_537, many(65_537, 1)],
};
for (const [what, [length, answer]] of Object.entries(WRONG)) {
  Deno.test(`IommuMemory refuses a translation to ${what}`, () => {
    using physical = GuestMemoryHeap.fromRanges(RANGES);
    const iommu = { translate: () => answer as MappedRange[] };
    const memory = new IommuMemory(physical, iommu, { bitmap: new AtomicBitmap(END - 1, 2 ** 40) });
    const ones = new Uint8Array(length).fill(1);
    assertThrows(() => memory.write(ones, A(0)), IommuMisconfigured);
    assertThrows(() => memory.read(ones, A(0)), IommuMisconfigured);
    assertEquals(memory.checkRange(A(0), length), false);
    assertEquals(physical.readObj(u64, A(0)), 0n);
  });
}

Deno.test("IommuMemory takes 65,536 ranges, and one for each 512 bytes of more", () => {
  using physical = GuestMemoryHeap.fromRanges([[A(0), SIZE]]);
  const accept = (length: number, ranges: MappedRange[]) =>
    new IommuMemory(physical, { translate: () => ranges }).checkRange(A(0), length);
  assertEquals(accept(65_536, many(65_536, 1)), true);
  const large = 65_540 * 512;
  const ranges = [...many(65_539, SIZE), range(0, SIZE)];
  const rest = large - 65_540 * SIZE;
  assertEquals(rest > 0, true);
  assertEquals(accept(65_540 * SIZE, ranges), false);
  // Every range but the last is one byte: 65,540 of them may be for so many bytes.
  using wide = GuestMemoryHeap.fromRanges([[A(0), large]]);
  const few = [...many(65_539, 1), range(0, large - 65_539)];
  const one = [range(0, 1), ...few.slice(0, -1), range(0, large - 65_540)];
  const acceptWide = (ranges: MappedRange[]) =>
    new IommuMemory(wide, { translate: () => ranges }).checkRange(A(0), large);
  assertEquals([acceptWide(few), acceptWide(one)], [true, false]);
});
