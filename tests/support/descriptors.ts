/**
 * What the tests of transfers with descriptors have in common.
 *
 * @module
 */
import { assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { IOError, SystemError } from "../../mod.ts";
import type { Range } from "./tracked_memories.ts";
import { gpa } from "./values.ts";

/** A descriptor that no process has open. */
export const NOT_OPEN: number = 2 ** 31 - 1;

/** Adjacent regions of several sizes, a hole, a last region. */
export const RANGES: readonly Range[] = [
  [gpa(0), 4],
  [gpa(4), 1],
  [gpa(5), 7],
  [gpa(12), 20],
  [gpa(48), 16],
];

/** Asserts that a system call fails, and what the error says. */
export function assertFails(code: string, call: string, run: () => unknown): void {
  const error = assertThrows(run, IOError);
  assertEquals(error.kind, "Other");
  assertInstanceOf(error.cause, SystemError);
  assertEquals([error.cause.code, error.cause.call], [code, call]);
}
