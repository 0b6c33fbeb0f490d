import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { InvalidBackendAddress, VolatileSlice } from "../../mod.ts";
import { type AccessTarget, sliceOf } from "../../src/guest/access.ts";

Deno.test("sliceOf() is the slice that was asked, of exactly that length", () => {
  const slice = VolatileSlice.from(new Uint8Array(16));
  const asked: unknown[] = [];
  const target = (length: number) =>
    ({
      getSlice(...range: unknown[]) {
        asked.push(range);
        return slice.getSlice(0, length);
      },
      toString: () => "a lying region",
    }) as unknown as AccessTarget;
  assertStrictEquals(sliceOf(target(8), 4 as never, 8).len, 8);
  assertEquals(asked, [[4, 8]]);
  for (const length of [0, 7, 9, 16]) {
    assertThrows(
      () => sliceOf(target(length), 4 as never, 8),
      InvalidBackendAddress,
      `Cannot use a slice of ${length} bytes: 8 were asked of a lying region`,
    );
  }
});
