import { assert, assertEquals } from "@std/assert";
import {
  CannotResolve,
  Fragmented,
  GuestMemoryError,
  IommuError,
  IommuMisconfigured,
  IotlbFails,
} from "../../mod.ts";

const range = { base: 0x1000, length: 16 };

Deno.test("IommuError is the base of what goes wrong in an IOMMU, and a GuestMemoryError", () => {
  for (
    const error of [
      new CannotResolve(range, "no"),
      new Fragmented(range, 8),
      new IommuMisconfigured("no"),
      new IotlbFails([], []),
    ]
  ) {
    assert(error instanceof IommuError, error.name);
    assert(error instanceof GuestMemoryError, error.name);
  }
});

Deno.test("CannotResolve has the range and the reason", () => {
  const error = new CannotResolve(range, "it is not mapped");
  assertEquals([error.iovaRange, error.reason], [range, "it is not mapped"]);
  assertEquals(error.message, "Cannot translate 16 bytes at IOVA 0x1000: it is not mapped");
});

Deno.test("Fragmented has the range and the length that is in one piece", () => {
  const error = new Fragmented(range, 8);
  assertEquals([error.iovaRange, error.continuousLength], [range, 8]);
  assertEquals(
    error.message,
    "Cannot use 16 bytes at IOVA 0x1000 as one range: only 8 bytes are in one",
  );
});

Deno.test("IommuMisconfigured has the reason", () => {
  const error = new IommuMisconfigured("a range is empty");
  assertEquals(error.reason, "a range is empty");
  assertEquals(error.message, "Cannot translate addresses: a range is empty");
});

Deno.test("IotlbFails lists the misses before what may not be accessed", () => {
  const denied = { base: 0x2000, length: 1 };
  const error = new IotlbFails([range], [denied]);
  assertEquals([error.misses, error.accessFails], [[range], [denied]]);
  assertEquals(
    error.message,
    "Cannot translate addresses: 16 bytes at IOVA 0x1000 is not mapped, " +
      "1 bytes at IOVA 0x2000 may not be accessed so",
  );
});
