import { Permissions } from "../../mod.ts";
import { assert, assertEquals, assertFalse, assertInstanceOf, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  CannotResolve,
  Cursor,
  GuestMemoryError,
  InvalidBackendAddress,
  InvalidGuestAddress,
  type Iommu,
  IommuMemory,
  PartialBuffer,
  stopOnError,
  struct,
  u32,
  u64,
} from "../../mod.ts";
import {
  OPERATIONS,
  PAGE,
  physicalMemory,
  scattered,
  TableIommu,
  Vectored,
} from "../support/iommu.ts";
import { content, count, gpa } from "../support/values.ts";

const { No, Read, ReadWrite, Write } = Permissions;

// Page by page: memory, memory up to the hole at physical 128, the hole, memory.
function overHole() {
  const physical = physicalMemory();
  const iommu = new TableIommu().map(0, 16).map(16, 120).map(32, 144).map(48, 0);
  const bitmap = new AtomicBitmap(64, 1);
  return { physical, bitmap, memory: new IommuMemory(physical, iommu, { bitmap }) };
}

Deno.test("an access behind an IOMMU ends at a hole in physical memory", () => {
  const { physical, memory, bitmap } = overHole();
  assertEquals(memory.write(count(60), gpa(4)), 20);
  assertEquals(content(physical, 20, 12), count(12));
  assertEquals(content(physical, 120, 8), count(8, 13));
  assertEquals(content(physical, 0, 16), new Uint8Array(16));
  assertEquals([...bitmap.dirtyRuns()], [[4, 20]]);
  const buf = new Uint8Array(60);
  assertEquals(memory.read(buf, gpa(4)), 20);
  assertEquals(buf, Uint8Array.of(...count(20), ...new Uint8Array(40)));
  assertEquals(memory.readVolatileFrom(gpa(20), new Cursor(count(9)), 30), 4);
  assertEquals(memory.writeVolatileTo(gpa(4), new Cursor(new Uint8Array(99)), 60), 20);
  const vectored = new Vectored();
  assertEquals(memory.readVolatileFrom(gpa(4), vectored, 60), 20);
  assertEquals(vectored.calls, [[12, 8]]);
});

Deno.test("the exact forms behind an IOMMU throw PartialBuffer at a hole in physical memory", () => {
  const { memory } = overHole();
  const pair = struct({ a: u64, b: u64 });
  const calls: [() => unknown, number, number][] = [
    [() => memory.readSlice(new Uint8Array(30), gpa(4)), 30, 20],
    [() => memory.writeSlice(new Uint8Array(30), gpa(4)), 30, 20],
    [() => memory.readObj(u32, gpa(22)), 4, 2],
    [() => memory.writeObj(pair, { a: 1n, b: 2n }, gpa(20)), 16, 4],
    [() => memory.readExactVolatileFrom(gpa(10), new Cursor(count(99)), 40), 40, 14],
    [() => memory.writeAllVolatileTo(gpa(10), new Cursor(new Uint8Array(99)), 40), 40, 14],
    [() => memory.readExactVolatileFrom(gpa(10), new Vectored(), 40), 40, 14],
    [() => memory.writeAllVolatileTo(gpa(10), new Vectored(3), 40), 40, 14],
  ];
  for (const [call, expected, completed] of calls) {
    const error = assertThrows(call, PartialBuffer, undefined, `${call}`);
    assertEquals([error.expected, error.completed], [expected, completed], `${call}`);
  }
});

Deno.test("an access that begins in a hole throws InvalidGuestAddress with the physical address", () => {
  const { memory, bitmap } = overHole();
  for (const [iova, physical] of [[24, 128], [31, 135], [32, 144], [40, 152]] as const) {
    for (const [name, , run] of OPERATIONS) {
      const error = assertThrows(() => run(memory, gpa(iova)), GuestMemoryError, undefined, name);
      // An atomic access of several parts may be refused as that.
      if (error instanceof InvalidBackendAddress) continue;
      assertInstanceOf(error, InvalidGuestAddress, name);
      assertEquals<number>(error.address, physical, name);
    }
  }
  assertEquals(bitmap.dirtyPages, 0);
});

Deno.test("IommuMemory.getSlices() throws InvalidGuestAddress with a hole's physical address", () => {
  const { memory } = overHole();
  const lengths: number[] = [];
  const error = assertThrows(() => {
    for (const slice of memory.getSlices(gpa(4), 60)) lengths.push(slice.len);
  }, InvalidGuestAddress);
  assertEquals([lengths, error.address], [[12, 8], gpa(128)]);
  assertEquals([...stopOnError(memory.getSlices(gpa(4), 60))].map(({ len }) => len), [12, 8]);
  const first = assertThrows(
    () => [...stopOnError(memory.getSlices(gpa(24), 4))],
    InvalidGuestAddress,
  );
  assertEquals(first.address, gpa(128));
});

Deno.test("IommuMemory.getSlices() throws where the range is not translated, before any slice", () => {
  const { memory } = scattered();
  const slices = memory.getSlices(gpa(0x1000), 49);
  assertThrows(() => slices.next(), CannotResolve);
  assert(slices.next().done);
  assertThrows(() => [...stopOnError(memory.getSlices(gpa(0x1000), 49))], CannotResolve);
});

Deno.test("IommuMemory.checkRange() asks for translation, rights and physical memory", () => {
  const { memory } = overHole();
  for (const permissions of [undefined, No, Read, Write, ReadWrite] as const) {
    assert(memory.checkRange(gpa(0), 24, permissions));
    assert(memory.checkRange(gpa(48), 16, permissions));
    assertFalse(memory.checkRange(gpa(0), 25, permissions));
    assertFalse(memory.checkRange(gpa(24), 1, permissions));
    assertFalse(memory.checkRange(gpa(48), 17, permissions));
    assertFalse(memory.checkRange(gpa(64), 1, permissions));
    assertFalse(memory.checkRange(gpa(2 ** 53 - 1), 8, permissions));
    assert(memory.checkRange(gpa(64), 0, permissions));
  }
  const iommu = new TableIommu().map(0, 0, PAGE, Read).map(16, 32, PAGE, ReadWrite);
  const rights = new IommuMemory(physicalMemory(), iommu);
  assertEquals([Read, Write, ReadWrite].map((p) => rights.checkRange(gpa(0), 32, p)), [
    true,
    false,
    false,
  ]);
  assertEquals([rights.checkRange(gpa(0), 8), rights.checkRange(gpa(16), 8)], [false, true]);
});

for (const length of [-1, NaN, 0.5, Infinity]) {
  Deno.test(`checkRange() of ${length} bytes is false, with and without an IOMMU`, () => {
    const { memory } = overHole();
    assertFalse(memory.checkRange(gpa(0), length, Read));
    memory.enabled = false;
    assertFalse(memory.checkRange(gpa(0), length, Read));
  });
}

Deno.test("an access behind an IOMMU ends at a hole after one byte", () => {
  const iommu: Iommu = {
    translate: (_iova, length) => [
      { base: gpa(127), length: 1 },
      { base: gpa(144), length: length - 1 },
    ],
  };
  const memory = new IommuMemory(physicalMemory(), iommu);
  assertEquals(memory.write(count(4), gpa(0)), 1);
  assertEquals(memory.read(new Uint8Array(4), gpa(0)), 1);
});

Deno.test("an access behind an IOMMU ends at a hole in the middle of a translated range", () => {
  const physical = physicalMemory();
  const iommu: Iommu = {
    translate: (_iova, length) => [
      { base: gpa(120), length: 16 },
      { base: gpa(0), length: length - 16 },
    ],
  };
  const memory = new IommuMemory(physical, iommu);
  assertEquals(memory.write(count(32), gpa(0)), 8);
  assertEquals(content(physical, 0, 16), new Uint8Array(16));
  assertEquals(memory.read(new Uint8Array(32), gpa(0)), 8);
});

Deno.test("IommuMemory.getSlices() needs no other rights to say where a hole is", () => {
  for (const permissions of [Read, Write] as const) {
    const iommu = new TableIommu().map(0, 120, 16, permissions);
    const memory = new IommuMemory(physicalMemory(), iommu);
    const error = assertThrows(
      () => [...memory.getSlices(gpa(0), 16, permissions)],
      InvalidGuestAddress,
    );
    assertEquals(error.address, gpa(128));
  }
});
