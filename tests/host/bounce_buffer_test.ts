import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { BOUNCE_BUFFER_SIZE, withBounceBuffer } from "../../src/host/bounce_buffer.ts";

Deno.test("withBounceBuffer() lends so many zeroed bytes, and returns what its user does", () => {
  for (const size of [0, 1, 4095, 4096, 4097, 70_000]) {
    const result = withBounceBuffer(size, (memory, bytes) => {
      assertEquals([bytes.length, bytes.byteOffset], [size, 0]);
      assertEquals(bytes.buffer, memory.buffer);
      assert(memory.u8.length >= size);
      assert(bytes.every((byte) => byte === 0));
      bytes.fill(0xff);
      return size * 2;
    });
    assertEquals(result, size * 2);
  }
});

Deno.test("withBounceBuffer() lends the same small buffer again, also after an error", () => {
  const memory = withBounceBuffer(8, (memory) => memory);
  assertThrows(
    () =>
      withBounceBuffer(4096, (again) => {
        assertEquals(again, memory);
        throw new Error("in use");
      }),
    Error,
    "in use",
  );
  assertEquals(withBounceBuffer(1, (again) => again === memory), true);
});

Deno.test("withBounceBuffer() lends a different buffer while one is in use", () => {
  withBounceBuffer(8, (outer, bytes) => {
    bytes.fill(1);
    withBounceBuffer(8, (inner, innerBytes) => {
      assertNotEquals(inner === outer, true);
      innerBytes.fill(2);
    });
    assertEquals([...bytes], Array(8).fill(1));
  });
});

Deno.test("withBounceBuffer() keeps no large buffer", () => {
  const large = withBounceBuffer(BOUNCE_BUFFER_SIZE + 1, (memory) => memory);
  assertEquals(large.u8.length, BOUNCE_BUFFER_SIZE + 1);
  assertEquals(withBounceBuffer(1, (memory) => memory === large), false);
  assertEquals(withBounceBuffer(BOUNCE_BUFFER_SIZE + 1, (memory) => memory === large), false);
});

Deno.test("withBounceBuffer() lends no buffer again that its user closed or lost", () => {
  const spoils: ((memory: ReturnType<typeof lend>) => unknown)[] = [
    (memory) => memory.close(),
    (memory) => (memory.buffer as ArrayBuffer).transfer(),
  ];
  for (const spoil of spoils) {
    withBounceBuffer(8, (memory) => spoil(memory));
    assertEquals(lend().openLength, BOUNCE_BUFFER_SIZE);
  }
});

function lend() {
  return withBounceBuffer(8, (memory) => memory);
}

Deno.test("withBounceBuffer() zeroes every byte that it lends again", () => {
  for (const size of [1, 8, BOUNCE_BUFFER_SIZE]) {
    withBounceBuffer(BOUNCE_BUFFER_SIZE, (_memory, bytes) => bytes.fill(0xff));
    withBounceBuffer(size, (_memory, bytes) => assert(bytes.every((byte) => byte === 0)));
  }
});
