import { assertEquals, assertFalse, assertThrows } from "@std/assert";
import { Cursor, VolatileSlice } from "../../mod.ts";
import { advance, isCursorSink, isCursorSource, peek } from "../../src/volatile/cursor.ts";
import { count } from "../support/values.ts";

Deno.test("Cursor begins where it is told, and has what is left", () => {
  const bytes = count(8);
  assertEquals([new Cursor(bytes).position, new Cursor(bytes).remaining], [0, 8]);
  for (const [position, left] of [[1, 7], [7, 1], [8, 0], [9, 0], [2 ** 53 - 1, 0]] as const) {
    const cursor = new Cursor(bytes, position);
    assertEquals([cursor.position, cursor.remaining], [position, left]);
    assertEquals(cursor.peek(100).length, left);
  }
});

Deno.test("Cursor.peek() gives the next bytes themselves, and stays", () => {
  const bytes = count(8);
  const cursor = new Cursor(bytes, 2);
  assertEquals([...cursor.peek(3)], [3, 4, 5]);
  assertEquals([...cursor.peek(0)], []);
  cursor.peek(1)[0] = 99;
  assertEquals([bytes[2], cursor.position], [99, 2]);
  assertEquals(new Cursor(bytes).peek(8) === bytes, true);
});

Deno.test("Cursor.peek() of a part of a buffer gives no bytes beside it", () => {
  const cursor = new Cursor(count(16).subarray(4, 12), 6);
  assertEquals([...cursor.peek(100)], [11, 12]);
});

Deno.test("Cursor.advance() moves on and says how much", () => {
  const cursor = new Cursor(count(8));
  assertEquals([cursor.advance(3), cursor.position, cursor.advance(0)], [3, 3, 0]);
  assertEquals([advance(cursor, 2), cursor.position, [...peek(cursor, 9)]], [2, 5, [6, 7, 8]]);
});

Deno.test("Cursor.readVolatile() and writeVolatile() move what both have", () => {
  const source = new Cursor(count(5), 1);
  const small = VolatileSlice.from(new Uint8Array(3));
  assertEquals([source.readVolatile(small), source.position], [3, 4]);
  assertEquals([source.readVolatile(small), source.position], [1, 5]);
  assertEquals([source.readVolatile(small), source.position], [0, 5]);
  assertEquals([...small.rawView()], [5, 3, 4]);
  const sink = new Cursor(new Uint8Array(4));
  assertEquals([sink.writeVolatile(small), sink.position], [3, 3]);
  assertEquals([sink.writeVolatile(small), sink.position], [1, 4]);
  assertEquals([sink.writeVolatile(small), [...sink.bytes]], [0, [5, 3, 4, 5]]);
});

Deno.test("Cursor continues at a position that is set anew", () => {
  const cursor = new Cursor(count(4));
  cursor.position = 3;
  assertEquals([...cursor.peek(2)], [4]);
  cursor.position = 0;
  assertEquals(cursor.remaining, 4);
});

Deno.test("Cursor refuses a position that is none", () => {
  for (
    const position of [-1, 0.5, NaN, 2 ** 53, "0", 0n, null, Symbol("s")] as unknown as number[]
  ) {
    const cursor = new Cursor(count(4));
    cursor.position = position;
    const slice = VolatileSlice.from(new Uint8Array(4));
    assertThrows(() => cursor.remaining, RangeError, "position");
    assertThrows(() => cursor.peek(1), RangeError, "position");
    assertThrows(() => cursor.readVolatile(slice), RangeError, "position");
    assertThrows(() => cursor.writeVolatile(slice), RangeError, "position");
  }
});

Deno.test("isCursorSource() and isCursorSink() know streams that move bytes as Cursor does", () => {
  class Labelled extends Cursor {
    label = "image";
  }
  class Counting extends Cursor {
    override readVolatile(slice: VolatileSlice): number {
      return super.readVolatile(slice);
    }
  }
  const own = Object.assign(new Cursor(count(1)), { writeVolatile: () => 0 });
  const streams = [new Cursor(count(1)), new Labelled(count(1)), new Counting(count(1)), own];
  assertEquals(streams.map(isCursorSource), [true, true, false, true]);
  assertEquals(streams.map(isCursorSink), [true, true, true, false]);
  assertFalse(isCursorSource({ readSync: () => 0 }));
});
