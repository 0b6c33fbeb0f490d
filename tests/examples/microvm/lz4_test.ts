import { assertEquals, assertThrows } from "@std/assert";
import { unpackLz4 } from "../../../examples/microvm/lz4.ts";
import { MicrovmError } from "../../../examples/microvm/microvm_error.ts";

const MAGIC = [0x02, 0x21, 0x4c, 0x18];

function frame(...blocks: readonly (readonly number[])[]): Uint8Array {
  const bytes = [...MAGIC];
  for (const block of blocks) {
    bytes.push(block.length & 0xff, block.length >> 8, 0, 0, ...block);
  }
  return Uint8Array.from(bytes);
}

function literals(...bytes: readonly number[]): number[] {
  return [bytes.length << 4, ...bytes];
}

Deno.test("unpackLz4() copies literals, block after block", () => {
  const packed = frame(literals(1, 2, 3), literals(4, 5));
  assertEquals(unpackLz4(packed, 5), Uint8Array.of(1, 2, 3, 4, 5));
  assertEquals(unpackLz4(frame(), 0), new Uint8Array());
});

Deno.test("unpackLz4() copies matches, also those that overlap themselves", () => {
  // Two literals, a match of 4 + 3 from 2 before, then one literal.
  const packed = frame([0x23, 7, 8, 2, 0, 0x10, 9]);
  assertEquals(unpackLz4(packed, 10), Uint8Array.of(7, 8, 7, 8, 7, 8, 7, 8, 7, 9));
  // Four literals and a match of 4 from 4 before.
  assertEquals(
    unpackLz4(frame([0x40, 1, 2, 3, 4, 4, 0, 0x10, 5]), 9),
    Uint8Array.of(1, 2, 3, 4, 1, 2, 3, 4, 5),
  );
});

Deno.test("unpackLz4() reads lengths that do not fit a token", () => {
  const text = Array.from({ length: 15 + 255 + 30 }, (_, i) => i & 0xff);
  assertEquals(unpackLz4(frame([0xf0, 255, 30, ...text]), 300), Uint8Array.from(text));
  // One literal, a match of 4 + 15 + 255 + 6, and one literal.
  const unpacked = unpackLz4(frame([0x1f, 42, 1, 0, 255, 6, 0x10, 43]), 282);
  assertEquals([unpacked[280], unpacked[281]], [42, 43]);
});

Deno.test("unpackLz4() throws for what is broken, and never reads or writes outside", () => {
  const broken: readonly [Uint8Array, number][] = [
    [Uint8Array.of(1, 2, 3), 1],
    [Uint8Array.of(1, 2, 3, 4, 5), 1],
    [frame(literals(1, 2)), 3],
    [frame(literals(1, 2)), 1],
    [frame([0x20, 1]), 2],
    [frame([0xf0]), 20],
    [frame([0xf0, 255, 255]), 2000],
    [frame([0x10, 1, 0, 0, 0x10, 1]), 10], // Distance 0.
    [frame([0x10, 1, 2, 0, 0x10, 1]), 10], // Before the start.
    [frame([0x10, 1, 1]), 10],
    [frame([0x1f, 1, 1, 0, 255, 255, 0, 0x10, 1]), 10],
    [Uint8Array.from([...MAGIC, 0xff, 0xff, 0xff, 0xff, 1]), 10],
  ];
  for (const [packed, size] of broken) {
    assertThrows(() => unpackLz4(packed, size), MicrovmError, "broken at byte");
  }
});
