import { assert, assertEquals, assertFalse } from "@std/assert";
import {
  GuestMemoryError,
  InvalidHandle,
  InvalidOffsetLength,
  InvalidPointer,
  MapFixed,
  MappingPastEof,
  MappingShared,
  MmapRegionError,
  OptionRefused,
} from "../../mod.ts";

Deno.test("MmapRegionError is the base of what is refused before the kernel is asked", () => {
  const classes = [InvalidPointer, MapFixed, InvalidOffsetLength, MappingPastEof, InvalidHandle];
  for (const Class of classes) {
    const cause = new Error("below");
    const error = new Class("text", { cause });
    assert(error instanceof MmapRegionError, error.name);
    assertEquals([error.message, error.cause], ["text", cause]);
  }
});

Deno.test("OptionRefused has the option, the reason, and what failed", () => {
  const cause = new Error("below");
  const error = new OptionRefused("lock", "mlock failed with ENOMEM", cause);
  assert(error instanceof MmapRegionError);
  assertEquals([error.name, error.option, error.reason], [
    ...["OptionRefused", "lock", "mlock failed with ENOMEM"],
  ]);
  assertEquals([error.message, error.cause], ["Cannot have lock: mlock failed with ENOMEM", cause]);
  assertFalse("cause" in new OptionRefused("flags", "none"));
});

Deno.test("MappingShared says how many hold the mapping", () => {
  const messages = [1, 2].map((holders) => {
    const error = new MappingShared(holders);
    assert(error instanceof MmapRegionError);
    assertEquals([error.name, error.holders], ["MappingShared", holders]);
    return error.message.replace(/.*held by /, "");
  });
  assertEquals(messages, ["1 other thread or handle", "2 other threads or handles"]);
});

Deno.test("MmapRegionError is no error of an access", () => {
  assertFalse(new MmapRegionError() instanceof GuestMemoryError);
});
