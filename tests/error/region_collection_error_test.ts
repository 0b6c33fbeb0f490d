import { assert, assertEquals, assertFalse } from "@std/assert";
import {
  GuestMemoryError,
  GuestRegionCollectionError,
  InvalidGuestRegion,
  MemoryRegionOverlap,
  NoMemoryRegion,
  UnsortedMemoryRegions,
} from "../../mod.ts";

Deno.test("GuestRegionCollectionError is the base of what is wrong with regions", () => {
  for (
    const Class of [NoMemoryRegion, MemoryRegionOverlap, UnsortedMemoryRegions, InvalidGuestRegion]
  ) {
    const error = new Class("text");
    assert(error instanceof GuestRegionCollectionError, error.name);
    assertEquals(error.message, "text");
  }
});

Deno.test("GuestRegionCollectionError is no error of an access", () => {
  assertFalse(new GuestRegionCollectionError() instanceof GuestMemoryError);
});
