import { assert, assertEquals, assertFalse } from "@std/assert";
import * as library from "../../mod.ts";
import { nameErrors } from "../../src/error/name_errors.ts";

Deno.test("nameErrors() names classes by their keys, whatever they are called", () => {
  class A extends Error {}
  class B extends A {}
  nameErrors({ First: A, Second: B });
  assertEquals([new A().name, new B().name], ["First", "Second"]);
  assertFalse(Object.hasOwn(new A(), "name"));
  assertEquals(String(new B("text")), "Second: text");
});

// Literals, so that a class that is renamed by mistake fails here.
const NAMES = [
  "AccessDenied",
  "AddressSpaceLocked",
  "CallbackOutOfRange",
  "CannotResolve",
  "DescriptorClosed",
  "DescriptorsLost",
  "Fragmented",
  "GuestAddressOverflow",
  "GuestMemoryError",
  "GuestRegionCollectionError",
  "HostAddressNotAvailable",
  "IOError",
  "InvalidBackendAddress",
  "InvalidGuestAddress",
  "InvalidGuestRegion",
  "InvalidHandle",
  "InvalidOffsetLength",
  "InvalidPointer",
  "IommuError",
  "IommuMisconfigured",
  "IotlbFails",
  "LibcUnavailable",
  "MapFixed",
  "MappingPastEof",
  "MappingShared",
  "MemoryClosed",
  "MemoryRegionOverlap",
  "Misaligned",
  "MmapRegionError",
  "NoMemoryRegion",
  "OptionRefused",
  "OutOfBounds",
  "Overflow",
  "PartialBuffer",
  "SystemError",
  "TooBig",
  "UnsortedMemoryRegions",
  "VolatileMemoryError",
];

function errorClasses(): [string, { prototype: Error }][] {
  return Object.entries(library).filter(([, value]) =>
    typeof value === "function" && value.prototype instanceof Error
  ) as unknown as [string, { prototype: Error }][];
}

Deno.test("every error class that is exported is known here", () => {
  assertEquals(errorClasses().map(([name]) => name).sort(), NAMES);
});

Deno.test("every error class has its own name, by its prototype", () => {
  for (const [name, { prototype }] of errorClasses()) {
    assertEquals([name, prototype.name], [name, name]);
    assert(Object.hasOwn(prototype, "name"), name);
  }
});
