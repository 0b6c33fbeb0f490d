import { assertEquals, assertThrows } from "@std/assert";
import { MemoryClosed, RefCount } from "../../mod.ts";

function counted(): { references: RefCount; released(): number } {
  let released = 0;
  return { references: new RefCount("region", () => released++), released: () => released };
}

Deno.test("RefCount releases when its owner closes it, if there is nobody else", () => {
  const { references, released } = counted();
  assertEquals([references.released, released()], [false, 0]);
  references.close();
  assertEquals([references.released, released()], [true, 1]);
});

Deno.test("RefCount releases with the last reference, after the owner", () => {
  const { references, released } = counted();
  references.retain();
  references.retain();
  references.close();
  references.release();
  assertEquals([references.released, released()], [false, 0]);
  references.release();
  assertEquals([references.released, released()], [true, 1]);
});

Deno.test("RefCount releases with its owner, after the last reference", () => {
  const { references, released } = counted();
  references.retain();
  references.release();
  assertEquals(released(), 0);
  references.close();
  assertEquals(released(), 1);
});

Deno.test("RefCount counts no release and no close too many", () => {
  const { references, released } = counted();
  references.release();
  references.release();
  references.retain();
  references.close();
  references.close();
  assertEquals(released(), 0);
  references.release();
  references.release();
  references.close();
  assertEquals(released(), 1);
});

Deno.test("RefCount.own() gives it an owner again", () => {
  const { references, released } = counted();
  references.retain();
  references.close();
  references.own();
  references.release();
  assertEquals(released(), 0);
  references.close();
  assertEquals(released(), 1);
});

Deno.test("RefCount that is released gives no reference, and says of what", () => {
  const { references } = counted();
  references.close();
  assertThrows(() => references.retain(), MemoryClosed, "Cannot access region: it is closed");
  assertThrows(() => references.own(), MemoryClosed, "Cannot access region: it is closed");
});

Deno.test("RefCount releases once, also where that comes back to it or fails", () => {
  let released = 0;
  const again: RefCount = new RefCount("region", () => {
    released++;
    again.close();
    again.release();
    assertThrows(() => again.retain(), MemoryClosed);
  });
  again.close();
  assertEquals(released, 1);
  const failing = new RefCount("region", () => {
    throw new Error("cannot unmap");
  });
  assertThrows(() => failing.close(), Error, "cannot unmap");
  failing.close();
  assertEquals(failing.released, true);
});
