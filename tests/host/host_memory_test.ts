import { assert, assertEquals, assertThrows } from "@std/assert";
import { HostMemory, Permissions } from "../../mod.ts";
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
  assertEquals([memory.closed, memory.readableLength, memory.writableLength], [true, 0, 0]);
  buffer.resize(16);
  assertEquals([memory.closed, memory.readableLength, memory.writableLength], [false, 16, 16]);
  buffer.transfer();
  assertEquals([memory.closed, memory.readableLength], [true, 0]);
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

const LENGTHS = {
  [Permissions.No]: [0, 0],
  [Permissions.Read]: [8, 0],
  [Permissions.Write]: [0, 8],
  [Permissions.ReadWrite]: [8, 8],
} as const;

for (const [key, lengths] of Object.entries(LENGTHS)) {
  const permissions = Number(key) as Permissions;
  Deno.test(`HostMemory with permissions ${key} may be accessed so`, () => {
    const made = new HostMemory(new ArrayBuffer(8), permissions);
    const changed = new HostMemory(new ArrayBuffer(8));
    changed.setPermissions(permissions);
    for (const memory of [made, changed]) {
      assertEquals([memory.readableLength, memory.writableLength], [...lengths]);
      const may = lengths.map((length) => length > 0);
      assertEquals([memory.canRead(0, 8), memory.canWrite(0, 8)], may);
      const buf = new Uint8Array(4);
      assertEquals([memory.copyOut(0, buf, 4), memory.copyIn(0, buf, 4)], may);
      memory.setPermissions(Permissions.ReadWrite);
      assert(memory.canRead(0, 8) && memory.canWrite(0, 8));
    }
  });
}

Deno.test("HostMemory that is closed gets no permission back", () => {
  const memory = new HostMemory(new ArrayBuffer(8));
  memory.close();
  memory.setPermissions(Permissions.ReadWrite);
  assertEquals([memory.closed, memory.canRead(0, 0), memory.canRead(0, 1)], [true, true, false]);
  assertEquals([memory.readableLength, memory.writableLength], [0, 0]);
});

Deno.test("HostMemory.canRead() and canWrite() know the ends", () => {
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
    const actual = [memory.canRead(offset, length), memory.canWrite(offset, length)];
    assertEquals(actual, [expected, expected], `${length} from ${offset}`);
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
