import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  type AtomicAccess,
  type ByteValued,
  f32,
  f64,
  HostMemory,
  i128,
  i16,
  i32,
  i64,
  i8,
  isize,
  u128,
  u16,
  u32,
  u64,
  u8,
  usize,
} from "../../mod.ts";
import { bigint, checkInteger, number } from "../../src/codec/scalar.ts";

interface Scalar {
  codec: ByteValued<never>;
  size: number;
  write(view: DataView, at: number, value: never): void;
  read(view: DataView, at: number): unknown;
  values: readonly unknown[];
}

const INTEGERS = [0, 1, -1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, -0x8000, 0x1_2345_6789, 1.9];
const BIGINTS = [
  0n,
  1n,
  -1n,
  2n ** 63n,
  -(2n ** 63n),
  2n ** 64n - 1n,
  2n ** 64n,
  0x0102030405060708n,
];
const FLOATS = [0, -0, 1.5, -1e-40, 3.4e38, 1e300, Infinity, -Infinity, NaN];

// A DataView is the oracle.
function scalar(
  codec: unknown,
  size: number,
  type: string,
  values: readonly unknown[],
): Scalar {
  const get = `get${type}` as "getUint16";
  const set = `set${type}` as "setUint16";
  return {
    codec: codec as ByteValued<never>,
    size,
    read: (view, at) => view[get](at, true),
    write: (view, at, value) => view[set](at, value, true),
    values,
  };
}

const split = (low: "getBigUint64", high: "getBigUint64" | "getBigInt64"): Scalar => ({
  codec: (high === low ? u128 : i128) as ByteValued<never>,
  size: 16,
  read: (view, at) => (view[high](at + 8, true) << 64n) | view[low](at, true),
  write(view, at, value: bigint) {
    view.setBigUint64(at, BigInt.asUintN(64, value), true);
    view.setBigUint64(at + 8, BigInt.asUintN(64, value >> 64n), true);
  },
  values: [...BIGINTS, 2n ** 127n, 2n ** 128n - 1n, -(2n ** 127n), 2n ** 100n + 5n],
});

const SCALARS: Record<string, Scalar> = {
  u8: scalar(u8, 1, "Uint8", INTEGERS),
  i8: scalar(i8, 1, "Int8", INTEGERS),
  u16: scalar(u16, 2, "Uint16", INTEGERS),
  i16: scalar(i16, 2, "Int16", INTEGERS),
  u32: scalar(u32, 4, "Uint32", INTEGERS),
  i32: scalar(i32, 4, "Int32", INTEGERS),
  u64: scalar(u64, 8, "BigUint64", BIGINTS),
  i64: scalar(i64, 8, "BigInt64", BIGINTS),
  f32: scalar(f32, 4, "Float32", FLOATS),
  f64: scalar(f64, 8, "Float64", FLOATS),
  u128: split("getBigUint64", "getBigUint64"),
  i128: split("getBigUint64", "getBigInt64"),
};

for (const [name, { codec, size, read, write, values }] of Object.entries(SCALARS)) {
  Deno.test(`${name} has ${size} bytes and that alignment`, () => {
    assertEquals([codec.byteLength, codec.alignment], [size, size]);
  });

  Deno.test(`${name} is written and read little-endian at every offset`, () => {
    for (const value of values as never[]) {
      for (let at = 0; at <= 16; at++) {
        const memory = new HostMemory(new Uint8Array(40).fill(0xaa).buffer);
        const expected = new DataView(new Uint8Array(40).fill(0xaa).buffer);
        codec.write(memory, at, value);
        write(expected, at, value);
        assertEquals(memory.u8, new Uint8Array(expected.buffer), `${String(value)} at ${at}`);
        assertEquals(codec.read(memory, at), read(expected, at));
      }
    }
  });

  Deno.test(`${name} reads every byte at its place`, () => {
    const bytes = Uint8Array.from({ length: 40 }, (_, i) => 0xf1 - i * 11);
    const memory = new HostMemory(bytes.buffer);
    for (let at = 0; at <= 24; at++) {
      assertEquals(codec.read(memory, at), read(memory.dataView, at));
    }
  });

  Deno.test(`${name} refuses values of another kind, and writes nothing`, () => {
    const isBig = typeof values[0] === "bigint";
    const wrong = ["1", true, null, undefined, {}, Symbol("s"), isBig ? 1 : 1n];
    for (const value of wrong as never[]) {
      for (const at of [0, 1]) {
        const memory = new HostMemory(new ArrayBuffer(32));
        assertThrows(() => codec.write(memory, at, value), TypeError, "as value");
        assertEquals(memory.u8, new Uint8Array(32));
      }
    }
  });
}

for (const [name, array] of Object.entries({ u8, i8, u16, i16, u32, i32, u64, i64 })) {
  Deno.test(`${name}.elements() is the memory as an array of it`, () => {
    const memory = new HostMemory(new ArrayBuffer(32));
    const codec = array as AtomicAccess<number | bigint>;
    assertStrictEquals(codec.elements(memory), memory[name as "u8"]);
  });
}

Deno.test("usize and isize have 64 bits", () => {
  assertStrictEquals(usize, u64);
  assertStrictEquals(isize, i64);
});

Deno.test("number() and bigint() return what they are given, and refuse the other", () => {
  assertEquals([number(-0.5), bigint(-5n)], [-0.5, -5n]);
  assertThrows(() => number(1n as never), TypeError, "Cannot use 1n as value: it must be a number");
  assertThrows(() => bigint(1 as never), TypeError, "Cannot use 1 as value: it must be a bigint");
});

Deno.test("checkInteger() asks for a bigint where the integer has 64 bits, and says which", () => {
  checkInteger("value", 1, u32);
  checkInteger("value", 1n, u64);
  assertThrows(() => checkInteger("expected", 1n as never, u32), TypeError, "1n as expected");
  assertThrows(() => checkInteger("value", 1 as never, i64), TypeError, "it must be a bigint");
  assertThrows(() => checkInteger("value", "1" as never, u8), TypeError, "it must be a number");
});
