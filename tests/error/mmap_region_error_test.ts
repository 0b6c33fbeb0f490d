import { assert, assertEquals, assertFalse } from "@std/assert";
import {
  GuestMemoryError,
  InvalidOffsetLength,
  InvalidPointer,
  MapFixed,
  MappingPastEof,
  MmapRegionError,
} from "../../mod.ts";

Deno.test("MmapRegionError is the base of what is refused before the kernel is asked", () => {
  for (const Class of [InvalidPointer, MapFixed, InvalidOffsetLength, MappingPastEof]) {
    const cause = new Error("below");
    const error = new Class("text", { cause });
    assert(error instanceof MmapRegionError, error.name);
    assertEquals([error.message, error.cause], ["text", cause]);
  }
});

Deno.test("MmapRegionError is no error of an access", () => {
  assertFalse(new MmapRegionError() instanceof GuestMemoryError);
});
