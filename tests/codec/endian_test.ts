import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  type ByteValued,
  HostMemory,
  u16,
  u16be,
  u16le,
  u32,
  u32be,
  u32le,
  u64,
  u64be,
  u64le,
  usizebe,
  usizele,
} from "../../mod.ts";

const CODECS = [
  [u16be, 2, "Uint16", [0, 0x1234, 0xff00, 0x00ff, 0xffff, -1, 0x1_2345]],
  [u32be, 4, "Uint32", [0, 0x1234_5678, 0xff00_0000, 0x0000_00ff, 0xffff_ffff, -1, 0x1_2345_6789]],
  [u64be, 8, "BigUint64", [0n, 0x0102030405060708n, 0xffn << 56n, 2n ** 64n - 1n, -1n, 2n ** 64n]],
] as unknown as [ByteValued<number>, number, "Uint16", number[]][];

for (const [codec, size, type, values] of CODECS) {
  Deno.test(`big-endian integers of ${size} bytes have their highest byte first`, () => {
    assertEquals([codec.byteLength, codec.alignment], [size, size]);
    for (const value of values) {
      for (let at = 0; at <= size; at++) {
        const memory = new HostMemory(new Uint8Array(20).fill(0xaa).buffer);
        const expected = new DataView(new Uint8Array(20).fill(0xaa).buffer);
        codec.write(memory, at, value);
        expected[`set${type}`](at, value);
        assertEquals(memory.u8, new Uint8Array(expected.buffer));
        assertEquals(codec.read(memory, at), expected[`get${type}`](at));
      }
    }
  });

  Deno.test(`big-endian integers of ${size} bytes refuse values of another kind`, () => {
    for (const value of ["1", null, undefined, size === 8 ? 1 : 1n] as number[]) {
      const memory = new HostMemory(new ArrayBuffer(8));
      assertThrows(() => codec.write(memory, 0, value), TypeError, "as value");
      assertEquals(memory.u8, new Uint8Array(8));
    }
  });
}

Deno.test("little-endian integers are those of the host", () => {
  assertStrictEquals(u16le, u16);
  assertStrictEquals(u32le, u32);
  assertStrictEquals(u64le, u64);
  assertStrictEquals(usizele, u64);
  assertStrictEquals(usizebe, u64be);
});
