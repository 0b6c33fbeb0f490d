import { assertEquals, assertThrows } from "@std/assert";
import { type Bytes, bytes, type ByteValued, MemoryClosed, PartialBuffer, u32 } from "../../mod.ts";
import { readBounced, writeBounced } from "../../src/volatile/bounced.ts";
import { ElsewhereRegion } from "../support/elsewhere_region.ts";
import { count } from "../support/values.ts";

function place(length = 16): { region: ElsewhereRegion; memory: Bytes<number> & { len: number } } {
  const region = new ElsewhereRegion(0, length);
  return { region, memory: region as unknown as Bytes<number> & { len: number } };
}

Deno.test("readBounced() and writeBounced() take one access each", () => {
  const { region, memory } = place();
  writeBounced(memory, u32, 0x01020304, 5);
  assertEquals(region.content.slice(4, 10), Uint8Array.of(0, 4, 3, 2, 1, 0));
  assertEquals(readBounced(memory, u32, 5), 0x01020304);
  assertEquals(region.asked, { read: 1, write: 1 });
});

Deno.test("readBounced() asks no codec for a value that is not there", () => {
  const { memory } = place();
  let asked = 0;
  const codec: ByteValued<number> = {
    byteLength: 4,
    alignment: 1,
    read: () => asked++,
    write: () => {},
  };
  assertThrows(() => readBounced(memory, codec, 14), PartialBuffer);
  assertEquals(asked, 0);
});

Deno.test("writeBounced() writes nothing where its codec fails", () => {
  const { region, memory } = place();
  const codec: ByteValued<number> = {
    byteLength: 4,
    alignment: 1,
    read: () => 0,
    write({ u8 }, at) {
      u8[at] = 1;
      throw new Error("no value");
    },
  };
  assertThrows(() => writeBounced(memory, codec, 1, 0), Error, "no value");
  assertEquals([region.asked.write, region.content[0]], [0, 0]);
});

Deno.test("writeBounced() writes nothing where its codec closes the buffer", () => {
  const { region, memory } = place();
  const spoils: ByteValued<number>["write"][] = [
    (buffer) => buffer.close(),
    ({ buffer }) => void (buffer as ArrayBuffer).transfer(),
  ];
  for (const write of spoils) {
    const codec: ByteValued<number> = { byteLength: 4, alignment: 1, read: () => 0, write };
    assertThrows(() => writeBounced(memory, codec, 1, 0), MemoryClosed);
  }
  assertEquals(region.asked.write, 0);
});

Deno.test("bounced values of 4,096 bytes and more are whole", () => {
  for (const length of [4095, 4096, 4097, 10_000]) {
    const { memory } = place(length + 2);
    const value = count(length);
    writeBounced(memory, bytes(length), value, 1);
    assertEquals(readBounced(memory, bytes(length), 1), value);
    assertEquals(readBounced(memory, bytes(1), length + 1), Uint8Array.of(0));
  }
});
