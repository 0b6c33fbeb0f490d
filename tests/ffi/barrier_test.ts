import { assert, assertEquals } from "@std/assert";
import { hasMembarrier, membarrier } from "../../ffi/barrier.ts";

Deno.test("hasMembarrier() is true on Linux only", () => {
  assertEquals(hasMembarrier(), Deno.build.os === "linux");
});

Deno.test("membarrier() works again and again, or says why not", () => {
  for (let i = 0; i < 3; i++) {
    try {
      membarrier();
      assert(Deno.build.os === "linux");
    } catch (error) {
      assertEquals([Deno.build.os === "linux", (error as Error).name], [false, "LibcUnavailable"]);
    }
  }
});
