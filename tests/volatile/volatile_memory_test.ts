import { assertEquals, assertThrows } from "@std/assert";
import {
  computeOffset,
  Misaligned,
  OutOfBounds,
  Overflow,
  u16,
  u32,
  u64,
  VolatileMemory,
  VolatileSlice,
} from "../../mod.ts";
import { count } from "../support/values.ts";

// All that a custom memory has to define.
class OwnMemory extends VolatileMemory {
  readonly host: Uint8Array = count(16);
  readonly asked: [number, number][] = [];

  constructor(readonly len: number = 16) {
    super();
  }

  override getSlice(offset: number, length: number): VolatileSlice {
    this.asked.push([offset, length]);
    this.computeEndOffset(offset, length);
    return VolatileSlice.from(this.host).getSlice(offset, length);
  }
}

Deno.test("VolatileMemory makes everything of its slices", () => {
  const memory = new OwnMemory();
  assertEquals(memory.getRef(u16, 3).load(), 0x0504);
  assertEquals(memory.getArrayRef(u32, 2, 3).load(1), 0x0a090807);
  assertEquals(memory.getAtomicRef(u64, 8).load(), 0x100f0e0d0c0b0a09n);
  assertEquals(memory.asVolatileSlice().len, 16);
  assertEquals(memory.asked, [[3, 2], [2, 12], [8, 8], [0, 16]]);
  assertThrows(() => memory.getAtomicRef(u16, 3), Misaligned);
  assertThrows(() => memory.getRef(u16, 15), OutOfBounds);
});

Deno.test("VolatileMemory is empty without bytes", () => {
  assertEquals([new OwnMemory(0).isEmpty, new OwnMemory(1).isEmpty], [true, false]);
});

Deno.test("VolatileMemory.computeEndOffset() is the end of what fits", () => {
  const memory = new OwnMemory();
  assertEquals(
    [[0, 0], [0, 16], [16, 0], [5, 6]].map(([a, b]) => memory.computeEndOffset(a!, b!)),
    [
      ...[0, 16, 16, 11],
    ],
  );
  for (const [base, length, end] of [[0, 17, 17], [16, 1, 17], [17, 0, 17], [1, 16, 17]] as const) {
    const error = assertThrows(() => memory.computeEndOffset(base, length), OutOfBounds);
    assertEquals(error.address, end);
  }
});

Deno.test("computeOffset() is the sum below 2^53", () => {
  const max = Number.MAX_SAFE_INTEGER;
  assertEquals([computeOffset(0, 0), computeOffset(max, 0), computeOffset(max - 5, 5)], [
    0,
    max,
    max,
  ]);
  assertEquals(computeOffset(2 ** 32, 2 ** 31), 2 ** 32 + 2 ** 31);
});

Deno.test("computeOffset() refuses what is no integer from 0, or leads beyond 2^53", () => {
  const max = Number.MAX_SAFE_INTEGER;
  const cases = [[max, 1], [1, max], [2 ** 53, 0], [-1, 2], [2, -1], [0.5, 0.5], [0, 0.5]];
  for (const [base, offset] of [...cases, [NaN, 0], [0, NaN], [Infinity, 0], [0, Infinity]]) {
    const error = assertThrows(() => computeOffset(base!, offset!), Overflow);
    assertEquals([error.base, error.offset], [base, offset]);
  }
  for (const bad of ["1", 1n, undefined, null, Symbol("s")] as unknown as number[]) {
    assertThrows(() => computeOffset(bad, 0), TypeError, "as offset");
    assertThrows(() => computeOffset(0, bad), TypeError, "as count");
  }
});
