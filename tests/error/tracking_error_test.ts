import { assert, assertEquals } from "@std/assert";
import { RegionNotTrackable, TrackingError, TrackingUnavailable } from "../../src/snapshot/mod.ts";
import { gpa } from "../support/values.ts";

Deno.test("TrackingUnavailable says what is missing, and which call failed", () => {
  const cause = new Error("no");
  const error = new TrackingUnavailable("there is no /proc", cause);
  assert(error instanceof TrackingError);
  assertEquals([error.name, error.reason, error.cause], [
    "TrackingUnavailable",
    "there is no /proc",
    cause,
  ]);
  assertEquals(error.message, "Cannot track writes: there is no /proc");
  assertEquals("cause" in new TrackingUnavailable("it needs Linux"), false);
});

Deno.test("RegionNotTrackable says which region, and why", () => {
  const error = new RegionNotTrackable(gpa(0x1000), "it is not mapped");
  assert(error instanceof TrackingError);
  assertEquals([error.name, error.startAddr, error.reason, "cause" in error], [
    "RegionNotTrackable",
    gpa(0x1000),
    "it is not mapped",
    false,
  ]);
  assertEquals(error.message, "Cannot track the region at 0x1000: it is not mapped");
  assertEquals(new RegionNotTrackable(gpa(0), "", error).cause, error);
});
