import { assert, assertEquals } from "@std/assert";
import {
  FaultsUnavailable,
  NotRestoring,
  PageLoadFailed,
  RestoreUnfinished,
} from "../../src/error/fault_error.ts";
import { SnapshotError } from "../../src/error/snapshot_error.ts";
import { gpa } from "../support/values.ts";

Deno.test("errors of page faults say what was asked, and what to do", () => {
  const cause = new Error("why");
  const errors = [
    [new FaultsUnavailable("it needs Linux", cause), "Cannot handle page faults: it needs Linux"],
    [
      new PageLoadFailed(8192, "the file was cut off"),
      "Cannot load the page at byte 8192 of the snapshot: the file was cut off. Who touches it " +
      "waits: mend the file, or restart() with another",
    ],
    [new NotRestoring("it is loaded"), "Cannot find a handler of faults: it is loaded"],
    [
      new RestoreUnfinished(gpa(0x1000)),
      "Cannot write a snapshot: the region at 0x1000 is still being loaded, wait for " +
      "FaultHandler.of(memory).done, after restart() where another process loads it",
    ],
  ] as const;
  for (const [error, message] of errors) {
    assertEquals(error.message, message);
    assert(error instanceof SnapshotError);
  }
  assertEquals(errors.map(([{ name }]) => name), [
    "FaultsUnavailable",
    "PageLoadFailed",
    "NotRestoring",
    "RestoreUnfinished",
  ]);
  const [[unavailable], [failed], , [unfinished]] = errors;
  assertEquals([unavailable.reason, unavailable.cause], ["it needs Linux", cause]);
  assertEquals([failed.position, failed.reason], [8192, "the file was cut off"]);
  assertEquals(unfinished.startAddr, gpa(0x1000));
  assertEquals("cause" in new FaultsUnavailable("x"), false);
});
