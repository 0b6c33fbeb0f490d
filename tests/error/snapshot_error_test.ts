import { assert, assertEquals } from "@std/assert";
import {
  InvalidDiff,
  InvalidManifest,
  SnapshotError,
  SnapshotFailed,
  SnapshotMismatch,
  SnapshotRefused,
} from "../../src/snapshot/mod.ts";

Deno.test("SnapshotFailed says how far it came, and why it ended", () => {
  const cause = new Error("Cannot pwrite: ENOSPC");
  const error = new SnapshotFailed("write the snapshot", 5, 7, cause);
  assert(error instanceof SnapshotError);
  assertEquals([error.name, error.bytes, error.total, error.cause], [
    "SnapshotFailed",
    5,
    7,
    cause,
  ]);
  assertEquals(
    error.message,
    "Cannot write the snapshot: it came to byte 5 of 7: Cannot pwrite: ENOSPC",
  );
});

Deno.test("SnapshotRefused says why", () => {
  const error = new SnapshotRefused("it is open to append");
  assert(error instanceof SnapshotError);
  assertEquals([error.name, error.reason], ["SnapshotRefused", "it is open to append"]);
  assertEquals(error.message, "Cannot use the file for a snapshot: it is open to append");
});

Deno.test("SnapshotMismatch says what was asked and what is there", () => {
  const error = new SnapshotMismatch("the diff", 4096, 5);
  assert(error instanceof SnapshotError);
  assertEquals([error.name, error.expected, error.found], ["SnapshotMismatch", 4096, 5]);
  assertEquals(
    error.message,
    "Cannot use the diff: it has 5 bytes, not 4096: it may be unfinished, or of other memory",
  );
});

Deno.test("SnapshotMismatch says which property differs", () => {
  const messages = {
    length: "it has b bytes, not a: it may be unfinished, or of other memory",
    sha256: "its SHA-256 is b, not a: it was changed",
    generation:
      "it belongs to generation b of the guest's memory, not a: apply diffs in the order in " +
      "which they were written",
    regions: "its regions are others: b in place of a",
  };
  for (const [property, message] of Object.entries(messages)) {
    const error = new SnapshotMismatch("the diff", "a", "b", property as "length");
    assertEquals([error.property, error.expected, error.found], [property, "a", "b"]);
    assertEquals(error.message, `Cannot use the diff: ${message}`);
  }
  assertEquals(new SnapshotMismatch("the diff", 1, 2).property, "length");
});

Deno.test("InvalidManifest says why", () => {
  const error = new InvalidManifest("it has no list of regions");
  assert(error instanceof SnapshotError);
  assertEquals([error.name, error.reason], ["InvalidManifest", "it has no list of regions"]);
  assertEquals(error.message, "Cannot use the manifest: it has no list of regions");
});

Deno.test("InvalidDiff says why", () => {
  const error = new InvalidDiff("its version is 2, and 1 is known");
  assert(error instanceof SnapshotError);
  assertEquals([error.name, error.reason], ["InvalidDiff", "its version is 2, and 1 is known"]);
  assertEquals(
    error.message,
    "Cannot use the file as a compact diff: its version is 2, and 1 is known",
  );
});
