import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import * as vm from "../../mod.ts";
import { asSlice, type ByteValued, fromSlice, VolatileSlice, zeroed } from "../../mod.ts";

interface Scalar {
  name: string;
  byteLength: number;
  alignment: number;
  checkWrite(): void;
  checkRead(): void;
}

const anyNumber = fc.oneof(fc.double(), fc.maxSafeInteger(), fc.integer());
const anyBigint = fc.bigInt({ min: -(2n ** 140n), max: 2n ** 140n });
const anyOffset = fc.nat(16);

// One row of the table, checked against an oracle made of a DataView alone.
function scalar<T>(
  name: string,
  codec: ByteValued<T>,
  values: fc.Arbitrary<T>,
  get: (view: DataView, at: number) => T,
  set: (view: DataView, at: number, value: T) => void,
): Scalar {
  const { byteLength, alignment } = codec;
  return {
    name,
    byteLength,
    alignment,
    checkWrite() {
      fc.assert(fc.property(anyOffset, values, (at, value) => {
        const actual = new Uint8Array(40).fill(0xa5);
        const expected = actual.slice();
        VolatileSlice.from(actual).writeObj(codec, value, at);
        set(new DataView(expected.buffer), at, value);
        assertEquals(actual, expected);
      }));
    },
    checkRead() {
      const content = fc.uint8Array({ minLength: 40, maxLength: 40 });
      fc.assert(fc.property(anyOffset, content, (at, bytes) => {
        const expected = get(new DataView(bytes.slice().buffer), at);
        assertEquals(VolatileSlice.from(bytes).readObj(codec, at), expected);
        assertEquals(fromSlice(codec, bytes.subarray(at, at + byteLength)), expected);
      }));
    },
  };
}

function wide(view: DataView, at: number, value: bigint): void {
  view.setBigUint64(at, value, true);
  view.setBigUint64(at + 8, value >> 64n, true);
}

function unsigned128(view: DataView, at: number): bigint {
  return view.getBigUint64(at + 8, true) << 64n | view.getBigUint64(at, true);
}

const SCALARS: Scalar[] = [
  scalar("u8", vm.u8, anyNumber, (v, at) => v.getUint8(at), (v, at, x) => v.setUint8(at, x)),
  scalar("i8", vm.i8, anyNumber, (v, at) => v.getInt8(at), (v, at, x) => v.setInt8(at, x)),
  ...([["u16", vm.u16], ["u16le", vm.u16le]] as const).map(([name, codec]) =>
    scalar(
      name,
      codec,
      anyNumber,
      (v, at) => v.getUint16(at, true),
      (v, at, x) => v.setUint16(at, x, true),
    )
  ),
  scalar(
    "u16be",
    vm.u16be,
    anyNumber,
    (v, at) => v.getUint16(at),
    (v, at, x) => v.setUint16(at, x),
  ),
  scalar(
    "i16",
    vm.i16,
    anyNumber,
    (v, at) => v.getInt16(at, true),
    (v, at, x) => v.setInt16(at, x, true),
  ),
  ...([["u32", vm.u32], ["u32le", vm.u32le]] as const).map(([name, codec]) =>
    scalar(
      name,
      codec,
      anyNumber,
      (v, at) => v.getUint32(at, true),
      (v, at, x) => v.setUint32(at, x, true),
    )
  ),
  scalar(
    "u32be",
    vm.u32be,
    anyNumber,
    (v, at) => v.getUint32(at),
    (v, at, x) => v.setUint32(at, x),
  ),
  scalar(
    "i32",
    vm.i32,
    anyNumber,
    (v, at) => v.getInt32(at, true),
    (v, at, x) => v.setInt32(at, x, true),
  ),
  ...([
    ["u64", vm.u64],
    ["u64le", vm.u64le],
    ["usize", vm.usize],
    ["usizele", vm.usizele],
  ] as const).map(([name, codec]) =>
    scalar(
      name,
      codec,
      anyBigint,
      (v, at) => v.getBigUint64(at, true),
      (v, at, x) => v.setBigUint64(at, x, true),
    )
  ),
  ...([["u64be", vm.u64be], ["usizebe", vm.usizebe]] as const).map(([name, codec]) =>
    scalar(
      name,
      codec,
      anyBigint,
      (v, at) => v.getBigUint64(at),
      (v, at, x) => v.setBigUint64(at, x),
    )
  ),
  ...([["i64", vm.i64], ["isize", vm.isize]] as const).map(([name, codec]) =>
    scalar(
      name,
      codec,
      anyBigint,
      (v, at) => v.getBigInt64(at, true),
      (v, at, x) => v.setBigInt64(at, x, true),
    )
  ),
  scalar(
    "f32",
    vm.f32,
    anyNumber,
    (v, at) => v.getFloat32(at, true),
    (v, at, x) => v.setFloat32(at, x, true),
  ),
  scalar(
    "f64",
    vm.f64,
    anyNumber,
    (v, at) => v.getFloat64(at, true),
    (v, at, x) => v.setFloat64(at, x, true),
  ),
  scalar("u128", vm.u128, anyBigint, unsigned128, wide),
  scalar("i128", vm.i128, anyBigint, (v, at) => BigInt.asIntN(128, unsigned128(v, at)), wide),
];

for (const { name, checkRead, checkWrite } of SCALARS) {
  Deno.test(`${name} reads at every alignment what a DataView reads`, checkRead);
  Deno.test(
    `${name} writes at every alignment what a DataView writes, and nothing else`,
    checkWrite,
  );
}

Deno.test("scalars have the size and the alignment of their C type", () => {
  for (const { name, byteLength, alignment } of SCALARS) {
    const bits = name.includes("size") ? 64 : Number(name.match(/\d+/)![0]);
    assertEquals([name, byteLength, alignment], [name, bits / 8, bits / 8]);
  }
});

Deno.test("integers wrap as typed-array elements do", () => {
  assertEquals(asSlice(vm.u16, -1), Uint8Array.of(0xff, 0xff));
  assertEquals(asSlice(vm.u16be, 0x1_2345), Uint8Array.of(0x23, 0x45));
  assertEquals(asSlice(vm.u32be, -2), Uint8Array.of(0xff, 0xff, 0xff, 0xfe));
  assertEquals(asSlice(vm.u8, 256.9), Uint8Array.of(0));
  assertEquals(fromSlice(vm.u64be, asSlice(vm.u64be, -1n)), 2n ** 64n - 1n);
  assertEquals(fromSlice(vm.u128, asSlice(vm.u128, -1n)), 2n ** 128n - 1n);
  assertEquals(fromSlice(vm.i128, asSlice(vm.u128, 2n ** 127n)), -(2n ** 127n));
});

Deno.test("big and little endian are the same value in another order of bytes", () => {
  assertEquals(asSlice(vm.u32be, 3).toReversed(), asSlice(vm.u32le, 3));
  assertNotEquals(asSlice(vm.u32be, 3), asSlice(vm.u32le, 3));
  assertEquals(fromSlice(vm.u32be, asSlice(vm.u32be, 3)), 3);
});

Deno.test("a value of the wrong kind is an error, not zero", () => {
  // @ts-expect-error a number is no bigint
  assertThrows(() => asSlice(vm.u64, 1), TypeError);
  // @ts-expect-error a bigint is no number
  assertThrows(() => asSlice(vm.u32, 1n), TypeError);
  // @ts-expect-error a bigint is no number
  assertThrows(() => asSlice(vm.u16be, 1n), TypeError);
});

Deno.test("fromSlice() takes exactly the bytes of the value", () => {
  assertEquals(fromSlice(vm.u32, new Uint8Array(3)), undefined);
  assertEquals(fromSlice(vm.u32, new Uint8Array(5)), undefined);
  assertEquals(fromSlice(vm.u32, new Uint8Array(0)), undefined);
  assertEquals(fromSlice(vm.bytes(0), new Uint8Array(0)), new Uint8Array(0));
});

Deno.test("fromSlice() and asSlice() copy", () => {
  const source = Uint8Array.of(1, 2, 3);
  const value = fromSlice(vm.bytes(3), source)!;
  source.fill(9);
  assertEquals(value, Uint8Array.of(1, 2, 3));
  const encoded = asSlice(vm.bytes(3), value);
  value.fill(9);
  assertEquals(encoded, Uint8Array.of(1, 2, 3));
  asSlice(vm.u64, 2n ** 64n - 1n);
  assertEquals(encoded, Uint8Array.of(1, 2, 3));
});

Deno.test("fromSlice() and asSlice() take values of any size", () => {
  const content = Uint8Array.from({ length: 10_000 }, (_, i) => i);
  assertEquals(asSlice(vm.bytes(10_000), fromSlice(vm.bytes(10_000), content)!), content);
});

Deno.test("zeroed() is the value of zero bytes, whatever was encoded before", () => {
  asSlice(vm.u64, 2n ** 64n - 1n);
  assertEquals(zeroed(vm.u64), 0n);
  assertEquals(zeroed(vm.f64), 0);
  assertEquals(zeroed(vm.bytes(4)), new Uint8Array(4));
});

Deno.test("a codec may decode with fromSlice() itself", () => {
  const nested: ByteValued<[number, number]> = {
    byteLength: 4,
    alignment: 1,
    read({ u8 }, at) {
      const first = fromSlice(vm.u16, u8.slice(at, at + 2))!;
      return [first, fromSlice(vm.u16be, u8.slice(at + 2, at + 4))!];
    },
    write({ u8 }, at, [first, second]) {
      u8.set(asSlice(vm.u16, first), at);
      u8.set(asSlice(vm.u16be, second), at + 2);
    },
  };
  assertEquals(asSlice(nested, [0x102, 0x304]), Uint8Array.of(2, 1, 3, 4));
  assertEquals(fromSlice(nested, Uint8Array.of(2, 1, 3, 4)), [0x102, 0x304]);
});

Deno.test("a codec that throws leaves fromSlice() and zeroed() usable", () => {
  const broken: ByteValued<number> = {
    byteLength: 4,
    alignment: 1,
    read: () => {
      throw new Error("broken");
    },
    write: ({ u8 }, at) => u8.fill(0xff, at, at + 4),
  };
  assertThrows(() => fromSlice(broken, new Uint8Array(4)), Error, "broken");
  asSlice(broken, 0);
  assertEquals(zeroed(vm.u32), 0);
});

Deno.test("load() and store() take the host's integers only", () => {
  const slice = VolatileSlice.from(new Uint8Array(8));
  slice.store(vm.u32, 7, 0);
  const small: number = slice.load(vm.u32le, 0);
  const large: bigint = slice.load(vm.u64, 0);
  assertEquals([small, large], [7, 7n]);
  // @ts-expect-error a big-endian integer has no atomic access
  assertThrows(() => slice.load(vm.u32be, 0), TypeError);
  // @ts-expect-error nor does a floating-point number
  assertThrows(() => slice.load(vm.f64, 0), TypeError);
  // @ts-expect-error nor do 128 bits
  assertThrows(() => slice.load(vm.u128, 0), vm.OutOfBounds);
});
