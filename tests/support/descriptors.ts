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

/** How many descriptors the process has open: listing them takes one, each time. */
export function openDescriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

/** Whether a descriptor is closed when the process starts another program. */
export function isCloseOnExec(fd: number): boolean {
  const flags = /^flags:\s*(\d+)$/m.exec(Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`))![1]!;
  return (parseInt(flags, 8) & 0o2000000) !== 0;
}

/** Asserts that the process has no more descriptors open, once a wait that was ended has returned. */
export async function noMoreThan(count: number): Promise<void> {
  for (let i = 0; i < 100 && openDescriptors() > count; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assertEquals(openDescriptors(), count);
}
