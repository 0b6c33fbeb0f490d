import { assertEquals, assertThrows } from "@std/assert";
import {
  array,
  asSlice,
  type ByteValued,
  GuestAddress,
  GuestMemoryMmap,
  i16,
  struct,
  u16,
  u16be,
  u32,
  u64,
  u8,
} from "../../mod.ts";

interface Layout {
  readonly codec: ByteValued<unknown>;
  readonly value: unknown;
  readonly wrong: unknown;
}

function layout<T>(codec: ByteValued<T>, value: T, wrong: unknown): Layout {
  return { codec: codec as ByteValued<unknown>, value, wrong };
}

// By the size of the smallest element: it decides how indexes are calculated.
const LAYOUTS: readonly Layout[] = [
  layout(struct({ a: u8, b: i16, c: u32, d: u64 }), { a: 1, b: -2, c: 3, d: 4n }, { a: 1 }),
  layout(struct({ a: u64, b: u32, c: u16, d: u16be }), { a: 5n, b: 6, c: 7, d: 8 }, { a: 5 }),
  layout(struct({ a: u32, b: u32 }), { a: 0xffff_ffff, b: 9 }, { a: "1", b: 9 }),
  layout(struct({ a: u64, b: u64 }), { a: 2n ** 64n - 1n, b: 10n }, { a: 1n, b: 10 }),
  layout(array(u8, 5), [1, 2, 3, 4, 5], [1, 2, 3, 4, "5"]),
  layout(array(u16, 3), [11, 12, 13], [11, 12, undefined]),
  layout(array(u64, 2), [14n, 15n], [14n, 15]),
  layout(
    struct({ head: struct({ a: u16, b: u64 }), list: array(struct({ x: u32, y: u8 }), 2) }),
    { head: { a: 1, b: 2n }, list: [{ x: 3, y: 4 }, { x: 5, y: 6 }] },
    { head: { a: 1, b: 2 }, list: [] },
  ),
  layout(
    struct({ a: u8, list: array(u32, 2), b: struct({ c: u16 }) }, { packed: true }),
    { a: 1, list: [2, 3], b: { c: 4 } },
    { a: 1, list: [2, 3], b: 5 },
  ),
  // More than is written out.
  layout(
    array(array(u16, 10), 8),
    Array.from({ length: 8 }, (_, i) => Array.from({ length: 10 }, (_, j) => 100 * i + j)),
    Array.from({ length: 8 }, () => Array.from({ length: 10 }, () => "1")),
  ),
];

// Around every limit of an index, by the size of the smallest element.
const LIMITS: readonly number[] = [2 ** 31, 2 ** 32, 2 ** 33, 2 ** 34, 2 ** 35];

Deno.test("structures and arrays are the same bytes at any offset in a region, aligned or not", () => {
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 2 ** 36]]);
  for (const { codec, value } of LAYOUTS) {
    const expected = asSlice(codec, value);
    for (const limit of LIMITS) {
      for (const offset of [-32, -16, -8, -4, -3, -2, -1, 0, 1, 2, 4, 5, 8, 16, 64]) {
        const at = GuestAddress(limit + offset);
        const found = new Uint8Array(codec.byteLength + 2);
        memory.write(new Uint8Array(found.length).fill(0), GuestAddress(at - 1));
        memory.writeObj(codec, value, at);
        memory.read(found, GuestAddress(at - 1));
        assertEquals([...found], [0, ...expected, 0], `${limit} ${offset}`);
        assertEquals(memory.readObj(codec, at), value, `${limit} ${offset}`);
      }
    }
  }
});

Deno.test("values of a wrong type are refused at any offset in a region", () => {
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 2 ** 36]]);
  for (const { codec, wrong } of LAYOUTS) {
    for (const at of [0, 1, ...LIMITS, 2 ** 35 + 1]) {
      assertThrows(() => memory.writeObj(codec, wrong, GuestAddress(at)), TypeError, "value");
    }
  }
});
