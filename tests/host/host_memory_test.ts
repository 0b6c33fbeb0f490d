import { assertEquals, assertThrows } from "@std/assert";
import { HostMemory, MemoryClosed } from "../../mod.ts";
import { boundaryWindow } from "../../src/host/host_memory.ts";
import { count } from "../support/values.ts";

const ARRAYS = {
  ...{ u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, u64: BigUint64Array },
  ...{ i8: Int8Array, i16: Int16Array, i32: Int32Array, i64: BigInt64Array },
  ...{ f32: Float32Array, f64: Float64Array },
} as const;

Deno.test("HostMemory has whole elements of every type over one buffer", () => {
  for (const length of [0, 1, 7, 8, 19]) {
    const memory = new HostMemory(new ArrayBuffer(length));
    for (const [name, Array] of Object.entries(ARRAYS)) {
      const array = memory[name as keyof typeof ARRAYS];
      assertEquals([name, array.constructor], [name, Array]);
      assertEquals(array.length, Math.floor(length / Array.BYTES_PER_ELEMENT));
      assertEquals([array.buffer, array.byteOffset], [memory.buffer, 0]);
    }
    const { dataView } = memory;
    assertEquals([dataView.byteLength, dataView.buffer], [length, memory.buffer]);
  }
});

Deno.test("HostMemory has the length that a buffer had, whatever becomes of it", () => {
  const buffer = new ArrayBuffer(16, { maxByteLength: 32 });
  const memory = new HostMemory(buffer);
  buffer.resize(32);
  assertEquals([memory.u8.length, memory.f64.length, memory.closed], [16, 2, false]);
  buffer.resize(15);
  assertEquals([memory.closed, memory.openLength, memory.length], [true, 0, 16]);
  buffer.resize(16);
  assertEquals([memory.closed, memory.openLength, memory.length], [false, 16, 16]);
  buffer.transfer();
  assertEquals([memory.closed, memory.openLength, memory.length], [true, 0, 16]);
});

Deno.test("HostMemory refuses a length that is no integer from 0", () => {
  for (const length of [-1, 0.5, NaN, Infinity, "8", 8n]) {
    assertThrows(() => new HostMemory(new ArrayBuffer(8), length as number));
  }
  assertEquals(new HostMemory(new ArrayBuffer(0), 8).length, 8);
});

Deno.test("HostMemory of no bytes is open until it is closed", () => {
  const memory = new HostMemory(new ArrayBuffer(0));
  assertEquals(memory.closed, false);
  memory.close();
  assertEquals(memory.closed, true);
});

Deno.test("HostMemory refuses what is no buffer", () => {
  for (const bad of [{}, undefined, "text"] as unknown as ArrayBuffer[]) {
    assertThrows(() => new HostMemory(bad));
  }
});

Deno.test("HostMemory.permits() reads and writes of exactly what the arrays have", () => {
  const memory = new HostMemory(new ArrayBuffer(8));
  for (const access of ["read", "write"] as const) {
    assertEquals(memory.permits(access, 0, 8), true);
    assertEquals(memory.permits(access, 0, 9), false);
    assertEquals(memory.permits(access, -1, 1), false);
  }
  memory.close();
  for (const access of ["read", "write"] as const) {
    assertEquals(memory.permits(access, 0, 1), false);
  }
});

Deno.test("HostMemory that is closed allows no access, and keeps its length", () => {
  const memory = new HostMemory(new ArrayBuffer(8));
  memory.ensureOpen();
  memory.close();
  memory.close();
  assertEquals([memory.closed, memory.canAccess(0, 0), memory.canAccess(0, 1)], [
    true,
    true,
    false,
  ]);
  assertEquals([memory.openLength, memory.length], [0, 8]);
  const buf = new Uint8Array(4);
  assertEquals([memory.copyOut(0, buf, 4), memory.copyIn(0, buf, 4)], [false, false]);
  assertThrows(() => memory.ensureOpen(), MemoryClosed);
});

Deno.test("HostMemory of a given length is closed while its buffer has less", () => {
  const memory = new HostMemory(new ArrayBuffer(0), 8);
  assertEquals([memory.length, memory.openLength, memory.closed], [8, 0, true]);
  assertEquals([memory.canAccess(0, 1), memory.permits("read", 0, 1)], [false, false]);
});

Deno.test("HostMemory.setBuffer() replaces every array", () => {
  class Changing extends HostMemory {
    change(buffer: ArrayBuffer): void {
      this.setBuffer(buffer);
    }
  }
  const memory = new Changing(count(8).buffer);
  const old = memory.u8;
  memory.change(new ArrayBuffer(0));
  for (const name of Object.keys(ARRAYS) as (keyof typeof ARRAYS)[]) {
    assertEquals([name, memory[name].length], [name, 0]);
  }
  assertEquals([memory.dataView.byteLength, memory.openLength, memory.closed], [0, 0, true]);
  memory.change(Uint8Array.of(8, 7, 6, 5, 4, 3, 2, 1).buffer);
  assertEquals([memory.u8[0], memory.u16[0], memory.closed], [8, 0x0708, false]);
  assertEquals(old[0], 1);
});

Deno.test("HostMemory.canAccess() knows the ends", () => {
  const memory = new HostMemory(new ArrayBuffer(8));
  const cases: [number, number, boolean][] = [
    [0, 0, true],
    [0, 8, true],
    [0, 9, false],
    [7, 1, true],
    [7, 2, false],
    [8, 0, true],
    [8, 1, false],
    [-1, 1, false],
    [-1, 9, false],
    [0.5, 1, false],
    [1e-13, 1, false],
    [NaN, 1, false],
    [0, NaN, false],
    [Infinity, 1, false],
  ];
  for (const [offset, length, expected] of cases) {
    assertEquals(memory.canAccess(offset, length), expected, `${length} from ${offset}`);
  }
});

Deno.test("HostMemory.copyOut() and copyIn() copy all of a buffer, or nothing", () => {
  const memory = new HostMemory(count(8).buffer);
  const buf = new Uint8Array(3);
  assertEquals([memory.copyOut(5, buf, 3), [...buf]], [true, [6, 7, 8]]);
  assertEquals([memory.copyIn(0, buf, 3), [...memory.u8]], [true, [6, 7, 8, 4, 5, 6, 7, 8]]);
  for (const [offset, length] of [[6, 3], [-1, 3], [0, 2], [0, 4], [0.5, 3]] as const) {
    const before = [...memory.u8];
    assertEquals(memory.copyOut(offset, buf.fill(0xee), length), false);
    assertEquals(memory.copyIn(offset, buf, length), false);
    assertEquals([[...buf], [...memory.u8]], [[0xee, 0xee, 0xee], before]);
  }
});

Deno.test("HostMemory has no address and no views over its boundaries", () => {
  const memory = new HostMemory(new ArrayBuffer(8));
  assertEquals([memory.hostAddress(), memory.boundaryView(memory)], [undefined, undefined]);
});

Deno.test("boundaryWindow() is half of the memory, and 64 KiB at most", () => {
  const lengths = [0, 1, 2, 3, 131_071, 131_072, 131_074, 2 ** 40];
  assertEquals(lengths.map(boundaryWindow), [0, 0, 1, 1, 65_535, 65_536, 65_536, 65_536]);
});
