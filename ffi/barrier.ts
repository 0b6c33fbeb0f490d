/**
 * A memory barrier on every thread of the process.
 *
 * @module
 */
import { lastError, libc, pageCalls } from "./libc.ts";
import { LibcUnavailable } from "./system_error.ts";

// linux/membarrier.h
const PRIVATE_EXPEDITED = 1 << 3;
const REGISTER_PRIVATE_EXPEDITED = 1 << 4;

let registered = false;

/**
 * Runs a full memory barrier on every thread of this program: `membarrier(2)`, Linux only. Writes
 * that they have begun are visible to all of them afterwards.
 *
 * Call it between {@linkcode AtomicBitmap.drainInto} and reading the pages that were taken, while
 * other threads write; {@linkcode takeDirty} calls it. A mark first tests whether the page is dirty
 * already, and a processor may do that test before the write is visible. Without this barrier, a
 * write could be too late for the reader and yet find its page marked, by a mark that was just
 * taken.
 *
 * @throws {SystemError} The kernel refuses.
 * @throws {LibcUnavailable} FFI is not allowed, or the platform has no such call: stop the writers
 * there.
 *
 * @example
 * ```ts
 * import { membarrier } from "@vmm/guest-memory";
 *
 * if (Deno.build.os === "linux") membarrier();
 * ```
 */
export function membarrier(): void {
  if (!registered) {
    command(REGISTER_PRIVATE_EXPEDITED);
    registered = true;
  }
  command(PRIVATE_EXPEDITED);
}

function command(command: number): void {
  const { systemCalls } = libc().platform;
  if (systemCalls === undefined) {
    throw new LibcUnavailable("Cannot order other threads' writes: membarrier(2) is Linux's own");
  }
  if (pageCalls().membarrier(systemCalls.membarrier, command, 0, 0) !== 0n) {
    throw lastError("membarrier", { command });
  }
}

/** Whether the platform has `membarrier(2)`. */
export function hasMembarrier(): boolean {
  return libc().platform.systemCalls !== undefined;
}
